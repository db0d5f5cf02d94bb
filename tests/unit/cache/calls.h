// calls.h - stops a thread of a test at its calls of the system, so that another one comes in
// between there and not where it hopes to.
#pragma once

#include <atomic>
#include <functional>
#include <string>

namespace stook::detail {

// While it lives, `before` is told each fdatasync, fsync, pwrite, pread, lstat, rename and unlink
// of this thread, and SQLite's pwrite64, pread64 and fcntl64, with its path, before it happens.
// Calls that `before` makes are not told.
class AtCalls {
 public:
  using Before = std::function<void(const std::string& call, const std::string& path)>;
  explicit AtCalls(Before before);
  ~AtCalls();
  AtCalls(const AtCalls&) = delete;
  AtCalls& operator=(const AtCalls&) = delete;

 private:
  const Before before_;
};

// So many of the next fdatasyncs, of any thread, fail with EIO.
extern std::atomic<int> failing_syncs;

// Whoever writes to a pack next, in any thread, is killed when the bytes are there.
extern std::atomic<bool> last_write;

}  // namespace stook::detail
