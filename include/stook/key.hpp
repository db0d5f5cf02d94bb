// key.hpp - the two 128-bit identities: what a task is (Key) and what it produced (Digest).
// Unaware of how they are computed (src/hash.h) and of where they are stored.
// Values; thread-safe as values are.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace stook {

// 128 bits of XXH3. Not cryptographic: it defends against accidents, not against an adversary.
struct Hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend auto operator<=>(const Hash128&, const Hash128&) = default;
  [[nodiscard]] bool is_zero() const { return (high | low) == 0; }
};

// Names a task: class name, version and canonical arguments. Equal keys are one task.
struct Key : Hash128 {
  friend auto operator<=>(const Key&, const Key&) = default;
};

// Names a result: the encoded value and, where the task used one, its directory's content.
struct Digest : Hash128 {
  friend auto operator<=>(const Digest&, const Digest&) = default;
};

// 32 lower-case hexadecimal digits, high half first.
[[nodiscard]] std::string to_hex(const Hash128& hash);

// Mixes nothing: the bits of a Hash128 are uniform already.
struct Hash128Hasher {
  std::size_t operator()(const Hash128& hash) const noexcept {
    return static_cast<std::size_t>(hash.low);
  }
};

}  // namespace stook

template <>
struct std::hash<stook::Key> : stook::Hash128Hasher {};
template <>
struct std::hash<stook::Digest> : stook::Hash128Hasher {};
