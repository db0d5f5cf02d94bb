#include "cache/shared.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>

#include "cache/fault.h"
#include "cache/packs.h"
#include "cache/shared_state.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

// Stale counters are kept where they look like counters: ids given out by a session that crashed
// before it recorded them are then not given to other keys.
constexpr std::uint64_t kPlausible = ~std::uint64_t{0} >> 8;

// Somebody is there and what he shares is not ours: for so long he may be one who is just dying.
constexpr std::chrono::milliseconds kTryAgain{10};
constexpr int kMostTries = 100;

template <class T> void raise_counter(std::atomic<T>& counter, T least) {
  T now = counter.load();
  while (now < least && !counter.compare_exchange_weak(now, least)) {}
}

template <class T> void keep_plausible(std::atomic<T>& counter, bool keep) {
  const T old = counter.load();
  counter.store(keep && old < static_cast<T>(kPlausible) ? std::max<T>(old, 1) : 1);
}

std::string read_holder(int fd) {
  char text[256];
  const ssize_t n = os_pread(fd, text, sizeof text, 0);
  return std::string(text, n > 0 ? static_cast<std::size_t>(n) : 0);
}

void init_robust_mutex(pthread_mutex_t& mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
}

}  // namespace

class Shared::TableLock {
 public:
  explicit TableLock(Shared& shared) : shared_(shared) {
    if (STOOK_MUTANT("lock-table")) return;
    if (pthread_mutex_lock(&shared_.state_->mutex) != EOWNERDEAD) return;
    if (!STOOK_MUTANT("repair-table")) shared_.repair_table();
    pthread_mutex_consistent(&shared_.state_->mutex);
  }
  ~TableLock() { pthread_mutex_unlock(&shared_.state_->mutex); }
  TableLock(const TableLock&) = delete;
  TableLock& operator=(const TableLock&) = delete;

 private:
  Shared& shared_;
};

Shared::Shared(const std::filesystem::path& file, bool alone, std::filesystem::path packs)
    : file_(file), packs_(std::move(packs)), alone_(alone) {
  fd_ = os_open(file_, O_CREAT | O_RDWR);
  if (!fd_) throw_cache_error("open", file_);
  join();
  take_slot();
}

Shared::~Shared() {
  if (state_ == nullptr || is_anothers()) return;
  const TableLock lock(*this);
  for (std::uint32_t at = 0; at < kClaimCells && state_->claims > 0;) {
    if (state_->cell[at].owner == slot_ + 1) {
      erase_cell(*state_, at);
    } else {
      ++at;
    }
  }
  state_->slot_used[slot_] = 0;
  state_->released.fetch_add(1);
  os_wake_all(state_->released);
}

void Shared::map() {
  if (!mapping_) mapping_ = SharedMapping::map(alone_ ? -1 : fd_.get(), sizeof(SharedState));
  if (!mapping_) throw_cache_error("map", file_);
  state_ = static_cast<SharedState*>(mapping_.data());
}

void Shared::refuse_company() {
  throw CacheError("open the cache at " + file_.parent_path().string() + ": " +
                   read_holder(fd_.get()) +
                   " has it open, and this file system does not let processes share one; wait for "
                   "it to end, or use a cache on a local disk");
}

void Shared::refuse_strangers() {
  const auto layout_of = [](const std::uint64_t& magic) {
    return std::string(reinterpret_cast<const char*>(&magic), sizeof magic);
  };
  std::uint64_t theirs = 0;
  (void)os_pread(fd_.get(), &theirs, sizeof theirs, 0);
  throw CacheError("open the cache at " + file_.parent_path().string() +
                   ": a program of another version has it open and shares \"" + layout_of(theirs) +
                   "\", this one shares \"" + layout_of(kSharedMagic) +
                   "\"; wait for it to end, or name another directory with --cache");
}

void Shared::join() {
  for (int tries = 0;;) {
    first_ =
        STOOK_MUTANT("lock-session") || os_try_lock(fd_.get(), kSessionByte, LockMode::exclusive);
    if (first_) return initialise();
    if (errno != EAGAIN && errno != EACCES) throw_cache_error("lock", file_);
    if (alone_ && !STOOK_MUTANT("alone")) refuse_company();
    if (!STOOK_MUTANT("wait-for-first") && !os_lock(fd_.get(), kSessionByte, LockMode::shared))
      throw_cache_error("lock", file_);
    if (os_file_size(fd_.get()) == static_cast<std::int64_t>(sizeof(SharedState))) {
      map();
      if (state_->magic.load() == kSharedMagic) return;
    }
    os_unlock(fd_.get(), kSessionByte);  // the first one died before it was done: try to be first
    if (!STOOK_MUTANT("strangers-layout") && ++tries > kMostTries) refuse_strangers();
    if (tries > 1) std::this_thread::sleep_for(kTryAgain);
  }
}

