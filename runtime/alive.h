// alive.h - how those who work for a driver see that it has died: it holds a lock on a byte of a
// file. Whoever runs on its kernel sees the lock; a container does, another host may not.
#pragma once

#include <filesystem>

#include "src/os.h"

namespace stook::detail {

// Makes the file; the lock is held as long as what is returned is open. The file says on which
// kernel that is; it says nothing where the file system has no locks. Not open: it cannot be made.
[[nodiscard]] Fd hold_alive(const std::filesystem::path& path);

// Looks at such a file.
class DriverWatch {
 public:
  // `path`: empty, or of a file that cannot be opened: nothing can be told.
  explicit DriverWatch(const std::filesystem::path& path);
  // False where it cannot be told.
  [[nodiscard]] bool is_gone() const;

 private:
  const Fd file_;
  const bool can_tell_;
};

}  // namespace stook::detail
