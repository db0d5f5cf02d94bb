// driver_link.h - a worker's way to its driver and back: bytes. Over a socket, or over files.
// Unaware of messages. read() and write() are for one thread each, close() for any.
// Design: runtime/executors/README.md
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "src/os.h"

namespace stook::detail {

class DriverLink {
 public:
  virtual ~DriverLink() = default;
  // Waits for bytes. 0: the driver is gone, or has said all.
  virtual std::size_t read(std::span<std::byte> to) = 0;
  virtual bool write(std::span<const std::byte> bytes) = 0;
  virtual void close() = 0;
};

class SocketLink final : public DriverLink {
 public:
  explicit SocketLink(Fd socket) : socket_(std::move(socket)) {}
  std::size_t read(std::span<std::byte> to) override;
  bool write(std::span<const std::byte> bytes) override;
  void close() override;

 private:
  const Fd socket_;
};

// Two files that only grow: one the driver appends to, one this process does. Nothing is locked
// across hosts; who is silent for too long is gone.
class FileLink final : public DriverLink {
 public:
  // `directory`: of the pilot; its files are in, out and alive.
  explicit FileLink(const std::filesystem::path& directory);
  // False: the driver is gone, or an earlier process of this pilot was here before.
  [[nodiscard]] bool usable() const { return in_ && out_; }
  std::size_t read(std::span<std::byte> to) override;
  bool write(std::span<const std::byte> bytes) override;
  void close() override { closed_ = true; }

 private:
  const Fd in_;
  const Fd out_;
  const Fd alive_;
  const bool can_tell_;  // whether the driver lives
  std::uint64_t offset_ = 0;
  std::atomic<bool> closed_ = false;
};

}  // namespace stook::detail
