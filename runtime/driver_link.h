// driver_link.h - a worker's way to its driver and back: bytes. Over a socket, or over files.
// Unaware of messages. read() and write() are for one thread each, close() for any.
// Design: runtime/executors/README.md
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "runtime/alive.h"
#include "src/os.h"
#include "src/result.h"

namespace stook::detail {

class DriverLink {
 public:
  virtual ~DriverLink() = default;
  // Waits for bytes. 0: the driver is gone, or has said all.
  virtual std::size_t read(std::span<std::byte> to) = 0;
  virtual bool write(std::span<const std::byte> bytes) = 0;
  virtual void close() = 0;
  // Has the driver given this process up, which may not have read that yet?
  [[nodiscard]] virtual bool given_up() const { return false; }
};

class SocketLink final : public DriverLink {
 public:
  explicit SocketLink(Fd socket) : socket_(std::move(socket)) {}
  std::size_t read(std::span<std::byte> to) override;
  bool write(std::span<const std::byte> bytes) override;
  void close() override;
  [[nodiscard]] static bool send_all(int socket, std::span<const std::byte> bytes);

 private:
  const Fd socket_;
};

// --- Over TCP: where a pilot finds its driver, and what it says first.
struct DriverAddress {
  std::string host;
  unsigned short port = 0;
  std::array<std::byte, 16> token{};
};

// The file of a pilot's directory that holds it, and the text in it: HOST PORT TOKEN, in hex.
[[nodiscard]] std::filesystem::path driver_file(const std::filesystem::path& directory);
[[nodiscard]] std::string driver_text(const DriverAddress& address);
// Fails where the file is none, or the driver cannot be reached.
[[nodiscard]] Result<Fd> connect_to_driver(const std::filesystem::path& file);
// So that either side hears within a minute that the other's host is gone.
void set_for_pilots(int socket);

// Two files that only grow: one the driver appends to, one this process does. Nothing is locked
// across hosts; who is silent for too long is gone. A third one is removed by a driver that has
// given this worker up.
class FileLink final : public DriverLink {
 public:
  // `directory`: of the pilot; its files are in, out and alive.
  explicit FileLink(const std::filesystem::path& directory);
  // False: the driver is gone, or an earlier process of this pilot was here before.
  [[nodiscard]] bool usable() const { return in_ && out_; }
  std::size_t read(std::span<std::byte> to) override;
  bool write(std::span<const std::byte> bytes) override;
  void close() override { closed_ = true; }
  [[nodiscard]] bool given_up() const override;

 private:
  const std::filesystem::path alive_path_;
  const Fd in_;
  const Fd out_;
  const DriverWatch driver_;
  std::uint64_t offset_ = 0;
  std::chrono::steady_clock::time_point looked_;
  std::atomic<bool> closed_ = false;
};

}  // namespace stook::detail
