#include "cache/frame.h"

#include <bit>
#include <cstring>

#include "src/hash.h"
#include "src/mutant.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

static_assert(std::endian::native == std::endian::little, "packs are written by plain copies");

constexpr char kFrameMagic[4] = {'S', 'T', 'K', 'R'};
constexpr char kPackMagic[8] = {'S', 'T', 'O', 'O', 'K', 'P', 'K', '1'};
constexpr std::size_t kPackFixed = 8 + 4 + 4 + 8 + 8 + 8 + 2 + 2;
constexpr std::uint8_t kCompressed = 1;
constexpr std::uint8_t kInObject = 2;
constexpr std::uint8_t kMostFlags = kCompressed | kInObject;
constexpr auto kMostKind = static_cast<std::uint8_t>(FrameKind::damaged);

// Writes into memory that is known to be large enough.
struct Put {
  std::byte* at;

  void bytes(const void* from, std::size_t size) {
    if (size > 0) std::memcpy(at, from, size);
    at += size;
  }
  template <class T> void number(T value) { bytes(&value, sizeof value); }
  void hash(const Hash128& value) {
    number(value.high);
    number(value.low);
  }
  void text(std::string_view value) { bytes(value.data(), value.size()); }
};

// Reads from memory that is known to be long enough.
struct Get {
  const std::byte* at;

  template <class T> T number() {
    T value;
    std::memcpy(&value, at, sizeof value);
    at += sizeof value;
    return value;
  }
  template <class Hash = Hash128> Hash hash() {
    Hash value;
    value.high = number<std::uint64_t>();
    value.low = number<std::uint64_t>();
    return value;
  }
  std::string_view text(std::size_t size) {
    const std::string_view view(reinterpret_cast<const char*>(at), size);
    at += size;
    return view;
  }
  std::span<const std::byte> bytes(std::size_t size) {
    const std::span<const std::byte> view(at, size);
    at += size;
    return view;
  }
};

Hash128 salted_check(const void* data, std::size_t size, std::uint64_t salt) {
  Hash128 hash = hash_bytes(data, size);
  if (!STOOK_MUTANT("frame-salt")) hash.low ^= salt;
  return hash;
}

bool check_holds(std::span<const std::byte> bytes, std::uint64_t salt) {
  const std::size_t body = bytes.size() - kCheckBytes;
  return Get{bytes.data() + body}.hash() == salted_check(bytes.data(), body, salt);
}

// The lengths in a frame's fixed part, as read; nothing is known about them yet.
struct Lengths {
  std::uint8_t kind, flags;
  std::uint64_t class_name, arguments, upstream, stored, raw, codec;
};

Lengths read_lengths(const std::byte* fixed) {
  Lengths lengths = {};
  Get get{fixed + 4};
  lengths.kind = get.number<std::uint8_t>();
  lengths.flags = get.number<std::uint8_t>();
  lengths.class_name = get.number<std::uint16_t>();
  lengths.arguments = get.number<std::uint32_t>();
  lengths.upstream = get.number<std::uint32_t>();
  lengths.stored = get.number<std::uint64_t>();
  lengths.raw = get.number<std::uint64_t>();
  lengths.codec = Get{fixed + 124}.number<std::uint16_t>();
  return lengths;
}

bool plausible(const Lengths& lengths) {
  if (!STOOK_MUTANT("frame-name-cap") &&
      (lengths.class_name > kMostClass || lengths.arguments > kMostArguments)) {
    return false;
  }
  if (!STOOK_MUTANT("frame-upstream-cap") && lengths.upstream > kMostUpstream) return false;
  if (!STOOK_MUTANT("frame-raw-cap") && lengths.raw > kMostRaw) return false;
  if ((lengths.flags & kInObject) != 0) {
    return STOOK_MUTANT("frame-bomb") ||
           (lengths.stored <= kMostRaw && lengths.raw / 65536 <= lengths.stored);
  }
  if (!STOOK_MUTANT("frame-value-cap") &&
      (lengths.stored > kMostInline || lengths.raw > kMostInline)) {
    return false;
  }
  return STOOK_MUTANT("frame-sizes") || (lengths.flags & kCompressed) != 0 ||
         lengths.stored == lengths.raw;
}

