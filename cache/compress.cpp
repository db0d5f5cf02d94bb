#include "cache/compress.h"

#include <sys/mman.h>
#define ZSTD_STATIC_LINKING_ONLY  // ZSTD_decompressBound
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <new>

#include "src/mutant.h"

namespace stook::detail {
namespace {

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

ZSTD_CCtx* compressor(int level) {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
  if (!context) throw std::bad_alloc();
  ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_only);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, std::min(level, ZSTD_maxCLevel()));
  return context.get();
}

ZSTD_DCtx* decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeDecompressor> context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  return context.get();
}

constexpr std::size_t kHuge = std::size_t{2} << 20;

}  // namespace

bool compress(std::span<const ByteSpan> pieces, std::uint64_t raw_bytes, int level,
              std::vector<std::byte>& out) {
  if (level <= 0 || raw_bytes < kLeastCompressed) return false;
  ZSTD_CCtx* context = compressor(level);
  ZSTD_CCtx_setPledgedSrcSize(context, raw_bytes);
  out.resize(ZSTD_compressBound(raw_bytes));
  ZSTD_outBuffer to = {out.data(), out.size(), 0};
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const bool last = i + 1 == pieces.size();
    ZSTD_inBuffer from = {pieces[i].data(), pieces[i].size(), 0};
    const std::size_t left =
        ZSTD_compressStream2(context, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
    if (ZSTD_isError(left) || from.pos != from.size || (last && left != 0)) return false;
  }
  out.resize(to.pos);
  return to.pos < raw_bytes;
}

bool compress_stream(std::span<const ByteSpan> pieces, int level,
                     const std::function<bool(ByteSpan)>& sink) {
  ZSTD_CCtx* context = compressor(level);
  std::vector<std::byte> buffer(ZSTD_CStreamOutSize());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const bool last = i + 1 == pieces.size();
    ZSTD_inBuffer from = {pieces[i].data(), pieces[i].size(), 0};
    for (bool done = false; !done;) {
      ZSTD_outBuffer to = {buffer.data(), buffer.size(), 0};
      const std::size_t left =
          ZSTD_compressStream2(context, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
      if (ZSTD_isError(left)) errno = ENOMEM;  // what else may be the matter with a new value
      if (ZSTD_isError(left) || !sink({buffer.data(), to.pos})) return false;
      done = last ? left == 0 : from.pos == from.size;
    }
  }
  return true;
}

bool decompress(ByteSpan from, std::span<std::byte> to) {
  const std::size_t size =
      ZSTD_decompressDCtx(decompressor(), to.data(), to.size(), from.data(), from.size());
  return !ZSTD_isError(size) && (STOOK_MUTANT("decompressed-size") || size == to.size());
}

Inflater::Inflater(bool compressed, std::uint64_t raw_bytes, std::function<void(ByteSpan)> sink)
    : raw_bytes_(raw_bytes), sink_(std::move(sink)) {
  if (!compressed) return;
  constexpr int kWindowLog = 23;
  context_ = ZSTD_createDCtx();
  if (context_ == nullptr) throw std::bad_alloc();
  ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kWindowLog);
  out_.resize(ZSTD_DStreamOutSize());
  ended_ = false;
}

Inflater::~Inflater() { ZSTD_freeDCtx(context_); }

bool Inflater::take(ByteSpan stored) {
  if (!looked_) return true;
  if (context_ == nullptr) {
    got_ += stored.size();
    sink_(stored);
    return got_ <= raw_bytes_;
  }
  ZSTD_inBuffer from = {stored.data(), stored.size(), 0};
  for (bool full = false; full || from.pos < from.size;) {
    if (ended_) return false;  // something follows the value
    ZSTD_outBuffer to = {out_.data(), out_.size(), 0};
    const std::size_t left = ZSTD_decompressStream(context_, &to, &from);
    if (ZSTD_isError(left)) {
      looked_ = ZSTD_getErrorCode(left) != ZSTD_error_frameParameter_windowTooLarge;
      return !looked_;
    }
    full = to.pos == to.size && left != 0;
    ended_ = left == 0;
    got_ += to.pos;
    if (got_ > raw_bytes_) return false;
    sink_({out_.data(), to.pos});
  }
  return true;
}

bool Inflater::complete() const { return !looked_ || (ended_ && got_ == raw_bytes_); }

bool may_hold(ByteSpan stored, std::uint64_t raw_bytes) {
  const unsigned long long most = ZSTD_decompressBound(stored.data(), stored.size());
  return most != ZSTD_CONTENTSIZE_ERROR && raw_bytes <= most;
}

Block::Block(std::size_t size) : data_(nullptr), size_(size) {
  if (size < 2 * kHuge) {
    data_ = static_cast<std::byte*>(std::malloc(std::max<std::size_t>(size, 1)));
  } else {
    const std::size_t rounded = (size + kHuge - 1) / kHuge * kHuge;
    data_ = static_cast<std::byte*>(std::aligned_alloc(kHuge, rounded));
    // A hint: fewer page faults while a large value is read in.
    if (data_ != nullptr) madvise(data_, rounded, MADV_HUGEPAGE);
  }
  if (data_ == nullptr) throw std::bad_alloc();
}

Block::~Block() { std::free(data_); }

}  // namespace stook::detail
