// hash.h - XXH3-128 of bytes, whole or in pieces.
// Unaware of what the bytes mean. Thread-safe: a Hasher belongs to one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include <stook/key.hpp>

namespace stook::detail {

[[nodiscard]] Hash128 hash_bytes(const void* data, std::size_t size) noexcept;
[[nodiscard]] inline Hash128 hash_bytes(std::string_view bytes) noexcept {
  return hash_bytes(bytes.data(), bytes.size());
}

// What the digest of a value begins with; then its encoding follows.
inline constexpr std::string_view kResultDomain = "stook result 1";

// The result digest of a value and of the directory its task used.
[[nodiscard]] inline Digest combine_digests(const Digest& value, const Digest& directory) {
  const Digest both[] = {value, directory};
  return Digest{hash_bytes(both, sizeof both)};
}

// The same hash over a sequence of pieces: equal to hash_bytes of their concatenation.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void update(const void* data, std::size_t size) noexcept;
  void update(std::string_view bytes) noexcept { update(bytes.data(), bytes.size()); }
  [[nodiscard]] Hash128 finish() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace stook::detail