// A later version may have more kinds and flags.
bool is_known(const Lengths& lengths) {
  if (STOOK_MUTANT("frame-kind")) return true;
  return lengths.kind >= 1 && lengths.kind <= kMostKind && lengths.flags <= kMostFlags;
}

// With its checksum.
std::uint64_t front_length_of(const Lengths& lengths) {
  const bool object = (lengths.flags & kInObject) != 0;
  return kFixedBytes + (object ? 16 : lengths.stored) + lengths.class_name + lengths.arguments +
         lengths.codec + kCheckBytes;
}

std::uint64_t total_length(const Lengths& lengths) {
  const std::uint64_t front = front_length_of(lengths);
  return lengths.upstream == 0 ? front : front + lengths.upstream * kUpstreamBytes + kCheckBytes;
}

void put_fixed(Put& put, const Frame& frame, std::size_t upstream_count) {
  put.bytes(kFrameMagic, sizeof kFrameMagic);
  put.number(static_cast<std::uint8_t>(frame.kind));
  put.number(static_cast<std::uint8_t>((frame.compressed ? kCompressed : 0) |
                                       (frame.in_object ? kInObject : 0)));
  put.number(static_cast<std::uint16_t>(frame.class_name.size()));
  put.number(static_cast<std::uint32_t>(frame.arguments.size()));
  put.number(static_cast<std::uint32_t>(upstream_count));
  put.number(frame.stored_bytes);
  put.number(frame.raw_bytes);
  put.number(frame.seq);
  put.hash(frame.key);
  put.number(frame.id);
  put.hash(frame.digest);
  put.hash(frame.directory);
  put.number(frame.started_ns);
  put.number(frame.duration_ns);
  put.number(frame.run);
  put.number(frame.version);
  put.number(static_cast<std::uint16_t>(frame.codec.size()));
  put.number(std::uint16_t{0});
}

void get_fixed(Get get, Frame& frame) {
  frame.seq = get.number<std::uint64_t>();
  frame.key = get.hash<Key>();
  frame.id = get.number<std::uint64_t>();
  frame.digest = get.hash<Digest>();
  frame.directory = get.hash<Digest>();
  frame.started_ns = get.number<std::int64_t>();
  frame.duration_ns = get.number<std::int64_t>();
  frame.run = get.number<std::uint64_t>();
  frame.version = get.number<std::uint32_t>();
}

// REQUIRES: as many bytes as the lengths say, checked.
Frame get_front(const std::byte* bytes, const Lengths& lengths) {
  Frame frame;
  frame.known = is_known(lengths);
  frame.kind = static_cast<FrameKind>(lengths.kind);
  frame.compressed = (lengths.flags & kCompressed) != 0;
  frame.in_object = (lengths.flags & kInObject) != 0;
  frame.stored_bytes = lengths.stored;
  frame.raw_bytes = lengths.raw;
  get_fixed(Get{bytes + 32}, frame);
  Get get{bytes + kFixedBytes};
  if (frame.in_object) frame.object = get.hash();
  frame.class_name = get.text(lengths.class_name);
  frame.arguments = get.text(lengths.arguments);
  frame.codec = get.text(lengths.codec);
  if (!frame.in_object) frame.value = get.bytes(lengths.stored);
  return frame;
}

std::byte* grow(std::vector<std::byte>& out, std::size_t size) {
  const std::size_t start = out.size();
  out.resize(start + size);
  return out.data() + start;
}

}  // namespace