void Shared::admit_others() {
  state_->magic.store(kSharedMagic);
  // Converting a lock of this sort is atomic: nobody else can become first in between.
  if (!alone_ && !os_lock(fd_.get(), kSessionByte, LockMode::shared)) {
    throw_cache_error("lock", file_);
  }
  if (STOOK_MUTANT("keep-session")) os_unlock(fd_.get(), kSessionByte);
  first_ = false;
}

// The memory stays as it is, so whoever has waited is not the first one, even if this process dies
// meanwhile: that is then one of those who die beside others.
bool Shared::keep_others_out() {
  if (STOOK_MUTANT("keep-others-out")) return is_alone();
  return alone_ || os_try_lock(fd_.get(), kSessionByte, LockMode::exclusive);
}

void Shared::let_others_come() noexcept {
  if (!alone_) (void)os_lock(fd_.get(), kSessionByte, LockMode::shared);
}

void Shared::raise(const Counters& least) {
  raise_counter(state_->next_seq, least.next_seq);
  raise_counter(state_->next_id, least.next_id);
  raise_counter(state_->next_pack, least.next_pack);
}

void Shared::initialise() {
  const std::string holder = os_this_process();
  const std::size_t size = alone_ ? 0 : sizeof(SharedState);
  const bool empty = os_file_size(fd_.get()) == 0 || alone_;  // then all of it is zero
  if (ftruncate(fd_.get(), static_cast<off_t>(size)) != 0 || !os_reserve(fd_.get(), size)) {
    throw_cache_error("write", file_);
  }
  if (alone_ && !os_pwrite(fd_.get(), holder.data(), holder.size(), 0)) {
    throw_cache_error("write", file_);
  }
  map();
  const bool keep = state_->magic.load() == kSharedMagic;
  state_->magic.store(0);
  keep_plausible(state_->next_seq, keep);
  keep_plausible(state_->next_id, keep && !STOOK_MUTANT("keep-ids"));
  keep_plausible(state_->next_pack, false);
  state_->changes.fetch_add(1);
  state_->untold.store(0);
  init_robust_mutex(state_->mutex);
  // Only what was used is cleared: touching four megabytes would cost a millisecond.
  if (state_->claims != 0 || (!keep && !empty)) {
    for (ClaimCell& cell : state_->cell) {
      if (cell.owner != 0) cell.owner = 0;
    }
  }
  state_->claims = 0;
  const std::uint32_t packs = keep ? std::min(state_->packs.load(), kPacks) : empty ? 0 : kPacks;
  for (std::uint32_t i = 0; i < packs; ++i) {
    if (state_->pack[i].number.load() == 0 && state_->pack[i].length.load() == 0) continue;
    state_->pack[i].number.store(0);
    state_->pack[i].length.store(0);
  }
  state_->packs.store(0);
  state_->slot_used.fill(0);
  state_->slot_waits.fill(0);
  state_->waiters.store(0);
}

void Shared::take_slot() {
  const TableLock lock(*this);
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    if (state_->slot_used[slot] != 0 && !slot_is_dead(slot)) continue;
    if (!STOOK_MUTANT("lock-slot") &&
        !os_try_lock(fd_.get(), kFirstSlotByte + slot, LockMode::exclusive)) {
      continue;
    }
    if (state_->slot_used[slot] != 0) {
      if (!STOOK_MUTANT("bury-predecessor"))
        bury_dead();  // its dead owner's claims must go before its number means someone else
    }
    slot_ = slot;
    state_->slot_used[slot] = 1;
    return;
  }
  throw CacheError("open the cache at " + file_.parent_path().string() + ": " +
                   std::to_string(kSlots) +
                   " processes have it open already; wait for some to end");
}

bool Shared::slot_is_dead(std::uint32_t slot) const {
  return slot != slot_ && !os_is_locked(fd_.get(), kFirstSlotByte + slot);
}

// Who died between a write and its announcement may have left a record that nobody sees until the
// packs are read by their sizes. Whoever takes his claims over goes by what is there.
void Shared::announce_rest(std::uint32_t slot) {
  const std::uint32_t count = std::min(state_->packs.load(), kPacks);
  for (std::uint32_t i = 0; i < count; ++i) {
    const PackCell& cell = state_->pack[i];
    if (cell.slot != slot || cell.number.load() == 0) continue;
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(pack_path(packs_, cell.number), error);
    if (!error && size > length_of(i)) publish_length(i, size);
  }
}

