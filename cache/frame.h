// frame.h - the bytes of a pack: its file header and its records ("frames").
// Unaware of files, of locks and of the index. Thread-safe: no state.
//
// Version 1. All integers little-endian, no padding, no alignment. BNF:
//
//   pack      = header *frame
//   header    = "STOOKPK1" version:u32 length:u32 process:u64 salt:u64 created-ns:i64
//               host-length:u16 build-length:u16 host build check          ; length: all of it
//   frame     = front [check *upstream] check              ; the middle where upstream-count > 0
//   front     = fixed [object] class args codec [value]    ; what reading the value needs
//   fixed     = "STKR" kind:u8 flags:u8 class-length:u16 args-length:u32 upstream-count:u32
//               stored-length:u64 raw-length:u64 seq:u64 key:hash id:u64 digest:hash
//               directory:hash started-ns:i64 duration-ns:i64 run:u64 version:u32 codec-length:u16
//               reserved:u16                                               ; 128 bytes
//   object    = hash        ; if flags & 2: XXH3-128 of the object's bytes; then no value here
//   upstream  = key:hash digest:hash
//   value     = stored-length bytes; if flags & 1 a zstd frame of raw-length bytes
//   check     = hash        ; XXH3-128 of all before it in the header or frame; low half XOR salt
//   hash      = high:u64 low:u64
//   kind      = 1 result | 2 transient | 3 external | 4 key cleared | 5 class cleared
//             | 6 id given to a key | 7 record of a key found damaged
//
// The salt keeps a value that happens to hold the bytes of another pack's frame from being taken
// for one when a reader looks for the next frame behind a damaged stretch.
//
// Caps, checked before anything is allocated: class 4 KiB, codec 64 KiB - 1, args 64 MiB, upstream
// 2^24, value in a pack 1 MiB, value in an object 1 TiB and 65,536 times its stored bytes.
//
// Versions: 1, the first. What later ones keep, so that an older program knows a pack as theirs and
// leaves it alone: the header's first five fields, at most 4 KiB of it, and its check. Within a
// version kinds and flags may be added while the lengths mean what they mean here: who does not
// know them skips the frame, and keeps the pack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/store.h"

namespace stook::detail {

enum class FrameKind : std::uint8_t {
  result = 1,
  transient = 2,
  external = 3,
  clear_key = 4,
  clear_class = 5,
  id_given = 6,
  damaged = 7,
};

[[nodiscard]] inline bool is_record(FrameKind kind) { return kind <= FrameKind::external; }

inline constexpr std::size_t kFixedBytes = 128;
inline constexpr std::size_t kCheckBytes = 16;
inline constexpr std::size_t kUpstreamBytes = 32;
inline constexpr std::uint32_t kPackVersion = 1;
inline constexpr std::uint64_t kMostInline = std::uint64_t{1} << 20;  // larger: an object
inline constexpr std::uint64_t kMostClass = 4096;
inline constexpr std::uint64_t kMostCodec = 65535;
inline constexpr std::uint64_t kMostArguments = std::uint64_t{64} << 20;
inline constexpr std::uint64_t kMostUpstream = std::uint64_t{1} << 24;
inline constexpr std::uint64_t kMostRaw = std::uint64_t{1} << 40;

// A frame by view. Decoded ones look into the buffer they were decoded from.
struct Frame {
  FrameKind kind = FrameKind::result;
  bool known = true;  // false: whole, but its kind or flags are a later version's
  bool compressed = false;
  bool in_object = false;
  std::uint32_t version = 0;
  std::uint64_t stored_bytes = 0;
  std::uint64_t raw_bytes = 0;
  std::uint64_t seq = 0;
  Key key;
  std::uint64_t id = 0;
  Digest digest;
  Digest directory;
  std::int64_t started_ns = 0;
  std::int64_t duration_ns = 0;
  std::uint64_t run = 0;
  Hash128 object;
  std::string_view class_name;
  std::string_view arguments;
  std::string_view codec;
  std::span<const std::byte> upstream;  // kUpstreamBytes each; see upstream_at
  std::span<const std::byte> value;

  [[nodiscard]] std::size_t upstream_count() const { return upstream.size() / kUpstreamBytes; }
  [[nodiscard]] UpstreamSeen upstream_at(std::size_t i) const;
};

struct PackHeader {
  std::uint64_t process = 0;
  std::uint64_t salt = 0;
  std::int64_t created_ns = 0;
  std::string host;
  std::string build;
  std::uint64_t length = 0;  // of the header itself
};

// Appends the frame to `out`; upstream and value come from the arguments.
// REQUIRES: the caps are kept (see check_caps).
void encode_frame(const Frame& frame, std::span<const UpstreamSeen> upstream,
                  std::span<const ByteSpan> value, std::uint64_t salt, std::vector<std::byte>& out);

// Throws InvalidArgument where a name or the arguments are longer than the format allows.
void check_caps(const Publication& publication);

// How long the frame that begins with these bytes says it is. None: not a frame.
// REQUIRES: fixed.size() >= kFixedBytes
[[nodiscard]] std::optional<std::uint64_t> frame_length(std::span<const std::byte> fixed);

// The frame at the start of `bytes`, its check verified. None: damaged or cut short.
// How many bytes of a frame decode_front() needs. REQUIRES: frame_length(fixed) has a value.
[[nodiscard]] std::uint64_t front_length(std::span<const std::byte> fixed);

// The frame without its upstreams: a root above a million tasks is read in one short read. Nothing
// where its checksum does not hold. REQUIRES: front_length() bytes.
[[nodiscard]] std::optional<Frame> decode_front(std::span<const std::byte> bytes,
                                                std::uint64_t salt);

[[nodiscard]] std::optional<Frame> decode_frame(std::span<const std::byte> bytes,
                                                std::uint64_t salt);

void encode_pack_header(const PackHeader& header, std::vector<std::byte>& out);
// None: damaged, cut short or of another version.
[[nodiscard]] std::optional<PackHeader> decode_pack_header(std::span<const std::byte> bytes);
// The version of a whole header that this program does not read; 0: it is none.
[[nodiscard]] std::uint32_t other_pack_version(std::span<const std::byte> bytes);

// Where the next frame may begin, at or after `from`; bytes.size() if nowhere.
[[nodiscard]] std::size_t find_frame_magic(std::span<const std::byte> bytes, std::size_t from);

// The record a frame describes, owning its memory. The pack's header tells who wrote it.
[[nodiscard]] Record to_record(const Frame& frame, const PackHeader& pack);

}  // namespace stook::detail
