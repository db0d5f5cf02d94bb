#include "src/hash.h"

#define XXH_STATIC_LINKING_ONLY  // the size of XXH3_state_t
#include <xxhash.h>

namespace stook {

std::string to_hex(const Hash128& hash) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text(32, '0');
  for (int i = 0; i < 16; ++i) {
    text[15 - i] = digits[(hash.high >> (4 * i)) & 15];
    text[31 - i] = digits[(hash.low >> (4 * i)) & 15];
  }
  return text;
}

}  // namespace stook

namespace stook::detail {

Hash128 hash_bytes(const void* data, std::size_t size) noexcept {
  const XXH128_hash_t hash = XXH3_128bits(data, size);
  return {hash.high64, hash.low64};
}

struct Hasher::State {
  XXH3_state_t xxh;
};

// Plain new: the state asks for 64-byte alignment, and new honours it.
Hasher::Hasher() : state_(new State) { XXH3_128bits_reset(&state_->xxh); }
Hasher::~Hasher() = default;

void Hasher::update(const void* data, std::size_t size) noexcept {
  XXH3_128bits_update(&state_->xxh, data, size);
}

Hash128 Hasher::finish() const noexcept {
  const XXH128_hash_t hash = XXH3_128bits_digest(&state_->xxh);
  return {hash.high64, hash.low64};
}

}  // namespace stook::detail
