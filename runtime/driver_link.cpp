#include "runtime/driver_link.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

namespace stook::detail {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kSilentDriver{60};  // it beats every two seconds
constexpr std::chrono::milliseconds kLookAfter{200};
constexpr std::chrono::microseconds kFirstPause{200};
constexpr std::chrono::microseconds kLongestPause{20'000};

}  // namespace

// --- Over a socket ---------------------------------------------------------------------------

std::size_t SocketLink::read(std::span<std::byte> to) {
  for (;;) {
    const ssize_t got = ::read(socket_.get(), to.data(), to.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return 0;
  }
}

bool SocketLink::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

void SocketLink::close() { ::shutdown(socket_.get(), SHUT_RDWR); }

// --- Over files ------------------------------------------------------------------------------

FileLink::FileLink(const std::filesystem::path& directory)
    : in_(os_open(directory / "in", O_RDONLY)),
      out_(os_open(directory / "out", O_CREAT | O_EXCL | O_WRONLY | O_APPEND)),
      alive_(os_open(directory / "alive", O_RDWR)),
      can_tell_(alive_ && os_is_locked(alive_.get(), 0)) {}

std::size_t FileLink::read(std::span<std::byte> to) {
  const auto start = Clock::now();
  std::chrono::microseconds pause = kFirstPause;
  while (!closed_) {
    const ssize_t got = os_pread(in_.get(), to.data(), to.size(), offset_);
    if (got < 0) return 0;
    if (got > 0) {
      offset_ += static_cast<std::uint64_t>(got);
      return static_cast<std::size_t>(got);
    }
    const auto silent = Clock::now() - start;
    if (silent > kSilentDriver) return 0;
    if (silent > kLookAfter && can_tell_ && !os_is_locked(alive_.get(), 0)) return 0;
    std::this_thread::sleep_for(pause);
    pause = std::min<std::chrono::microseconds>(pause * 3 / 2, kLongestPause);
  }
  return 0;
}

bool FileLink::write(std::span<const std::byte> bytes) {
  return os_write(out_.get(), bytes.data(), bytes.size());
}

}  // namespace stook::detail
