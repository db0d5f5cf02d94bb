// execution_lock.h - says that a process executes a task for a driver, which may not know it any
// more: it was given up and has not heard of it, or the driver has died.
// Not thread-safe: one task at a time.
//
// A byte of CACHE/.claims far behind its content, for each key. It is seen by all on this kernel,
// and where the file system shows locks to other hosts also there.
#pragma once

#include <chrono>
#include <filesystem>

#include "src/forks.h"
#include "src/os.h"

#include <stook/key.hpp>

namespace stook::detail {

// Who was given up, or whose driver has died, is waited for no longer than this: he looks twice a
// second at least and ends himself, but where he is stopped.
inline constexpr std::chrono::milliseconds kFence{3000};

class ExecutionLock {
 public:
  // `root`: of the cache. Where its file cannot be opened nobody is told.
  explicit ExecutionLock(const std::filesystem::path& root);

  // Waits until nobody else executes the key, but no longer than this: he may be stopped.
  void lock(const Key& key, std::chrono::milliseconds longest);
  void unlock() noexcept;

  // Is the key locked by another one than who has opened `claims`?
  [[nodiscard]] static bool is_locked(int claims, const Key& key);
  [[nodiscard]] static bool is_any_locked(int claims);

 private:
  Fd file_;
  const ClosedInForks closed_in_forks_{file_};
  std::uint64_t byte_ = 0;  // 0: none
};

}  // namespace stook::detail
