#include "src/os.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <fstream>

#include "src/mutant.h"

namespace stook::detail {
namespace {

template <class Call> auto retried(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

// The kernel moves at most this much per call (MAX_RW_COUNT); more is cut short anyway.
constexpr std::size_t kMostPerCall = std::size_t{1} << 30;

bool lock_call(int fd, int command, std::uint64_t byte, std::uint64_t count, short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(byte);
  lock.l_len = static_cast<off_t>(count);
  return retried([&] { return fcntl(fd, command, &lock); }) == 0;
}

// A pipe in place of a file is not waited for; who holds a lease on one (Samba, an NFS server) is:
// the kernel has him give it back.
Fd open_file(const std::filesystem::path& path, int flags, mode_t mode) {
  Fd file(retried([&] { return open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK, mode); }));
  if (file || errno != EAGAIN) return file;
  struct stat info {};
  const bool is_file = stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
  errno = EAGAIN;
  if (!is_file) return file;
  return Fd(retried([&] { return open(path.c_str(), flags | O_CLOEXEC, mode); }));
}

bool try_remove(const std::filesystem::path& path) {
  try {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    return !error;
  } catch (const std::filesystem::filesystem_error&) { return false; }  // libstdc++ 12 throws
}

// What is gone by now needs no sync.
bool sync_file(const std::filesystem::path& file) {
  const Fd fd = os_open(file, O_RDONLY);
  return fd ? retried([&] { return fsync(fd.get()); }) == 0 : errno == ENOENT;
}

bool sync_file_system(const std::filesystem::path& directory) {
  const Fd fd = os_open(directory, O_RDONLY | O_DIRECTORY);
  return fd && retried([&] { return syncfs(fd.get()); }) == 0;
}

// Gives this user all permissions on a directory and those below it.
void allow_all(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(fs::symlink_status(path))) return;
  fs::permissions(path, fs::perms::owner_all, fs::perm_options::add);
  for (const auto& entry : fs::directory_iterator(path)) allow_all(entry.path());
}

short lock_type(LockMode mode) { return mode == LockMode::shared ? F_RDLCK : F_WRLCK; }

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

void os_fill_standard_streams() noexcept {
  for (int stream = 0; stream <= 2; ++stream) {
    if (STOOK_MUTANT("fill-streams") || fcntl(stream, F_GETFD) != -1) continue;
    const int null = open("/dev/null", O_RDWR);  // takes the lowest that is free
    if (null > 2) close(null);                   // another thread has taken it
  }
}

Fd os_open(const std::filesystem::path& path, int flags, mode_t mode) {
  const int links = STOOK_MUTANT("follow-no-links") ? 0 : O_NOFOLLOW;
  return open_file(path, flags | links, mode);
}

Fd os_open_input(const std::filesystem::path& path) { return open_file(path, O_RDONLY, 0); }

std::string os_unique_name() {
  unsigned words[3] = {};
  retried([&] { return getrandom(words, sizeof words, 0); });
  char text[25];
  std::snprintf(text, sizeof text, "%08x%08x%08x", words[0], words[1], words[2]);
  return text;
}

std::string os_host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

std::string os_kernel_name() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string name;
  std::getline(file, name);
  return name;
}

std::string os_this_process() {
  return "process " + std::to_string(getpid()) + " on " + os_host_name();
}

void os_end_group() noexcept {
  kill(0, SIGKILL);
  _exit(128 + SIGKILL);  // the first process of a container cannot be killed from within it
}

