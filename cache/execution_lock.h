// execution_lock.h - says that a process executes a task for a driver, which may not know it any
// more: it was given up and has not heard of it, or the driver has died.
//
// A byte of CACHE/.claims far behind its content, for each key. It is seen by all on this kernel,
// and where the file system shows locks to other hosts also there.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "src/forks.h"
#include "src/os.h"

#include <stook/key.hpp>

namespace stook::detail {

// Who was given up, or whose driver has died, is waited for no longer than this: he looks twice a
// second at least and ends himself, but where he is stopped.
inline constexpr std::chrono::milliseconds kFence{3000};

// Not thread-safe: one task at a time.
class ExecutionLock {
 public:
  // `root`: of the cache. Where its file cannot be opened nobody is told.
  explicit ExecutionLock(const std::filesystem::path& root);

  // Waits until nobody else executes the key, but no longer than this: he may be stopped.
  void lock(const Key& key, std::chrono::milliseconds longest);
  void unlock() noexcept;

 private:
  Fd file_;
  const ClosedInForks closed_in_forks_{file_};
  std::uint64_t byte_ = 0;  // 0: none
};

// The keys that are locked by others than who has opened `claims`. Thread-safe.
class Orphans {
 public:
  // alone: nobody shares the cache, and each question costs a way to a server: none is asked where
  // there are none at first, but of what is lost later. `claims` outlives this.
  Orphans(const Fd& claims, bool alone) : claims_(claims), alone_(alone) {}

  [[nodiscard]] bool is_executed(const Key& key);
  // The same of a key that nobody has claimed; no, when that has been asked for kFence.
  [[nodiscard]] bool has(const Key& key);
  void forget(const Key& key);  // this process has claimed it

 private:
  [[nodiscard]] bool may_be();

  struct Asked {
    std::chrono::steady_clock::time_point first, last;
  };

  const Fd& claims_;
  const bool alone_;
  std::atomic<std::size_t> count_ = 0;  // of asked_
  std::mutex mutex_;                    // guards all below
  std::optional<bool> any_;
  std::unordered_map<Key, Asked> asked_;
};

}  // namespace stook::detail
