// stub_future.h - what tests of values use for futures: a key, a type, nothing behind them.
#pragma once

#include <stook/codec.hpp>

namespace stook::test {

class StubSpec : public detail::Spec {
 public:
  StubSpec(std::uint64_t low, const detail::ValueType& type)
      : Spec(detail::SpecKind::task, make_key(low), type) {}
  static Key make_key(std::uint64_t low) {
    Key key;
    key.high = 0x0123456789abcdef;
    key.low = low;
    return key;
  }
};

// What Future<T> promises to the value layer: spec() and from_spec().
template <class T> class StubFuture {
 public:
  StubFuture() = default;
  explicit StubFuture(std::uint64_t low) : spec_(new StubSpec(low, detail::value_type_of<T>())) {}
  [[nodiscard]] const detail::SpecPtr& spec() const { return spec_; }
  static StubFuture from_spec(const detail::SpecPtr& spec) {
    if (*spec->value_type.type != typeid(T)) {
      throw InvalidArgument("the future is one of " + detail::demangle(*spec->value_type.type));
    }
    StubFuture future;
    future.spec_ = spec;
    return future;
  }

 private:
  detail::SpecPtr spec_;
};

template <class T> struct StubRef : StubFuture<T> { using StubFuture<T>::StubFuture; };

// The text of the Error `f` throws, or "nothing was thrown".
template <class E, class F> std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& error) { return error.what(); }
  return "nothing was thrown";
}

template <class T> std::string canonical(const T& value) {
  CanonicalWriter writer;
  encode_argument(writer, value);
  return std::string(writer.bytes());
}

inline std::vector<std::byte> bytes_of(const Writer& writer) {
  std::vector<std::byte> all;
  for (const auto piece : writer.pieces()) all.insert(all.end(), piece.begin(), piece.end());
  return all;
}

template <class T> std::vector<std::byte> encoded(const T& value) {
  Writer writer;
  Codec<T>::encode(writer, value);
  return bytes_of(writer);
}

template <class T> T decoded(const std::vector<std::byte>& bytes) {
  Reader reader(bytes);
  T value = Codec<T>::decode(reader);
  reader.finish();
  return value;
}

template <class T> T round_trip(const T& value) { return decoded<T>(encoded(value)); }

template <class T> Digest digest(const T& value) {
  Writer writer;
  Codec<T>::encode(writer, value);
  return digest_of(writer);
}

}  // namespace stook::test
