// canonical.hpp - the one byte string a value has in a key, and how C++ values get there.
// Unaware of tasks and of hashing. A CanonicalWriter belongs to one thread; the functions are
// thread-safe. The format: head of src/canonical.cpp; why: src/README.md
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <stook/json.hpp>

namespace stook {

namespace detail {

enum class Tag : char {
  null = 'n', no = 'f', yes = 't', integer = 'i', big = 'u', floating = 'd',
  string = 's', array = 'a', object = 'o', future = 'k'
};

// Sorted by key, each key once: throws InvalidArgument otherwise.
struct MemberRef {
  std::string_view key;
  const void* value;
};
void sort_members(std::vector<MemberRef>& members);

}  // namespace detail

// Appends values in canonical form to a byte buffer. Equal values give equal bytes on every
// build, different values different bytes. Values up to 256 bytes allocate nothing.
//
// An array announces the number of its elements, an object that of its members; then that many
// values (pairs of member() and value) follow, in the order of the key bytes for an object.
class CanonicalWriter {
 public:
  CanonicalWriter() = default;
  ~CanonicalWriter() {
    if (begin_ != inline_) delete[] begin_;
  }
  CanonicalWriter(const CanonicalWriter&) = delete;
  CanonicalWriter& operator=(const CanonicalWriter&) = delete;

  void null() { tag(detail::Tag::null); }
  void boolean(bool value) { tag(value ? detail::Tag::yes : detail::Tag::no); }
  void integer(std::int64_t value) { put(detail::Tag::integer, static_cast<std::uint64_t>(value)); }
  void unsigned_integer(std::uint64_t value) {
    put(value >> 63 == 0 ? detail::Tag::integer : detail::Tag::big, value);
  }
  // Throws InvalidArgument on NaN and infinities.
  void number(double value) {
    std::uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if ((bits & kExponent) == kExponent) throw_not_finite(value);
    put(detail::Tag::floating, bits);
  }
  // Throws InvalidArgument on what is not UTF-8, naming the offset of the first bad byte.
  void string(std::string_view text) { put_string(text, true); }
  void json(const Json& value);
  // Throws InvalidArgument where the future names nothing.
  void future(const detail::SpecPtr& spec);
  // A future known by its key only. Not noted in set_futures().
  void future(const Key& key);

  // Throws InvalidArgument deeper than Json::max_depth.
  void begin_array(std::size_t count) { open(detail::Tag::array, count); }
  void end_array() { --depth_; }
  // Returns what set_count() takes.
  std::size_t begin_object(std::size_t count) {
    open(detail::Tag::object, count);
    const std::size_t mark = size();
    last_key_[depth_] = 0;
    return mark;
  }
  // Throws InvalidArgument unless `key` is UTF-8 and comes after the last one.
  void member(std::string_view key);
  void end_object() { --depth_; }
  // Corrects the count given to begin_object().
  void set_count(std::size_t mark, std::size_t count) {
    const auto value = static_cast<std::uint32_t>(count);
    std::memcpy(begin_ + mark - sizeof value, &value, sizeof value);
  }
  // The elements that end at `ends`, the first of which begins at `start`, in the order of their
  // bytes: for containers without an order of their own. Offsets are values of size().
  void sort_elements(std::size_t start, const std::vector<std::size_t>& ends);

  // Every future written is also appended to `futures`; nullptr: no more.
  void set_futures(std::vector<detail::SpecPtr>* futures) { futures_ = futures; }

  [[nodiscard]] std::string_view bytes() const { return {begin_, size()}; }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(end_ - begin_); }
  // Empty again, memory and set_futures() kept.
  void clear() {
    end_ = begin_;
    depth_ = 0;
  }

 private:
  static constexpr std::uint64_t kExponent = 0x7ff0'0000'0000'0000;
  [[noreturn]] static void throw_not_finite(double value);
  void grow(std::size_t more);
  void open(detail::Tag kind, std::size_t count);
  void put_string(std::string_view text, bool tagged);
  void put_key(const Key& key);

  char* room(std::size_t size) {
    if (static_cast<std::size_t>(limit_ - end_) < size) [[unlikely]] grow(size);
    char* at = end_;
    end_ += size;
    return at;
  }
  void tag(detail::Tag kind) { *room(1) = static_cast<char>(kind); }
  void put(detail::Tag kind, std::uint64_t value) {
    char* at = room(1 + sizeof value);
    *at = static_cast<char>(kind);
    std::memcpy(at + 1, &value, sizeof value);
  }

  char inline_[256];
  char* begin_ = inline_;
  char* end_ = inline_;
  char* limit_ = inline_ + sizeof inline_;
  int depth_ = 0;
  std::vector<detail::SpecPtr>* futures_ = nullptr;
  std::size_t last_key_[Json::max_depth + 1];   // by depth: offset of the last key; 0: none yet
};

// Gives the futures of canonical bytes back their meaning.
class FutureResolver {
 public:
  virtual ~FutureResolver() = default;
  // Empty where the key is not known: the Json then holds the key alone.
  virtual detail::SpecPtr resolve(const Key& key) = 0;
};

// Reads canonical bytes. Throws CacheError on anything a CanonicalWriter does not write, and
// allocates at most some 50 bytes for each byte there is.
[[nodiscard]] Json canonical_to_json(std::string_view bytes, FutureResolver* resolver = nullptr);

// JSON text of canonical bytes for people: at most about `limit` characters, the rest as "...".
// Never throws: damaged bytes say so.
[[nodiscard]] std::string canonical_to_text(std::string_view bytes, std::size_t limit = 200);

namespace detail {

// Throws InvalidArgument naming the offset of the first byte that is not UTF-8.
void require_utf8(std::string_view text);
// The offset of the first byte that is not UTF-8, or text.size().
[[nodiscard]] std::size_t valid_utf8_prefix(std::string_view text) noexcept;

// canonical_to_json() that knows the futures `specs`.
[[nodiscard]] Json canonical_to_json_with(std::string_view bytes,
                                          const std::vector<SpecPtr>& specs);

}  // namespace detail

}  // namespace stook

#include <stook/argument.hpp>  // IWYU pragma: export
