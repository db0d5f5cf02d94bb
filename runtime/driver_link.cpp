#include "runtime/driver_link.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <memory>
#include <sstream>
#include <thread>

namespace stook::detail {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kSilentDriver{60};  // it beats every two seconds
constexpr std::chrono::milliseconds kLookEvery{500};
constexpr std::chrono::microseconds kFirstPause{200};
constexpr std::chrono::microseconds kLongestPause{20'000};
constexpr timeval kConnectWithin{20, 0};

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text += "0123456789abcdef"[std::to_integer<int>(byte) >> 4];
    text += "0123456789abcdef"[std::to_integer<int>(byte) & 15];
  }
  return text;
}

// False: it is none.
bool read_address(const std::filesystem::path& file, DriverAddress& address) {
  char text[512];
  const Fd fd = os_open(file, O_RDONLY);
  const ssize_t got = fd ? os_pread(fd.get(), text, sizeof text, 0) : -1;
  if (got <= 0) return false;
  std::istringstream words(std::string(text, static_cast<std::size_t>(got)));
  std::string token;
  if (!(words >> address.host >> address.port >> token)) return false;
  if (token.size() != address.token.size() * 2) return false;
  const char* digits = token.data();
  for (std::byte& byte : address.token) {
    unsigned value = 0;
    if (std::from_chars(digits, digits + 2, value, 16).ptr != digits + 2) return false;
    byte = static_cast<std::byte>(value);
    digits += 2;
  }
  return true;
}

Fd connect_to(const DriverAddress& address, std::string& why) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  const int failed = ::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
  if (failed != 0) why = ::gai_strerror(failed);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    Fd socket(::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol));
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kConnectWithin, sizeof kConnectWithin);
    if (socket && ::connect(socket.get(), at->ai_addr, at->ai_addrlen) == 0) return socket;
    why = std::strerror(errno);
  }
  return {};
}

}  // namespace

// --- Over a socket ---------------------------------------------------------------------------

std::size_t SocketLink::read(std::span<std::byte> to) {
  for (;;) {
    const ssize_t got = ::read(socket_.get(), to.data(), to.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return 0;
  }
}

bool SocketLink::write(std::span<const std::byte> bytes) { return send_all(socket_.get(), bytes); }

bool SocketLink::send_all(int socket, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

void SocketLink::close() { ::shutdown(socket_.get(), SHUT_RDWR); }

// --- Over TCP --------------------------------------------------------------------------------

std::filesystem::path driver_file(const std::filesystem::path& directory) {
  return directory / "driver";
}

std::string driver_text(const DriverAddress& address) {
  return address.host + " " + std::to_string(address.port) + " " + hex(address.token) + "\n";
}

Result<Fd> connect_to_driver(const std::filesystem::path& file) {
  DriverAddress address;
  if (!read_address(file, address)) return Failed{"cannot read " + file.string()};
  std::string why;
  Fd socket = connect_to(address, why);
  if (!socket) {
    return Failed{"cannot connect to the driver at " + address.host + ", port " +
                  std::to_string(address.port) + ": " + why};
  }
  set_for_pilots(socket.get());
  if (!SocketLink::send_all(socket.get(), address.token)) return Failed{"the driver hung up"};
  return socket;
}

void set_for_pilots(int socket) {
  const auto set = [socket](int level, int option, int value) {
    ::setsockopt(socket, level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 6);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 45'000);  // what was sent and is not acknowledged
}

// --- Over files ------------------------------------------------------------------------------

FileLink::FileLink(const std::filesystem::path& directory)
    : alive_path_(directory / "alive"), in_(os_open(directory / "in", O_RDONLY)),
      out_(os_open(directory / "out", O_CREAT | O_EXCL | O_WRONLY | O_APPEND)),
      driver_(alive_path_) {}

// Opened by its name each time: network file systems look for it anew only then.
bool FileLink::given_up() const {
  if (!os_open(alive_path_, O_RDWR) && (errno == ENOENT || errno == ESTALE)) return true;
  return driver_.is_gone();
}

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
    const auto now = Clock::now();
    if (now - start > kSilentDriver) return 0;
    if (now - looked_ > kLookEvery) {
      looked_ = now;
      if (given_up()) return 0;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min<std::chrono::microseconds>(pause * 3 / 2, kLongestPause);
  }
  return 0;
}

bool FileLink::write(std::span<const std::byte> bytes) {
  return os_write(out_.get(), bytes.data(), bytes.size());
}

}  // namespace stook::detail
