// os.h - a thin door to the operating system: interrupted calls are repeated, short writes are
// finished, descriptors close themselves.
// Unaware of what is written. Functions report failure as false (or -1) with errno set: whoever
// knows what was being done says so. Thread-safe as the calls they wrap are.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace stook::detail {

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();

  [[nodiscard]] int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Another one each time, in no other process either: containers and hosts that share a directory
// share process numbers, too.
[[nodiscard]] std::string os_unique_name();
// Kills this process's group and ends it: nobody wants what it does any more. In signal handlers,
// too.
[[noreturn]] void os_end_group() noexcept;

[[nodiscard]] std::string os_host_name();
// Different on each host and after each start of it, the same in its containers; empty: unknown.
[[nodiscard]] std::string os_kernel_name();
// "process 4711 on HOST".
[[nodiscard]] std::string os_this_process();

// Descriptors 0 to 2 that are closed become /dev/null: a file that took one of them would be read
// and written as a standard stream. To be called before anything is opened that stays open.
void os_fill_standard_streams() noexcept;

// O_CLOEXEC and O_NOFOLLOW are added: nothing in a cache is reached through a symbolic link; and
// O_NONBLOCK: a pipe in place of a file is not waited for.
[[nodiscard]] Fd os_open(const std::filesystem::path& path, int flags, mode_t mode = 0600);
// A file of the user's, to read it: links are followed.
[[nodiscard]] Fd os_open_input(const std::filesystem::path& path);

[[nodiscard]] bool os_write(int fd, const void* data, std::size_t size);
// All pieces, in as few calls as the system allows.
[[nodiscard]] bool os_write(int fd, std::span<const std::span<const std::byte>> pieces);
[[nodiscard]] bool os_pwrite(int fd, const void* data, std::size_t size, std::uint64_t offset);
// Reads up to `size` bytes; fewer only at the end of the file. -1: failed.
[[nodiscard]] ssize_t os_pread(int fd, void* data, std::size_t size, std::uint64_t offset);
[[nodiscard]] bool os_sync_data(int fd);
[[nodiscard]] bool os_sync_directory(const std::filesystem::path& directory);
// Everything below `directory`, its bytes and its names, is on the disk.
[[nodiscard]] bool os_sync_tree(const std::filesystem::path& directory);
[[nodiscard]] bool os_rename(const std::filesystem::path& from, const std::filesystem::path& to);
// Fails with EEXIST where something lies at `to`, with EINVAL where the file system cannot look.
[[nodiscard]] bool os_rename_new(const std::filesystem::path& from,
                                 const std::filesystem::path& to);
// Removes all of it, also from directories of this user that he may not write to. False: something
// is left.
[[nodiscard]] bool os_remove_tree(const std::filesystem::path& path);
// Gives the file its blocks up to `size`: without them, touching its mapped memory on a full disk
// is the end of the process.
[[nodiscard]] bool os_reserve(int fd, std::size_t size);
// -1: failed.
[[nodiscard]] std::int64_t os_file_size(int fd);
// Is it an error that says nothing of the file? The same may succeed when there is room again.
[[nodiscard]] bool os_is_passing(int error) noexcept;
// The names in a directory, but for "." and "..". False: not all of them could be read.
[[nodiscard]] bool os_list(const std::filesystem::path& directory, std::vector<std::string>& names);

// --- Locks on bytes of an open file; they end with the descriptor, whatever kills its owner.
enum class LockMode { shared, exclusive };
[[nodiscard]] bool os_try_lock(int fd, std::uint64_t byte, LockMode mode, std::uint64_t count = 1);
[[nodiscard]] bool os_lock(int fd, std::uint64_t byte, LockMode mode);  // waits; may convert
void os_unlock(int fd, std::uint64_t byte, std::uint64_t count = 1) noexcept;
// Does another open file description hold one of these bytes, so that a lock in this mode would be
// refused? Yes where the system does not say: nobody who lives is taken for dead.
[[nodiscard]] bool os_is_locked(int fd, std::uint64_t byte, std::uint64_t count = 1,
                                LockMode mode = LockMode::exclusive);

// Memory shared by all who map the same file; anonymous where fd is -1.
class SharedMapping {
 public:
  SharedMapping() = default;
  SharedMapping(SharedMapping&& other) noexcept;
  SharedMapping& operator=(SharedMapping&& other) noexcept;
  ~SharedMapping();
  [[nodiscard]] static SharedMapping map(int fd, std::size_t size);

  void let_go() noexcept;  // its place is private memory from now on, zeros
  [[nodiscard]] void* data() const noexcept { return data_; }
  explicit operator bool() const noexcept { return data_ != nullptr; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

// Sleeps while *word == expected, at most `timeout`. The word may be shared between processes.
void os_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
             std::chrono::milliseconds timeout) noexcept;
void os_wake_all(const std::atomic<std::uint32_t>& word) noexcept;

}  // namespace stook::detail
