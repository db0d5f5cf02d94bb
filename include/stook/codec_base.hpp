// codec_base.hpp - the Writer results are written to, the Reader they are read from, and the
// customisation point between them. Included by codec.hpp.
// Unaware of tasks, caches and compression. A Writer or Reader belongs to one thread.
// The format: head of src/codec.cpp; why: src/README.md
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include <stook/canonical.hpp>
#include <stook/errors.hpp>
#include <stook/key.hpp>
#include <stook/reflect.hpp>
#include <stook/spec.hpp>

namespace stook {

// Collects the encoded form of a value. Small things are copied into a buffer, large arrays are
// only referred to: the value must stay as it is until the bytes have been used.
class Writer {
 public:
  // From this size on write_array() refers to its bytes instead of copying them.
  static constexpr std::size_t borrow_from = 64 * 1024;

  Writer() = default;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // The bytes of a number, little-endian.
  template <class N> requires std::is_arithmetic_v<N>
  void put(N value) { write(&value, sizeof value); }
  void write(const void* data, std::size_t size) {
    const std::size_t at = buffer_.size();
    if (buffer_.capacity() - at < size) [[unlikely]] grow(size);
    const auto* bytes = static_cast<const std::byte*>(data);
    buffer_.insert(buffer_.end(), bytes, bytes + size);
  }
  // Of an array, a string: its count goes in front of its elements.
  void write_count(std::size_t count) { put(static_cast<std::uint64_t>(count)); }
  // Bytes that belong to the value and live as long as it does.
  void write_array(const void* data, std::size_t size) {
    if (size < borrow_from || !may_borrow_) {
      write(data, size);
    } else {
      borrow(data, size);
    }
  }
  void write_text(std::string_view text) {
    write_count(text.size());
    write_array(text.data(), text.size());
  }
  // A path; relative to root() where it lies below.
  void write_path(std::string_view path);

  // The directory results may name files in, usually the cache's. Empty: none.
  void set_root(std::string root);
  [[nodiscard]] const std::string& root() const { return root_; }
  // For scratch that must outlive the value written.
  void set_may_borrow(bool may) { may_borrow_ = may; }

  // What was written, in order; valid until the next write.
  [[nodiscard]] std::span<const std::span<const std::byte>> pieces() const;
  [[nodiscard]] std::size_t size() const { return borrowed_ + buffer_.size(); }
  // Empty again, memory and root() kept.
  void clear();

  // Around each level of a value that may contain its own kind. Throws InvalidArgument where
  // there are more than max_depth.
  static constexpr int max_depth = 1000;
  void enter() {
    if (++depth_ > max_depth) throw_deep();
  }
  void leave() { --depth_; }

 private:
  struct Borrowed {
    std::size_t at;   // the end of what the buffer holds before it
    std::span<const std::byte> bytes;
  };
  void grow(std::size_t more);
  void borrow(const void* data, std::size_t size);
  [[noreturn]] static void throw_deep();

  std::vector<std::byte> buffer_;
  std::vector<Borrowed> borrows_;
  std::size_t borrowed_ = 0;
  int depth_ = 0;
  bool may_borrow_ = true;
  std::string root_;
  mutable std::vector<std::span<const std::byte>> pieces_;
};

// Reads what a Writer wrote from one span of memory. Every member throws CacheError where the
// bytes cannot be what a Writer writes. Counts are checked against the bytes that are left before
// anything is allocated; an element may still be larger in memory than encoded (an empty optional
// is one byte), so what a Codec allocates is bounded by the bytes times the elements' C++ size.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : left_(bytes) {}
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  template <class N> requires std::is_arithmetic_v<N>
  N take() {
    static_assert(!std::is_same_v<N, bool>, "a bool is checked: Codec<bool>");
    N value;
    std::memcpy(&value, read(sizeof value).data(), sizeof value);
    return value;
  }
  // The next bytes, not copied.
  std::span<const std::byte> read(std::size_t size) {
    if (left_.size() < size) throw_malformed("cut short");
    const std::span<const std::byte> bytes = left_.first(size);
    left_ = left_.subspan(size);
    return bytes;
  }
  // A count of elements each of which takes at least `smallest` bytes: they are there.
  std::size_t read_count(std::size_t smallest = 1) {
    const auto count = take<std::uint64_t>();
    if (count > left_.size() / smallest) throw_malformed("a count beyond the end");
    return static_cast<std::size_t>(count);
  }
  std::string_view read_text() {
    const std::span<const std::byte> bytes = read(read_count());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::string read_path();

  void set_root(std::string root);
  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] std::size_t left() const { return left_.size(); }
  // Throws CacheError unless everything has been read.
  void finish() const {
    if (!left_.empty()) throw_malformed("bytes after the value");
  }
  void enter() {
    if (++depth_ > Writer::max_depth) throw_malformed("nested too deep");
  }
  void leave() { --depth_; }

  // Throws CacheError("a stored result is damaged: <what>").
  [[noreturn]] static void throw_malformed(std::string_view what);

 private:
  std::span<const std::byte> left_;
  std::string root_;
  int depth_ = 0;
};

// XXH3-128 of what was written, in the domain of results.
[[nodiscard]] Digest digest_of(const Writer& writer);

// How results of type T are kept. Specialise it for a type of your own:
//   static void encode(Writer& writer, const T& value);
//   static T decode(Reader& reader);      // throws CacheError; the inverse of encode()
//   static std::string signature();       // optional; change it when the bytes change meaning
// encode() of equal values should write equal bytes: that is what early cutoff compares. Every
// value takes at least one byte.
template <class T>
struct Codec;

namespace detail {

template <class T>
struct NoCodec {
  static std::string signature() { return "none"; }
  template <class W>
  static void encode(W&, const T&) {
    static_assert(always_false<W>,
        "stook: no codec for this result type: make it an aggregate of encodable members, give "
        "it NLOHMANN_DEFINE_TYPE_*, include <stook/cereal.hpp> for a cereal serialize(), or "
        "specialise stook::Codec<T>");
  }
  template <class R>
  static T decode(R&) {
    static_assert(always_false<R>,
        "stook: no codec for this result type: make it an aggregate of encodable members, give "
        "it NLOHMANN_DEFINE_TYPE_*, include <stook/cereal.hpp> for a cereal serialize(), or "
        "specialise stook::Codec<T>");
  }
};

}  // namespace detail

// Whether results of type T can be kept. Of an aggregate only that it is one is asked: a member
// without a codec is reported where it is encoded.
template <class T>
concept HasCodec = !std::derived_from<Codec<T>, detail::NoCodec<T>>;

namespace detail {

template <class T>
std::string codec_signature() {
  if constexpr (requires { Codec<T>::signature(); }) {
    return Codec<T>::signature();
  } else {
    return "user:" + type_name<T>();
  }
}

template <class T>
void encode_value(const void* value, Writer& writer) {
  Codec<T>::encode(writer, *static_cast<const T*>(value));
}

template <class T>
Value decode_value(Reader& reader) {
  return std::make_shared<const T>(Codec<T>::decode(reader));
}

template <class T>
using Stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

// What can be done with results of type T; of std::monostate for void.
template <class T>
const ValueType& value_type_of() {
  using S = Stored<T>;
  static const ValueType type{&typeid(S), codec_signature<S>(), &encode_value<S>,
                              &decode_value<S>};
  return type;
}

}  // namespace detail

}  // namespace stook
