#include "cache/directory_locks.h"

#include <algorithm>
#include <cerrno>

#include "cache/fault.h"
#include "cache/shared_state.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

std::uint32_t place_of(const Key& key) {
  return static_cast<std::uint32_t>(key.high) & (DirectoryLocks::kPlaces - 1);
}

using Readers = std::map<std::uint32_t, std::uint32_t>;
using Makers = std::set<std::uint32_t>;

// Calls use(first, count) for the stretches between these places.
template <class Use>
void for_each_gap(const Readers& readers, const Makers& makers, const Use& use) {
  std::uint32_t from = 0;
  auto reader = readers.begin();
  auto maker = makers.begin();
  while (reader != readers.end() || maker != makers.end()) {
    const bool reads = maker == makers.end() || (reader != readers.end() && reader->first < *maker);
    const std::uint32_t place = reads ? (reader++)->first : *maker++;
    use(from, place - from);
    from = place + 1;
  }
  use(from, DirectoryLocks::kPlaces - from);
}

}  // namespace

bool DirectoryLocks::take(const Key& key, bool makes, std::span<const Key> reads) {
  if (!makes && reads.empty()) return true;
  std::vector<std::uint32_t> wanted;
  for (const Key& read : reads) wanted.push_back(place_of(read));
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  const std::lock_guard lock(mutex_);
  Held& held = held_[key];
  held.place = place_of(key);
  held.reads.reserve(wanted.size());
  if (makes) std::erase(wanted, held.place);  // another one's, and nobody else makes it now
  bool good = false;
  try {
    good = (!makes || take_making(held)) && take_reading(held, wanted);
  } catch (...) {
    let_go(held);
    held_.erase(key);
    throw;
  }
  if (!good) {
    let_go(held);
    held_.erase(key);
  }
  count_ = held_.size();
  return good;
}

void DirectoryLocks::end(std::span<const Key> keys) noexcept {
  if (count_ == 0) return;
  const std::lock_guard lock(mutex_);
  for (const Key& key : keys) {
    const auto found = held_.find(key);
    if (found == held_.end()) continue;
    let_go(found->second);
    held_.erase(found);
  }
  count_ = held_.size();
}

// Of a place that is locked shared with all others the lock is converted.
bool DirectoryLocks::take_making(Held& held) {
  if (readers_.contains(held.place) || !makers_.insert(held.place).second) return false;
  held.makes = true;
  return lock(held.place, 1, LockMode::exclusive);
}

bool DirectoryLocks::take_reading(Held& held, std::span<const std::uint32_t> wanted) {
  for (const std::uint32_t place : wanted) {
    if (makers_.contains(place)) return false;
    const bool is_new = ++readers_[place] == 1;
    held.reads.push_back(place);
    if (!is_new || all_) continue;
    if (readers_.size() > kMostPlaces && lock_all()) continue;
    if (!lock(place, 1, LockMode::shared)) return false;
  }
  return true;
}

// Also what was not locked in the end.
void DirectoryLocks::let_go(const Held& held) noexcept {
  if (held.makes) {
    makers_.erase(held.place);
    const auto byte = kFirstDirectoryByte + held.place;
    const bool stays = all_ && !alone_ && os_try_lock(file_.get(), byte, LockMode::shared);
    if (!stays) unlock(held.place, 1);
  }
  for (const std::uint32_t place : held.reads) {
    const auto found = readers_.find(place);
    if (--found->second > 0) continue;
    readers_.erase(found);
    if (!all_) unlock(place, 1);
  }
  if (all_ && readers_.size() <= kMostPlaces / 2) unlock_unread();
}

// False: others make something. That is asked first: to undo what was locked is much work.
bool DirectoryLocks::lock_all() {
  constexpr auto kReading = LockMode::shared;
  if (!alone_ && os_is_locked(file_.get(), kFirstDirectoryByte, kPlaces, kReading)) return false;
  bool good = true;
  try {
    for_each_gap({}, makers_, [&](std::uint32_t first, std::uint32_t count) {
      good = good && lock(first, count, kReading);
    });
  } catch (...) {
    unlock_unread();
    throw;
  }
  if (!good) unlock_unread();
  all_ = good;
  return good;
}

void DirectoryLocks::unlock_unread() noexcept {
  all_ = false;
  for_each_gap(readers_, makers_,
               [&](std::uint32_t first, std::uint32_t count) { unlock(first, count); });
}

bool DirectoryLocks::lock(std::uint32_t first, std::uint32_t count, LockMode mode) const {
  if (alone_ || count == 0 || STOOK_MUTANT("lock-directories")) return true;
  if (os_try_lock(file_.get(), kFirstDirectoryByte + first, mode, count)) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  throw_cache_error("lock", path_);
}

void DirectoryLocks::unlock(std::uint32_t first, std::uint32_t count) const noexcept {
  if (!alone_ && count > 0) os_unlock(file_.get(), kFirstDirectoryByte + first, count);
}

}  // namespace stook::detail