UpstreamSeen Frame::upstream_at(std::size_t i) const {
  Get get{upstream.data() + i * kUpstreamBytes};
  UpstreamSeen seen;
  seen.key = get.hash<Key>();
  seen.digest = get.hash<Digest>();
  return seen;
}

void check_caps(const Publication& publication) {
  if (publication.class_name.size() <= kMostClass && publication.codec.size() <= kMostCodec &&
      publication.arguments.size() <= kMostArguments &&
      publication.upstream.size() <= kMostUpstream) {
    return;
  }
  throw InvalidArgument(
      "publish a result of " + std::string(publication.class_name.substr(0, 200)) +
      ": its class name (at most 4 KiB), codec signature (64 KiB), arguments (64 MiB) or upstream "
      "tasks (16,777,216) exceed what a pack can record; pass large arguments through a file or "
      "another task's result");
}

void encode_frame(const Frame& frame, std::span<const UpstreamSeen> upstream,
                  std::span<const ByteSpan> value, std::uint64_t salt,
                  std::vector<std::byte>& out) {
  const std::size_t size = kFixedBytes + (frame.in_object ? 16 : frame.stored_bytes) +
                           frame.class_name.size() + frame.arguments.size() + frame.codec.size() +
                           (upstream.empty() ? 0 : kCheckBytes) + upstream.size() * kUpstreamBytes +
                           kCheckBytes;
  std::byte* const start = grow(out, size);
  Put put{start};
  put_fixed(put, frame, upstream.size());
  if (frame.in_object) put.hash(frame.object);
  put.text(frame.class_name);
  put.text(frame.arguments);
  put.text(frame.codec);
  if (!frame.in_object) {
    for (const ByteSpan& piece : value) put.bytes(piece.data(), piece.size());
  }
  put.hash(salted_check(start, static_cast<std::size_t>(put.at - start), salt));
  if (upstream.empty()) return;
  for (const UpstreamSeen& seen : upstream) {
    put.hash(seen.key);
    put.hash(seen.digest);
  }
  put.hash(salted_check(start, static_cast<std::size_t>(put.at - start), salt));
}

std::optional<std::uint64_t> frame_length(std::span<const std::byte> fixed) {
  if (std::memcmp(fixed.data(), kFrameMagic, sizeof kFrameMagic) != 0) return std::nullopt;
  const Lengths lengths = read_lengths(fixed.data());
  if (!plausible(lengths)) return std::nullopt;
  return total_length(lengths);
}

std::optional<Frame> decode_frame(std::span<const std::byte> bytes, std::uint64_t salt) {
  if (bytes.size() < kFixedBytes + kCheckBytes) return std::nullopt;
  const auto length = frame_length(bytes);
  if (!length || *length > bytes.size()) return std::nullopt;
  if (!STOOK_MUTANT("check-frame") && !check_holds(bytes.first(*length), salt)) {
    return std::nullopt;
  }
  const Lengths lengths = read_lengths(bytes.data());
  Frame frame = get_front(bytes.data(), lengths);
  if (lengths.upstream != 0) {
    frame.upstream =
        Get{bytes.data() + front_length_of(lengths)}.bytes(lengths.upstream * kUpstreamBytes);
  }
  return frame;
}

std::uint64_t front_length(std::span<const std::byte> fixed) {
  return front_length_of(read_lengths(fixed.data()));
}

std::optional<Frame> decode_front(std::span<const std::byte> bytes, std::uint64_t salt) {
  if (!STOOK_MUTANT("check-front") && !check_holds(bytes, salt)) return std::nullopt;
  return get_front(bytes.data(), read_lengths(bytes.data()));
}

