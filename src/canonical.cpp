// The canonical form, all integers little-endian:
//
//   value   = 'n'                                null
//           | 'f' | 't'                          false, true
//           | 'i' int64                          any integer an int64 holds
//           | 'u' uint64                         an integer above INT64_MAX, and no other
//           | 'd' uint64                         a finite double, its IEEE 754 bits
//           | 's' text
//           | 'a' count value*count
//           | 'o' count (text value)*count       members in strictly ascending order of key bytes
//           | 'k' uint64 uint64                  a future: the key it names, high half first
//   text    = count byte*count                   UTF-8: no surrogates, nothing overlong
//   count   = uint32
//
// Arrays and objects nest at most 256 deep. Version 1; the version is part of a key's domain.
#include <algorithm>
#include <bit>
#include <limits>
#include <unordered_map>

#include "src/mutant.h"
#include "src/shown.h"

#include <stook/canonical.hpp>

namespace stook {

static_assert(std::endian::native == std::endian::little, "stook: little-endian hosts only");

using detail::Tag;

// --- UTF-8 --------------------------------------------------------------------------------------

namespace {

std::size_t ascii_prefix(const char* data, std::size_t size) noexcept {
  std::size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    std::uint64_t word;
    std::memcpy(&word, data + at, sizeof word);
    if ((word & 0x8080808080808080U) != 0) break;
  }
  while (at < size && static_cast<unsigned char>(data[at]) < 0x80) ++at;
  return at;
}

// The length of the sequence of two to four bytes at `p`, or 0 where there is none.
std::size_t sequence_length(const unsigned char* p, std::size_t left) noexcept {
  const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return i < left && p[i] >= low && p[i] <= high;
  };
  const unsigned c = p[0];
  if (c >= 0xc2 && c <= 0xdf) return follows(1) ? 2 : 0;
  if (c >= 0xe0 && c <= 0xef) {
    const bool second = follows(1, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf);
    return second && follows(2) ? 3 : 0;
  }
  if (c >= 0xf0 && c <= 0xf4) {
    const bool second = follows(1, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

namespace detail {

std::size_t valid_utf8_prefix(std::string_view text) noexcept {
  std::size_t at = ascii_prefix(text.data(), text.size());
  while (at < text.size()) {
    const std::size_t length =
        sequence_length(reinterpret_cast<const unsigned char*>(text.data()) + at, text.size() - at);
    if (length == 0) return at;
    at += length;
    at += ascii_prefix(text.data() + at, text.size() - at);
  }
  return at;
}

void require_utf8(std::string_view text) {
  const std::size_t valid = valid_utf8_prefix(text);
  if (valid == text.size()) return;
  const std::string_view before =
      text.substr(valid > 30 ? valid - 30 : 0, std::min<std::size_t>(valid, 30));
  throw InvalidArgument("a string is not UTF-8: bad byte at offset " + std::to_string(valid) +
                        ", after \"" + std::string(before) + "\"");
}

void sort_members(std::vector<MemberRef>& members) {
  std::sort(members.begin(), members.end(),
            [](const MemberRef& a, const MemberRef& b) { return a.key < b.key; });
}

}  // namespace detail

// --- Writing ------------------------------------------------------------------------------------

void CanonicalWriter::throw_not_finite(double value) {
  throw InvalidArgument(std::string(value != value ? "NaN" : "an infinity") +
                        " cannot be an argument: it has no place in a key");
}

void CanonicalWriter::grow(std::size_t more) {
  const std::size_t used = size();
  const auto capacity = static_cast<std::size_t>(limit_ - begin_);
  const std::size_t wanted = std::max(capacity * 2, used + more);
  char* bigger = new char[wanted];
  std::memcpy(bigger, begin_, used);
  if (begin_ != inline_) delete[] begin_;
  begin_ = bigger;
  end_ = bigger + used;
  limit_ = bigger + wanted;
}

void CanonicalWriter::open(Tag kind, std::size_t count) {
  if (!STOOK_MUTANT("depth-of-arguments") && depth_ >= Json::max_depth) detail::throw_too_deep();
  if (count > std::numeric_limits<std::uint32_t>::max()) {
    throw InvalidArgument("an argument has more than 2^32 elements: pass a file");
  }
  ++depth_;
  const auto value = static_cast<std::uint32_t>(count);
  char* at = room(1 + sizeof value);
  *at = static_cast<char>(kind);
  std::memcpy(at + 1, &value, sizeof value);
}

void CanonicalWriter::put_string(std::string_view text, bool tagged) {
  detail::require_utf8(text);
  if (text.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw InvalidArgument("a string argument is longer than 4 GiB: pass a file");
  }
  const auto length = static_cast<std::uint32_t>(text.size());
  char* at = room((tagged ? 1 : 0) + sizeof length + text.size());
  if (tagged) *at++ = static_cast<char>(Tag::string);
  std::memcpy(at, &length, sizeof length);
  if (length != 0) std::memcpy(at + sizeof length, text.data(), length);
}

void CanonicalWriter::member(std::string_view key) {
  std::size_t& last = last_key_[depth_];
  if (last != 0) {
    std::uint32_t length;
    std::memcpy(&length, begin_ + last, sizeof length);
    const std::string_view before(begin_ + last + sizeof length, length);
    if (!(before < key)) {
      throw InvalidArgument(before == key
                                ? "an object has the member '" + std::string(key) + "' twice"
                                : "the members of an object are out of order: '" +
                                      std::string(key) + "' after '" + std::string(before) + "'");
    }
  }
  const std::size_t at = size();
  put_string(key, false);
  last = at;
}

void CanonicalWriter::put_key(const Key& key) {
  char* at = room(1 + 16);
  *at = static_cast<char>(Tag::future);
  std::memcpy(at + 1, &key.high, 8);
  std::memcpy(at + 9, &key.low, 8);
}

void CanonicalWriter::future(const detail::SpecPtr& spec) {
  if (!spec) {
    throw InvalidArgument("a future among the arguments names nothing: it was never assigned");
  }
  put_key(spec->key);
  if (futures_ != nullptr) futures_->push_back(spec);
}

void CanonicalWriter::future(const Key& key) { put_key(key); }

void CanonicalWriter::json(const Json& value) {
  switch (value.kind()) {
    case Json::Kind::null: return null();
    case Json::Kind::boolean: return boolean(value.as_boolean());
    case Json::Kind::integer: return integer(value.raw_integer());
    case Json::Kind::unsigned_integer: return unsigned_integer(value.raw_unsigned());
    case Json::Kind::floating: return number(value.raw_floating());
    case Json::Kind::string: return string(value.as_string());
    case Json::Kind::future:
      return value.future_spec() ? future(value.future_spec()) : future(value.future_key());
    case Json::Kind::array:
      begin_array(value.size());
      for (const Json& element : value.as_array()) json(element);
      return end_array();
    case Json::Kind::object:
      begin_object(value.size());
      for (const auto& [key, element] : value.as_object()) {
        member(key);
        json(element);
      }
      return end_object();
  }
}

void CanonicalWriter::sort_elements(std::size_t start, const std::vector<std::size_t>& ends) {
  std::vector<std::string_view> elements;
  elements.reserve(ends.size());
  std::size_t at = start;
  for (const std::size_t end : ends) {
    elements.emplace_back(begin_ + at, end - at);
    at = end;
  }
  if (std::is_sorted(elements.begin(), elements.end())) return;
  std::sort(elements.begin(), elements.end());
  std::string sorted;
  sorted.reserve(at - start);
  for (const std::string_view element : elements) sorted += element;
  std::memcpy(begin_ + start, sorted.data(), sorted.size());
}

// --- Reading ------------------------------------------------------------------------------------

namespace {

[[noreturn]] void malformed(const char* what) {
  throw CacheError(std::string("canonical bytes are damaged: ") + what);
}

// Recursion is bounded by Json::max_depth.
class Decoder {
 public:
  Decoder(std::string_view bytes, FutureResolver* resolver) : left_(bytes), resolver_(resolver) {}

  Json whole() {
    Json json = value();
    if (!left_.empty()) malformed("bytes after the value");
    return json;
  }

 private:
  template <class N> N take() {
    N n;
    std::memcpy(&n, take_bytes(sizeof n).data(), sizeof n);
    return n;
  }

  std::string_view take_bytes(std::size_t size) {
    if (left_.size() < size) malformed("cut short");
    const std::string_view bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return bytes;
  }

  std::string_view text() {
    const std::string_view bytes = take_bytes(take<std::uint32_t>());
    if (detail::valid_utf8_prefix(bytes) != bytes.size()) malformed("a string is not UTF-8");
    return bytes;
  }

  // Every element takes at least `smallest` bytes.
  std::size_t count(std::size_t smallest) {
    const std::size_t n = take<std::uint32_t>();
    if (n > left_.size() / smallest) malformed("a count beyond the end");
    return n;
  }

  Json value() {
    switch (static_cast<Tag>(take<char>())) {
      case Tag::null: return {};
      case Tag::no: return false;
      case Tag::yes: return true;
      case Tag::integer: return take<std::int64_t>();
      case Tag::big: return big();
      case Tag::floating: return floating();
      case Tag::string: return text();
      case Tag::array: return array();
      case Tag::object: return object();
      case Tag::future: return future();
    }
    malformed("an unknown tag");
  }

  Json big() {
    const auto n = take<std::uint64_t>();
    if (n >> 63 == 0) malformed("a small integer in the long form");
    return n;
  }

  Json floating() {
    const auto d = take<double>();
    if (d - d != 0) malformed("a number that is not finite");
    return d;
  }

  Json future() {
    Key key;
    key.high = take<std::uint64_t>();
    key.low = take<std::uint64_t>();
    if (resolver_ != nullptr) {
      if (const detail::SpecPtr spec = resolver_->resolve(key)) return Json::future(spec);
    }
    return Json::future(key);
  }

  void enter() {
    if (++depth_ > Json::max_depth && !STOOK_MUTANT("depth-decoded")) malformed("nested too deep");
  }

  Json array() {
    enter();
    const std::size_t n = count(1);
    Json::array_t elements;
    for (std::size_t i = 0; i < n; ++i) elements.push_back(value());
    --depth_;
    return elements;
  }

  Json object() {
    enter();
    const std::size_t n = count(5);
    Json::object_t members;
    for (std::size_t i = 0; i < n; ++i) {
      const std::string_view key = text();
      if (!members.empty() && !(members.rbegin()->first < key)) malformed("members out of order");
      members.emplace_hint(members.end(), std::string(key), value());
    }
    --depth_;
    return members;
  }

  std::string_view left_;
  FutureResolver* const resolver_;
  int depth_ = 0;
};

class SpecResolver : public FutureResolver {
 public:
  explicit SpecResolver(const std::vector<detail::SpecPtr>& specs) {
    for (const detail::SpecPtr& spec : specs) specs_.emplace(spec->key, spec);
  }
  detail::SpecPtr resolve(const Key& key) override {
    const auto it = specs_.find(key);
    return it != specs_.end() ? it->second : detail::SpecPtr();
  }

 private:
  std::unordered_map<Key, detail::SpecPtr> specs_;
};

}  // namespace

Json canonical_to_json(std::string_view bytes, FutureResolver* resolver) {
  return Decoder(bytes, resolver).whole();
}

namespace detail {

Json canonical_to_json_with(std::string_view bytes, const std::vector<SpecPtr>& specs) {
  SpecResolver resolver(specs);
  return canonical_to_json(bytes, &resolver);
}

}  // namespace detail

std::string canonical_to_text(std::string_view bytes, std::size_t limit) {
  std::string text;
  try {
    text = detail::shown(canonical_to_json(bytes).dump());
  } catch (const std::exception& error) { return "<" + detail::shown(error.what()) + ">"; }
  if (text.size() <= limit) return text;
  std::size_t end = limit > 3 ? limit - 3 : 0;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

}  // namespace stook
