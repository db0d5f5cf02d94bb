// Results as bytes, all numbers little-endian. The reader knows the type; the type's signature is
// kept beside the bytes (Codec<T>::signature) and must be equal for them to be read.
//
//   bool            = byte                        0 or 1
//   number, enum    = its 1, 2, 4 or 8 bytes      two's complement, IEEE 754
//   long double     = byte*10                     x87 extended
//   complex         = number number
//   string          = count byte*count            any bytes
//   path            = flag string                 flag 1: relative to the root, 0: as it is
//   vector, deque, list = count element*count
//   array, T[N]     = element*N
//   set, map        = count element*count         in the order of iteration; unordered ones in
//                                                 the order of the elements' bytes
//   pair, tuple, aggregate = field*               in the order of declaration
//   optional, unique_ptr, shared_ptr = bool value?
//   variant         = byte value                  the index of the alternative
//   duration        = number
//   Json, types with to_json = string             canonical bytes, see canonical.cpp
//   monostate, empty aggregate, empty tuple, empty array = 0 byte
//   count           = uint64
//
// Every value takes at least one byte, so a count is never larger than the bytes that follow.
// Aggregates nest at most 1000 deep. Version 1.
#include <algorithm>
#include <bit>

#include "src/hash.h"
#include "src/mutant.h"

#include <stook/codec.hpp>

namespace stook {

static_assert(std::endian::native == std::endian::little, "stook: little-endian hosts only");

namespace {

std::string without_trailing_slash(std::string root) {
  while (root.size() > 1 && root.back() == '/') root.pop_back();
  return root;
}

// Whether one of the path's components is "..".
bool climbs(std::string_view path) {
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (path.substr(0, slash) == "..") return true;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return false;
}

}  // namespace

// --- Writer -------------------------------------------------------------------------------------

void Writer::grow(std::size_t more) {
  const std::size_t doubled = std::max<std::size_t>(256, 2 * buffer_.capacity());
  buffer_.reserve(std::max(buffer_.size() + more, doubled));
}

void Writer::borrow(const void* data, std::size_t size) {
  borrows_.push_back({buffer_.size(), {static_cast<const std::byte*>(data), size}});
  borrowed_ += size;
}

void Writer::throw_deep() {
  throw InvalidArgument("a result nests deeper than " + std::to_string(max_depth) +
                        " levels and cannot be kept: flatten it");
}

void Writer::set_root(std::string root) { root_ = without_trailing_slash(std::move(root)); }

void Writer::write_path(std::string_view path) {
  const std::string_view rest = path.substr(std::min(root_.size(), path.size()));
  const bool below = !root_.empty() && path.starts_with(root_) &&
                     (rest.empty() || rest[0] == '/' || root_ == "/") && !climbs(rest);
  put<std::uint8_t>(below ? 1 : 0);
  const std::size_t slashes = std::min(rest.find_first_not_of('/'), rest.size());
  const std::string_view text = below ? rest.substr(slashes) : path;
  write_count(text.size());
  write(text.data(), text.size());
}

std::span<const std::span<const std::byte>> Writer::pieces() const {
  pieces_.clear();
  const std::span<const std::byte> buffer(buffer_);
  std::size_t at = 0;
  for (const Borrowed& borrowed : borrows_) {
    if (borrowed.at > at) pieces_.push_back(buffer.subspan(at, borrowed.at - at));
    pieces_.push_back(borrowed.bytes);
    at = borrowed.at;
  }
  if (buffer.size() > at) pieces_.push_back(buffer.subspan(at));
  return pieces_;
}

void Writer::clear() {
  buffer_.clear();
  borrows_.clear();
  pieces_.clear();
  borrowed_ = 0;
  depth_ = 0;
}

// A Hasher's state is over half a kilobyte: most results are one small piece and need none.
Digest digest_of(const Writer& writer) {
  constexpr std::string_view domain = detail::kResultDomain;
  char small[256];
  if (writer.size() + domain.size() <= sizeof small) {
    std::size_t size = domain.copy(small, domain.size());
    for (const auto piece : writer.pieces()) {
      std::memcpy(small + size, piece.data(), piece.size());
      size += piece.size();
    }
    return {detail::hash_bytes(small, size)};
  }
  detail::Hasher hasher;
  hasher.update(domain);
  for (const auto piece : writer.pieces()) hasher.update(piece.data(), piece.size());
  return {hasher.finish()};
}

// --- Reader -------------------------------------------------------------------------------------

void Reader::throw_malformed(std::string_view what) {
  throw CacheError("a stored result is damaged: " + std::string(what));
}

void Reader::set_root(std::string root) { root_ = without_trailing_slash(std::move(root)); }

std::string Reader::read_path() {
  const bool below = detail::decode_bool(*this);
  const std::string_view text = read_text();
  if (!below) return std::string(text);
  if (root_.empty()) throw_malformed("a path below the cache, but no cache");
  if (!STOOK_MUTANT("path-leaves-cache") && (text.starts_with('/') || climbs(text)))
    throw_malformed("a path that leaves the cache");
  if (text.empty()) return root_;
  return root_ + (root_ == "/" ? "" : "/") + std::string(text);
}

}  // namespace stook

