// compress.h - zstd over values. Contexts are kept per thread: a fresh one costs more than
// compressing a small value does.
// Unaware of where values go. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "src/store.h"

namespace stook::detail {

inline constexpr std::uint64_t kLeastCompressed = 256;  // below this zstd's header eats the gain

// Compresses the pieces as one value. False: off, too small, or it does not shrink.
[[nodiscard]] bool compress(std::span<const ByteSpan> pieces, std::uint64_t raw_bytes, int level,
                            std::vector<std::byte>& out);

// Compresses without end: every stretch of output goes to `sink` until it returns false.
[[nodiscard]] bool compress_stream(std::span<const ByteSpan> pieces, int level,
                                   const std::function<bool(ByteSpan)>& sink);

// Fills `to` exactly. False: damaged, or another size comes out.
[[nodiscard]] bool decompress(ByteSpan from, std::span<std::byte> to);

// Memory for one value: not cleared, on huge pages where large. `size` may be 0.
class Block final : public Payload {
 public:
  explicit Block(std::size_t size);
  ~Block() override;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  [[nodiscard]] std::span<std::byte> memory() { return {data_, size_}; }
  [[nodiscard]] ByteSpan bytes() const override { return {data_, size_}; }

 private:
  std::byte* data_;
  std::size_t size_;
};

}  // namespace stook::detail
