// shared.h - what the processes on one cache share in memory: counters, who is alive, which packs
// grew, who executes which key. Lives in CACHE/.claims, mapped by all.
// Unaware of records. Thread-safe.
//
// Nothing here is needed after the last process has gone: whoever opens the cache alone starts it
// anew. A process is alive while it holds the lock on its slot's byte of the file; the kernel lets
// go of that lock however the process ends, so no pid is ever guessed at.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "cache/directory_locks.h"
#include "cache/execution_lock.h"
#include "src/forks.h"
#include "src/os.h"

#include <stook/key.hpp>

namespace stook::detail {

struct SharedState;  // shared_state.h

struct Counters {
  std::uint64_t next_seq = 1;
  std::uint64_t next_id = 1;
  std::uint32_t next_pack = 1;
};

class Shared {
 public:
  // Joins those who have the cache open. Whoever is first() recovers what others left behind, while
  // all who come wait for admit_others(). alone: keep everybody else out for good (and share
  // nothing); throws CacheError naming the holder when somebody is there. `packs`: where those are
  // that are registered.
  Shared(const std::filesystem::path& file, bool alone, std::filesystem::path packs = {});
  ~Shared();
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  [[nodiscard]] bool first() const { return first_; }
  void raise(const Counters& least);  // REQUIRES: first()
  void admit_others();

  // From now on whoever comes waits for let_others_come(), and joins then as if nothing had been.
  // False: somebody is here, or is just coming.
  [[nodiscard]] bool keep_others_out();
  void let_others_come() noexcept;

  std::uint64_t take_seq();
  std::uint64_t take_id();
  std::uint32_t take_pack();
  [[nodiscard]] std::uint64_t next_id() const;
  // As raise_id(last + 1); returns the first id that had not been given out.
  std::uint64_t take_ids(std::uint64_t last);
  void raise_id(std::uint64_t least);  // no id below this will be given out

  // Moves when a state in the index changes in any way but by a publication.
  [[nodiscard]] std::uint64_t changes() const;
  std::uint64_t note_change();
  // Those that this process has not noted for itself.
  [[nodiscard]] std::uint64_t changes_of_others() const { return changes() - own_changes_; }
  // It is about to be committed. Where this process dies before note_change(), the next one who
  // locks makes that call.
  void announce_change();
  // Is one being committed? Who asks this before changes(), and is told no, and then that nothing
  // has changed, knows what was so when he asked.
  [[nodiscard]] bool is_changing() const;

  // --- The packs of this session, dead owners' too.
  struct PackLength {
    std::uint32_t number = 0;
    std::uint64_t length = 0;  // whole frames up to here have been written
    bool alive = false;
  };
  std::uint32_t register_pack(std::uint32_t number);  // returns a handle
  void publish_length(std::uint32_t handle, std::uint64_t length);
  [[nodiscard]] std::uint64_t growth() const;  // moves when any length does
  [[nodiscard]] std::vector<PackLength> packs() const;
  [[nodiscard]] std::uint64_t length_of_others() const;  // of all packs but this process's
  [[nodiscard]] bool is_alone();                         // is no other process alive here?

  // Is this a child that was forked from who has opened it? Then nothing of it may be used.
  [[nodiscard]] bool is_anothers() const { return !fd_; }

  // --- Claims
  [[nodiscard]] bool claim(const Key& key);  // false: somebody alive holds it
  // Of a key that is claimed here, and of which no pack tells one yet.
  void tell_id(const Key& key, std::uint64_t id);
  [[nodiscard]] std::uint64_t told_id(const Key& key);  // 0: nobody has claimed it and said one
  // What the claim on `key` brings with it, until it ends: DirectoryLocks::take().
  [[nodiscard]] bool hold_directories(const Key& key, bool makes, std::span<const Key> reads) {
    return directories_.take(key, makes, reads);
  }
  [[nodiscard]] Orphans& orphans() { return orphans_; }
  [[nodiscard]] bool shares_nothing() const { return alone_; }
  void release(std::span<const Key> keys);
  // As if it had not been claimed: nobody who waits is told.
  void give_up(const Key& key);
  [[nodiscard]] bool nobody_executes();  // does nobody alive hold a claim?
  [[nodiscard]] bool somebody_waits() const;
  std::uint64_t wait_for_release(std::uint64_t since, std::chrono::milliseconds timeout);

  // --- The inter-process lock under which the index is written. std::lock_guard works on it.
  void lock();
  void unlock();

 private:
  class TableLock;
  void erase_claims(std::span<const Key> keys);
  [[nodiscard]] std::uint64_t length_of(std::uint32_t handle) const;
  void join();
  void map();
  void refuse_company();
  void refuse_strangers();
  void initialise();
  void take_slot();
  void count_waiting(int change);
  void repair_table();
  void announce_rest(std::uint32_t slot);
  bool bury_dead();  // REQUIRES: the table's lock is held
  [[nodiscard]] bool slot_is_dead(std::uint32_t slot) const;

  const std::filesystem::path file_;
  const std::filesystem::path packs_;
  const bool alone_;
  bool first_ = false;
  Fd fd_;
  SharedMapping mapping_;
  const ClosedInForks closed_in_forks_{fd_, &mapping_};
  SharedState* state_ = nullptr;
  std::uint32_t slot_ = ~0u;                   // none yet
  std::atomic<std::uint64_t> own_changes_{0};  // of changes(): noted by this process for itself
  DirectoryLocks directories_{fd_, file_, alone_};
  Orphans orphans_{fd_, alone_};
  std::mutex write_mutex_;  // file locks do not exclude threads of one process
};

}  // namespace stook::detail