namespace stook::detail {

std::string number_signature(bool floating, bool is_signed, std::size_t size) {
  std::string text = floating ? "f" : is_signed ? "i" : "u";
  return text += std::to_string(8 * size);
}

std::string array_signature(std::string_view element, std::size_t size) {
  std::string text = "arr<";
  text += element;
  text += ',';
  text += std::to_string(size);
  return text += '>';
}

std::string list_signature(std::string_view open, std::initializer_list<std::string> parts,
                           char close) {
  std::string text(open);
  bool first = true;
  for (const std::string& part : parts) {
    if (!first) text += ',';
    first = false;
    text += part;
  }
  return text += close;
}

std::string up_signature(std::size_t levels) {
  std::string text = "^";
  return text += std::to_string(levels);
}

bool decode_bool(Reader& reader) {
  const auto value = reader.take<std::uint8_t>();
  if (value > 1) Reader::throw_malformed("a boolean that is neither");
  return value == 1;
}

// The ten bytes that count; the padding of a long double is arbitrary.
void encode_long_double(Writer& writer, long double value) { writer.write(&value, 10); }

long double decode_long_double(Reader& reader) {
  long double value = 0;
  std::memcpy(&value, reader.read(10).data(), 10);
  return value;
}

void encode_canonical(Writer& writer, const CanonicalWriter& canonical) {
  writer.write_count(canonical.size());
  writer.write(canonical.bytes().data(), canonical.size());
}

Json decode_json(Reader& reader) { return canonical_to_json(reader.read_text()); }

void write_sorted(Writer& writer, const Writer& scratch, const std::vector<std::size_t>& ends) {
  if (ends.empty()) return;
  const std::span<const std::byte> bytes = scratch.pieces()[0];  // nothing is borrowed
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<std::string_view> elements;
  elements.reserve(ends.size());
  std::size_t at = 0;
  for (const std::size_t end : ends) {
    elements.push_back(text.substr(at, end - at));
    at = end;
  }
  std::sort(elements.begin(), elements.end());
  for (const std::string_view element : elements) writer.write(element.data(), element.size());
}

namespace {

thread_local std::vector<const std::type_info*> open_signatures;

}  // namespace

SignatureScope::SignatureScope(const std::type_info& type) {
  for (std::size_t i = 0; i < open_signatures.size(); ++i) {
    if (*open_signatures[i] == type) levels_up_ = open_signatures.size() - i;
  }
  open_signatures.push_back(&type);
}

SignatureScope::~SignatureScope() { open_signatures.pop_back(); }

}  // namespace stook::detail
