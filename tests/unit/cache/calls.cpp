#include "tests/unit/cache/calls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <utility>

namespace stook::detail {
namespace {

thread_local const AtCalls::Before* told = nullptr;

void tell(const char* call, const std::string& path) {
  const AtCalls::Before* const before = std::exchange(told, nullptr);
  if (before == nullptr) return;
  (*before)(call, path);
  told = before;
}

std::string path_of(int fd) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = readlink(link.c_str(), path, sizeof path);
  return {path, size < 0 ? 0 : static_cast<std::size_t>(size)};
}

}  // namespace

std::atomic<bool> last_write{false};
std::atomic<int> failing_syncs{0};

AtCalls::AtCalls(Before before) : before_(std::move(before)) { told = &before_; }
AtCalls::~AtCalls() { told = nullptr; }

// In the place of the C library's.
extern "C" {

int fdatasync(int fd) {
  int left = failing_syncs.load();
  while (left > 0 && !failing_syncs.compare_exchange_weak(left, left - 1)) {}
  if (left > 0) {
    errno = EIO;
    return -1;
  }
  if (told != nullptr) tell("fdatasync", path_of(fd));
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}

int fsync(int fd) {
  if (told != nullptr) tell("fsync", path_of(fd));
  return static_cast<int>(syscall(SYS_fsync, fd));
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  if (told != nullptr) tell("pwrite", path_of(fd));
  const ssize_t written = syscall(SYS_pwrite64, fd, data, size, offset);
  if (last_write && path_of(fd).ends_with(".pack")) (void)raise(SIGKILL);
  return written;
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  if (told != nullptr) tell("pwrite64", path_of(fd));
  return syscall(SYS_pwrite64, fd, data, size, offset);
}

ssize_t pread(int fd, void* data, size_t size, off_t offset) {
  if (told != nullptr) tell("pread", path_of(fd));
  return syscall(SYS_pread64, fd, data, size, offset);
}

ssize_t pread64(int fd, void* data, size_t size, off64_t offset) {
  if (told != nullptr) tell("pread64", path_of(fd));
  return syscall(SYS_pread64, fd, data, size, offset);
}

int lstat(const char* path, struct stat* status) noexcept {
  if (told != nullptr) tell("lstat", path);
  return static_cast<int>(syscall(SYS_newfstatat, AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW));
}

int fcntl64(int fd, int command, ...) {
  va_list more;
  va_start(more, command);
  void* const argument = va_arg(more, void*);
  va_end(more);
  if (told != nullptr) tell("fcntl64", path_of(fd));
  return static_cast<int>(syscall(SYS_fcntl, fd, command, argument));
}

int rename(const char* from, const char* to) noexcept {
  if (told != nullptr) tell("rename", from);
  return static_cast<int>(syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to));
}

int unlink(const char* path) noexcept {
  if (told != nullptr) tell("unlink", path);
  return static_cast<int>(syscall(SYS_unlink, path));
}

}  // extern "C"

}  // namespace stook::detail
