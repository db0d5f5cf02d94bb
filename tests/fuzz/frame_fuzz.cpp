// Any bytes as a frame or the head of a pack: refused, or a frame that encodes to the same bytes.
// Checksums are also put right, or hardly any input would get past them.
#include <xxhash.h>

#include <cstring>
#include <vector>

#include "cache/frame.h"
#include "tests/fuzz/fuzz.h"

using namespace stook::detail;

namespace {

constexpr std::uint64_t salt = 42;

void put_check(std::vector<std::byte>& bytes, std::size_t at) {
  if (at + kCheckBytes > bytes.size()) return;
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), at);
  const std::uint64_t check[2] = {hash.high64, hash.low64 ^ salt};
  std::memcpy(bytes.data() + at, check, sizeof check);
}

void look(std::span<const std::byte> bytes) {
  (void)decode_pack_header(bytes);
  (void)find_frame_magic(bytes, 0);
  if (bytes.size() < kFixedBytes) return;
  const auto length = frame_length(bytes.first(kFixedBytes));
  if (!length) return;
  if (front_length(bytes.first(kFixedBytes)) <= bytes.size()) (void)decode_front(bytes, salt);
  const auto frame = decode_frame(bytes, salt);
  if (!frame) return;
  stook::fuzz::require(*length <= bytes.size(), "a frame lies in its bytes");
  std::vector<UpstreamSeen> upstream;
  for (std::size_t i = 0; i < frame->upstream_count(); ++i)
    upstream.push_back(frame->upstream_at(i));
  (void)to_record(*frame, PackHeader{});
  std::vector<std::byte> again;
  const ByteSpan value = frame->value;
  encode_frame(*frame, upstream, {&value, 1}, salt, again);
  const auto copy = decode_frame(again, salt);
  stook::fuzz::require(copy && copy->key == frame->key && copy->arguments == frame->arguments &&
                           copy->value.size() == frame->value.size(),
                       "encoding is the inverse of decoding");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  look(stook::fuzz::bytes(data, size));
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  if (size < kFixedBytes + kCheckBytes) return 0;
  std::memcpy(bytes.data(), "STKR", 4);
  const std::span<const std::byte> fixed(bytes.data(), kFixedBytes);
  const auto length = frame_length(fixed);
  if (!length || *length > size || *length < kCheckBytes) return 0;
  const std::uint64_t front = front_length(fixed);
  if (front >= kCheckBytes && front < *length) put_check(bytes, front - kCheckBytes);
  put_check(bytes, *length - kCheckBytes);
  look(bytes);
  return 0;
}
