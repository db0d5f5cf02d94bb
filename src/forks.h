// forks.h - a descriptor whose locks end with this process, though it may have forked.
// A lock of an open file lasts as long as any process holds the file open: a child that was forked
// and has not called exec would keep this process alive in the eyes of others.
// A mapping holds a file open as well.
#pragma once

#include "src/os.h"

namespace stook::detail {

// While it lives, `fd` is closed, and the mapping let go, in each child that is forked (not in one
// that is made by vfork or posix_spawn, which call exec).
class ClosedInForks {
 public:
  explicit ClosedInForks(Fd& fd, SharedMapping* mapping = nullptr);
  ~ClosedInForks();
  ClosedInForks(const ClosedInForks&) = delete;
  ClosedInForks& operator=(const ClosedInForks&) = delete;

 private:
  Fd& fd_;
};

}  // namespace stook::detail