// Ends the claims of processes that died. True: there were some.
bool Shared::bury_dead() {
  bool any = false;
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    if (state_->slot_used[slot] == 0 || !slot_is_dead(slot)) continue;
    if (!STOOK_MUTANT("announce-rest")) announce_rest(slot);
    for (std::uint32_t at = 0; at < kClaimCells && state_->claims > 0;) {
      if (state_->cell[at].owner == slot + 1) {
        erase_cell(*state_, at);  // may move another entry here: look again
      } else {
        ++at;
      }
    }
    // A shift may have carried an entry over the end of the table, behind the scan.
    for (std::uint32_t at = 0; at < kClaimCells && state_->claims > 0; ++at) {
      while (state_->cell[at].owner == slot + 1) erase_cell(*state_, at);
    }
    state_->waiters.fetch_sub(state_->slot_waits[slot]);
    state_->slot_waits[slot] = 0;
    state_->slot_used[slot] = 0;
    any = true;
  }
  if (any) {
    state_->released.fetch_add(1);
    os_wake_all(state_->released);
  }
  return any;
}

// Somebody died while changing the table: lay it out anew from what is in it.
void Shared::repair_table() {
  std::vector<ClaimCell> cells;
  for (ClaimCell& cell : state_->cell) {
    if (cell.owner != 0) cells.push_back(cell);
    cell.owner = 0;
  }
  state_->claims = 0;
  for (const ClaimCell& cell : cells) {
    const std::uint32_t at = find_cell(*state_, Key{{cell.high, cell.low}});
    if (state_->cell[at].owner == 0) ++state_->claims;
    state_->cell[at] = cell;
  }
}

std::uint64_t Shared::take_seq() { return state_->next_seq.fetch_add(1); }
std::uint64_t Shared::take_id() { return state_->next_id.fetch_add(1); }
std::uint32_t Shared::take_pack() { return state_->next_pack.fetch_add(1); }
std::uint64_t Shared::next_id() const { return state_->next_id.load(); }

std::uint64_t Shared::take_ids(std::uint64_t last) {
  std::uint64_t now = state_->next_id.load();
  while (now <= last && !state_->next_id.compare_exchange_weak(now, last + 1)) {}
  return now;
}

void Shared::raise_id(std::uint64_t least) { raise_counter(state_->next_id, least); }

std::uint64_t Shared::changes() const { return state_->changes.load(std::memory_order_acquire); }
std::uint64_t Shared::note_change() {
  ++own_changes_;
  const std::uint64_t change = state_->changes.fetch_add(1) + 1;
  state_->untold.store(0);
  return change;
}
void Shared::announce_change() { state_->untold.store(1); }
bool Shared::is_changing() const { return state_->untold.load() != 0; }

std::uint32_t Shared::register_pack(std::uint32_t number) {
  const TableLock lock(*this);
  const std::uint32_t handle = state_->packs.load();
  if (!STOOK_MUTANT("most-packs") && handle == kPacks) {
    throw CacheError("write results to the cache at " + file_.parent_path().string() + ": " +
                     std::to_string(kPacks) +
                     " processes have written since it was last closed by "
                     "all; let all processes that use it end, then run again");
  }
  state_->pack[handle].slot = slot_;
  state_->pack[handle].length.store(0);
  state_->pack[handle].number.store(number);
  state_->packs.store(handle + 1, std::memory_order_release);
  return handle;
}

// What one has seen the others must not miss because growth() has not moved yet: whoever meets a
// length before its publisher has moved it does that for him.
void Shared::publish_length(std::uint32_t handle, std::uint64_t length) {
  state_->pack[handle].length.store(length | kUntoldLength);
  (void)length_of(handle);
}

std::uint64_t Shared::length_of(std::uint32_t handle) const {
  std::atomic<std::uint64_t>& cell = state_->pack[handle].length;
  std::uint64_t found = cell.load(std::memory_order_acquire);
  const std::uint64_t length = found & ~kUntoldLength;
  if (found == length || STOOK_MUTANT("untold-length")) return length;
  state_->growth.fetch_add(1);
  cell.compare_exchange_strong(found, length);
  return length;
}

std::uint64_t Shared::growth() const { return state_->growth.load(std::memory_order_acquire); }

std::vector<Shared::PackLength> Shared::packs() const {
  const std::uint32_t count = std::min(state_->packs.load(std::memory_order_acquire), kPacks);
  std::vector<PackLength> result(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const PackCell& cell = state_->pack[i];
    result[i] = {cell.number.load(), length_of(i),
                 cell.slot == slot_ || os_is_locked(fd_.get(), kFirstSlotByte + cell.slot)};
  }
  return result;
}

