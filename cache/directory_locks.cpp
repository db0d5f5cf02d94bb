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

}  // namespace

bool DirectoryLocks::take(const Key& key, bool makes, std::span<const Key> reads) {
  if (!makes && reads.empty()) return true;
  Held held;
  held.place = place_of(key);
  for (const Key& read : reads) held.reads.push_back(place_of(read));
  std::sort(held.reads.begin(), held.reads.end());
  held.reads.erase(std::unique(held.reads.begin(), held.reads.end()), held.reads.end());
  if (makes) std::erase(held.reads, held.place);  // another one's, and nobody else makes it now
  const std::lock_guard lock(mutex_);
  try {
    const bool whole = held.reads.size() > kMostPlaces;
    if ((!makes || take_making(held)) && (whole ? take_all(held) : take_reading(held))) {
      held_.insert_or_assign(key, std::move(held));
      count_ = held_.size();
      return true;
    }
  } catch (...) {
    let_go(held);
    throw;
  }
  let_go(held);
  return false;
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

bool DirectoryLocks::is_read(std::uint32_t place) const {
  return readers_of_all_ > 0 || readers_.contains(place);
}

bool DirectoryLocks::take_making(Held& held) {
  if (is_read(held.place) || makers_.contains(held.place)) return false;
  if (!lock(held.place, 1, LockMode::exclusive)) return false;
  makers_.insert(held.place);
  held.makes = true;
  return true;
}

// But for what the same task makes.
bool DirectoryLocks::take_all(Held& held) {
  held.reads.clear();
  if (makers_.size() > (held.makes ? 1 : 0)) return false;
  const std::uint32_t end = held.makes ? held.place : kPlaces;
  held.reads_all = true;
  if (++readers_of_all_ > 1) return true;
  return lock(0, end, LockMode::shared) &&
         (!held.makes || lock(end + 1, kPlaces - end - 1, LockMode::shared));
}

bool DirectoryLocks::take_reading(Held& held) {
  std::vector<std::uint32_t> wanted;
  wanted.swap(held.reads);
  for (const std::uint32_t place : wanted) {
    if (makers_.contains(place)) return false;
    if (!is_read(place) && !lock(place, 1, LockMode::shared)) return false;
    ++readers_[place];
    held.reads.push_back(place);
  }
  return true;
}

void DirectoryLocks::let_go(const Held& held) noexcept {
  if (held.makes) {
    makers_.erase(held.place);
    unlock(held.place, 1);
  }
  for (const std::uint32_t place : held.reads) {
    if (--readers_[place] > 0) continue;
    readers_.erase(place);
    if (readers_of_all_ == 0) unlock(place, 1);
  }
  if (held.reads_all && --readers_of_all_ == 0) unlock_unread();
}

void DirectoryLocks::unlock_unread() const noexcept {
  std::uint32_t from = 0;
  const auto up_to = [&](std::uint32_t place) {
    unlock(from, place - from);
    from = place + 1;
  };
  for (const auto& [place, count] : readers_) up_to(place);
  up_to(kPlaces);
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