bool os_write(int fd, const void* data, std::size_t size) {
  auto from = static_cast<const std::byte*>(data);
  while (size > 0) {
    const ssize_t n = retried([&] { return write(fd, from, std::min(size, kMostPerCall)); });
    if (n < 0) return false;
    from += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

bool os_write(int fd, std::span<const std::span<const std::byte>> pieces) {
  for (const auto& piece : pieces) {
    if (!os_write(fd, piece.data(), piece.size())) return false;
  }
  return true;
}

bool os_pwrite(int fd, const void* data, std::size_t size, std::uint64_t offset) {
  auto from = static_cast<const std::byte*>(data);
  while (size > 0) {
    const ssize_t n = retried(
        [&] { return pwrite(fd, from, std::min(size, kMostPerCall), static_cast<off_t>(offset)); });
    if (n < 0) return false;
    from += n;
    offset += static_cast<std::uint64_t>(n);
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

ssize_t os_pread(int fd, void* data, std::size_t size, std::uint64_t offset) {
  auto to = static_cast<std::byte*>(data);
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = retried([&] {
      return pread(fd, to + done, std::min(size - done, kMostPerCall),
                   static_cast<off_t>(offset + done));
    });
    if (n < 0) return -1;
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

bool os_sync_data(int fd) {
  return retried([&] { return fdatasync(fd); }) == 0;
}

bool os_sync_directory(const std::filesystem::path& directory) {
  const Fd fd = os_open(directory, O_RDONLY | O_DIRECTORY);
  return fd && retried([&] { return fsync(fd.get()); }) == 0;
}

// One by one they cost about 0.3 ms each; at once as much as all does that anybody has written to
// this file system.
bool os_sync_tree(const std::filesystem::path& directory) {
  constexpr std::size_t kOneByOne = 128;
  namespace fs = std::filesystem;
  std::vector<fs::path> files, directories{directory};
  std::error_code error;
  fs::recursive_directory_iterator at(directory, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    const fs::file_status status = at->symlink_status(error);
    if (!fs::status_known(status)) break;
    if (fs::is_directory(status)) directories.push_back(at->path());
    if (fs::is_regular_file(status)) files.push_back(at->path());
    if (files.size() + directories.size() > kOneByOne) return sync_file_system(directory);
  }
  if (error) return sync_file_system(directory);  // somebody still changes it
  return std::all_of(files.begin(), files.end(), sync_file) &&
         std::all_of(directories.rbegin(), directories.rend(),
                     [](const fs::path& one) { return os_sync_directory(one) || errno == ENOENT; });
}

bool os_rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  return std::rename(from.c_str(), to.c_str()) == 0;
}

bool os_rename_new(const std::filesystem::path& from, const std::filesystem::path& to) {
  return renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0;
}

bool os_remove_tree(const std::filesystem::path& path) {
  if (try_remove(path)) return true;
  try {
    allow_all(path);
  } catch (const std::filesystem::filesystem_error&) {}
  return try_remove(path);
}

bool os_reserve(int fd, std::size_t size) {
  struct stat status = {};
  if (fstat(fd, &status) != 0) return false;
  constexpr std::size_t kBlock = 512;  // the unit of st_blocks
  if (static_cast<std::size_t>(status.st_blocks) >= (size + kBlock - 1) / kBlock) return true;
  int error = EINTR;
  while (error == EINTR) error = posix_fallocate(fd, 0, static_cast<off_t>(size));
  errno = error;
  return error == 0;
}

std::int64_t os_file_size(int fd) {
  struct stat status = {};
  return fstat(fd, &status) == 0 ? static_cast<std::int64_t>(status.st_size) : -1;
}

bool os_is_passing(int error) noexcept {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EINTR:
    case EAGAIN: return true;
    default: return false;
  }
}

bool os_list(const std::filesystem::path& directory, std::vector<std::string>& names) {
  names.clear();
  DIR* const open = opendir(directory.c_str());
  if (open == nullptr) return false;
  errno = 0;
  while (const dirent* const entry = readdir(open)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  const int error = errno;
  closedir(open);
  errno = error;
  return error == 0;
}

bool os_try_lock(int fd, std::uint64_t byte, LockMode mode, std::uint64_t count) {
  return lock_call(fd, F_OFD_SETLK, byte, count, lock_type(mode));
}

bool os_lock(int fd, std::uint64_t byte, LockMode mode) {
  return lock_call(fd, F_OFD_SETLKW, byte, 1, lock_type(mode));
}

void os_unlock(int fd, std::uint64_t byte, std::uint64_t count) noexcept {
  lock_call(fd, F_OFD_SETLK, byte, count, F_UNLCK);
}

bool os_is_locked(int fd, std::uint64_t byte, std::uint64_t count, LockMode mode) {
  struct flock lock = {};
  lock.l_type = lock_type(mode);
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(byte);
  lock.l_len = static_cast<off_t>(count);
  return retried([&] { return fcntl(fd, F_OFD_GETLK, &lock); }) != 0 || lock.l_type != F_UNLCK;
}

SharedMapping::SharedMapping(SharedMapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SharedMapping& SharedMapping::operator=(SharedMapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

SharedMapping::~SharedMapping() {
  if (data_ != nullptr) munmap(data_, size_);
}

SharedMapping SharedMapping::map(int fd, std::size_t size) {
  SharedMapping mapping;
  const int flags = MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0);
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (data == MAP_FAILED) return mapping;
  mapping.data_ = data;
  mapping.size_ = size;
  return mapping;
}

void SharedMapping::let_go() noexcept {
  if (data_ == nullptr) return;
  constexpr int kInItsPlace = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS;
  (void)mmap(data_, size_, PROT_READ | PROT_WRITE, kInItsPlace, -1, 0);
}

void os_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
             std::chrono::milliseconds timeout) noexcept {
  timespec limit = {};
  limit.tv_sec = static_cast<time_t>(timeout.count() / 1000);
  limit.tv_nsec = static_cast<long>(timeout.count() % 1000) * 1'000'000;
  syscall(SYS_futex, reinterpret_cast<const std::uint32_t*>(&word), FUTEX_WAIT, expected, &limit,
          nullptr, 0);
}

void os_wake_all(const std::atomic<std::uint32_t>& word) noexcept {
  syscall(SYS_futex, reinterpret_cast<const std::uint32_t*>(&word), FUTEX_WAKE, INT_MAX, nullptr,
          nullptr, 0);
}

}  // namespace stook::detail
