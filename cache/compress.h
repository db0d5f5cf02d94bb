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

struct ZSTD_DCtx_s;

namespace stook::detail {

inline constexpr std::uint64_t kLeastCompressed = 256;  // below this zstd's header eats the gain

// Compresses the pieces as one value. False: off, too small, or it does not shrink.
[[nodiscard]] bool compress(std::span<const ByteSpan> pieces, std::uint64_t raw_bytes, int level,
                            std::vector<std::byte>& out);

// Compresses without end: every stretch of output goes to `sink` until it returns false. False: it
// did, or (errno: ENOMEM) zstd failed.
[[nodiscard]] bool compress_stream(std::span<const ByteSpan> pieces, int level,
                                   const std::function<bool(ByteSpan)>& sink);

// Fills `to` exactly. False: damaged, or another size comes out.
[[nodiscard]] bool decompress(ByteSpan from, std::span<std::byte> to);

// Looks at a stored value that comes piece by piece: is it one of `raw_bytes` bytes? What comes out
// goes to `sink`. Memory is bounded: a zstd window over 8 MiB (level 20 and above) is not looked
// at.
class Inflater {
 public:
  Inflater(bool compressed, std::uint64_t raw_bytes, std::function<void(ByteSpan)> sink);
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  [[nodiscard]] bool take(ByteSpan stored);  // false: it is not
  [[nodiscard]] bool complete() const;
  [[nodiscard]] bool looked() const { return looked_; }  // all of it has come out

 private:
  const std::uint64_t raw_bytes_;
  const std::function<void(ByteSpan)> sink_;
  ::ZSTD_DCtx_s* context_ = nullptr;  // null: not compressed
  std::vector<std::byte> out_;
  std::uint64_t got_ = 0;
  bool ended_ = true;
  bool looked_ = true;
};

// Can this be one of `raw_bytes` bytes? Looks at the beginnings of its blocks only: what cannot be
// is refused before memory is taken for it.
[[nodiscard]] bool may_hold(ByteSpan stored, std::uint64_t raw_bytes);

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