std::uint64_t Shared::length_of_others() const {
  const std::uint32_t count = std::min(state_->packs.load(std::memory_order_acquire), kPacks);
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const PackCell& cell = state_->pack[i];
    if (cell.slot != slot_) sum += length_of(i);
  }
  return sum;
}

bool Shared::is_alone() {
  const TableLock lock(*this);
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    if (slot != slot_ && state_->slot_used[slot] != 0 && !slot_is_dead(slot)) return false;
  }
  return true;
}

bool Shared::claim(const Key& key) {
  const TableLock lock(*this);
  std::uint32_t at = find_cell(*state_, key);
  if (const std::uint32_t owner = state_->cell[at].owner;
      owner != 0 && !STOOK_MUTANT("claim-once")) {
    if (!slot_is_dead(owner - 1)) return false;
    bury_dead();
    at = find_cell(*state_, key);
    if (state_->cell[at].owner != 0) return false;
  }
  if (!STOOK_MUTANT("most-claims") && state_->claims >= kMostClaims) {
    throw CacheError("claim a task in the cache at " + file_.parent_path().string() + ": " +
                     std::to_string(kMostClaims) +
                     " tasks are being executed at once, which is "
                     "all it can hold; lower --jobs");
  }
  state_->cell[at] = {key.high, key.low, 0, slot_ + 1, 0};
  ++state_->claims;
  return true;
}

void Shared::tell_id(const Key& key, std::uint64_t id) {
  const TableLock lock(*this);
  ClaimCell& cell = state_->cell[find_cell(*state_, key)];
  if (cell.owner == slot_ + 1) cell.id = id;
}

std::uint64_t Shared::told_id(const Key& key) {
  const TableLock lock(*this);
  const ClaimCell& cell = state_->cell[find_cell(*state_, key)];
  return cell.owner == 0 || slot_is_dead(cell.owner - 1) ? 0 : cell.id;
}

void Shared::erase_claims(std::span<const Key> keys) {
  directories_.end(keys);
  const TableLock lock(*this);
  for (const Key& key : keys) {
    const std::uint32_t at = find_cell(*state_, key);
    if (STOOK_MUTANT("release-own") || state_->cell[at].owner == slot_ + 1) {
      erase_cell(*state_, at);
    }
  }
}

void Shared::release(std::span<const Key> keys) {
  if (keys.empty()) return;
  erase_claims(keys);
  state_->released.fetch_add(1);
  if (somebody_waits()) os_wake_all(state_->released);
}

void Shared::give_up(const Key& key) { erase_claims({&key, 1}); }

bool Shared::nobody_executes() {
  const TableLock lock(*this);
  if (state_->claims > 0) bury_dead();
  return state_->claims == 0 || STOOK_MUTANT("nobody-executes");
}

bool Shared::somebody_waits() const { return state_->waiters.load() != 0; }

// Kept per slot as well, so that a waiter that is killed does not count for ever.
void Shared::count_waiting(int change) {
  const TableLock lock(*this);
  state_->slot_waits[slot_] = static_cast<std::uint16_t>(state_->slot_waits[slot_] + change);
  state_->waiters.fetch_add(static_cast<std::uint32_t>(change));
}

std::uint64_t Shared::wait_for_release(std::uint64_t since, std::chrono::milliseconds timeout) {
  // The dead wake nobody: between two sleeps it is looked whether an owner has died.
  constexpr std::chrono::milliseconds kLook{100};
  const auto until = std::chrono::steady_clock::now() + timeout;
  const auto now = [&] { return state_->released.load(); };
  count_waiting(1);
  while (now() == static_cast<std::uint32_t>(since)) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    os_wait(state_->released, static_cast<std::uint32_t>(since), std::min(left, kLook));
    if (now() != static_cast<std::uint32_t>(since)) break;
    const TableLock lock(*this);
    if (!STOOK_MUTANT("bury-dead")) bury_dead();
  }
  count_waiting(-1);
  return now();
}

void Shared::lock() {
  if (STOOK_MUTANT("lock-threads")) {
    (void)write_mutex_.try_lock();
  } else {
    write_mutex_.lock();
  }
  if (STOOK_MUTANT("lock-writers") || os_lock(fd_.get(), kWriterByte, LockMode::exclusive)) {
    if (state_->untold.load() != 0 && !STOOK_MUTANT("tell-for-the-dead")) {
      note_change();
      --own_changes_;
    }
    return;
  }
  const int error = errno;
  write_mutex_.unlock();
  throw_cache_error("lock", file_, error);
}

void Shared::unlock() {
  os_unlock(fd_.get(), kWriterByte);
  write_mutex_.unlock();
}

}  // namespace stook::detail