void encode_pack_header(const PackHeader& header, std::vector<std::byte>& out) {
  const std::string_view host = std::string_view(header.host).substr(0, 1024);
  const std::string_view build = std::string_view(header.build).substr(0, 1024);
  const std::size_t size = kPackFixed + host.size() + build.size() + kCheckBytes;
  std::byte* const start = grow(out, size);
  Put put{start};
  put.bytes(kPackMagic, sizeof kPackMagic);
  put.number(kPackVersion);
  put.number(static_cast<std::uint32_t>(size));
  put.number(header.process);
  put.number(header.salt);
  put.number(header.created_ns);
  put.number(static_cast<std::uint16_t>(host.size()));
  put.number(static_cast<std::uint16_t>(build.size()));
  put.text(host);
  put.text(build);
  put.hash(salted_check(start, size - kCheckBytes, header.salt));
}

std::optional<PackHeader> decode_pack_header(std::span<const std::byte> bytes) {
  if (bytes.size() < kPackFixed + kCheckBytes) return std::nullopt;
  if (std::memcmp(bytes.data(), kPackMagic, sizeof kPackMagic) != 0) return std::nullopt;
  Get get{bytes.data() + sizeof kPackMagic};
  const auto version = get.number<std::uint32_t>();
  PackHeader header;
  header.length = get.number<std::uint32_t>();
  header.process = get.number<std::uint64_t>();
  header.salt = get.number<std::uint64_t>();
  header.created_ns = get.number<std::int64_t>();
  const auto host = get.number<std::uint16_t>();
  const auto build = get.number<std::uint16_t>();
  if (!STOOK_MUTANT("pack-version") && version != kPackVersion) return std::nullopt;
  if (header.length > bytes.size()) return std::nullopt;
  if (header.length != kPackFixed + host + build + kCheckBytes) return std::nullopt;
  if (!STOOK_MUTANT("check-header") && !check_holds(bytes.first(header.length), header.salt)) {
    return std::nullopt;
  }
  header.host = get.text(host);
  header.build = get.text(build);
  return header;
}

std::uint32_t other_pack_version(std::span<const std::byte> bytes) {
  if (bytes.size() < kPackFixed + kCheckBytes) return 0;
  if (std::memcmp(bytes.data(), kPackMagic, sizeof kPackMagic) != 0) return 0;
  Get get{bytes.data() + sizeof kPackMagic};
  const auto version = get.number<std::uint32_t>();
  const auto length = get.number<std::uint32_t>();
  const auto process = get.number<std::uint64_t>();
  const auto salt = get.number<std::uint64_t>();
  static_cast<void>(process);
  if (version == kPackVersion || length < kPackFixed + kCheckBytes) return 0;
  if (length > bytes.size() || !check_holds(bytes.first(length), salt)) return 0;
  return version;
}

std::size_t find_frame_magic(std::span<const std::byte> bytes, std::size_t from) {
  if (from >= bytes.size()) return bytes.size();
  const void* at =
      memmem(bytes.data() + from, bytes.size() - from, kFrameMagic, sizeof kFrameMagic);
  if (at == nullptr) return bytes.size();
  return static_cast<std::size_t>(static_cast<const std::byte*>(at) - bytes.data());
}

Record to_record(const Frame& frame, const PackHeader& pack) {
  Record record;
  record.key = frame.key;
  record.id = frame.id;
  record.kind = frame.kind == FrameKind::external    ? RecordKind::external
                : frame.kind == FrameKind::transient ? RecordKind::transient
                                                     : RecordKind::result;
  record.class_name = frame.class_name;
  record.version = frame.version;
  record.arguments = frame.arguments;
  record.upstream.reserve(frame.upstream_count());
  for (std::size_t i = 0; i < frame.upstream_count(); ++i) {
    record.upstream.push_back(frame.upstream_at(i));
  }
  record.digest = frame.digest;
  record.directory = frame.directory;
  record.codec = frame.codec;
  record.started_ns = frame.started_ns;
  record.duration_ns = frame.duration_ns;
  record.run = frame.run;
  record.raw_bytes = frame.raw_bytes;
  record.stored_bytes = frame.stored_bytes;
  record.host = pack.host;
  record.build = pack.build;
  record.process = pack.process;
  return record;
}

}  // namespace stook::detail
