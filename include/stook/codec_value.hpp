// codec_value.hpp - codecs of numbers, text, aggregates and JSON. Included by codec.hpp.
#pragma once

#include <complex>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>

#include <stook/codec_base.hpp>

namespace stook {

namespace detail {

// "i32", "u8", "f64", ...
[[nodiscard]] std::string number_signature(bool floating, bool is_signed, std::size_t size);
// "arr<ELEMENT,SIZE>"
[[nodiscard]] std::string array_signature(std::string_view element, std::size_t size);
// OPEN, the parts separated by commas, CLOSE
[[nodiscard]] std::string list_signature(std::string_view open,
                                         std::initializer_list<std::string> parts, char close);
// "^LEVELS"
[[nodiscard]] std::string up_signature(std::size_t levels);

[[nodiscard]] bool decode_bool(Reader& reader);
void encode_long_double(Writer& writer, long double value);
[[nodiscard]] long double decode_long_double(Reader& reader);

// Canonical bytes with their length.
void encode_canonical(Writer& writer, const CanonicalWriter& canonical);
[[nodiscard]] Json decode_json(Reader& reader);

// While it lives, T's signature is being composed. A type inside itself becomes "^N": N levels of
// aggregates up.
class SignatureScope {
 public:
  explicit SignatureScope(const std::type_info& type);
  ~SignatureScope();
  SignatureScope(const SignatureScope&) = delete;
  SignatureScope& operator=(const SignatureScope&) = delete;
  // 0: the type is not inside itself.
  [[nodiscard]] std::size_t levels_up() const { return levels_up_; }

 private:
  std::size_t levels_up_ = 0;
};

template <class E>
inline constexpr bool is_complex = false;
template <class F>
inline constexpr bool is_complex<std::complex<F>> = true;

// Types whose array in memory is its encoded form.
template <class E>
constexpr bool is_bulk() {
  if constexpr (std::is_enum_v<E>) {
    return is_bulk<std::underlying_type_t<E>>();
  } else if constexpr (is_complex<E>) {
    return is_bulk<typename E::value_type>();
  } else {
    return std::is_arithmetic_v<E> && !std::is_same_v<E, bool> &&
           !std::is_same_v<E, long double>;
  }
}

// An enum with a user's own Codec or to_json keeps it.
template <class E>
concept Bulk = is_bulk<E>() && requires { typename Codec<E>::BulkCodec; };

template <class N>
struct NumberCodec {
  using BulkCodec = N;
  static std::string signature() {
    return number_signature(std::is_floating_point_v<N>, std::is_signed_v<N>, sizeof(N));
  }
  static void encode(Writer& writer, N value) { writer.put(value); }
  static N decode(Reader& reader) { return reader.take<N>(); }
};

template <class E>
struct EnumCodec {
  using Under = std::underlying_type_t<E>;
  using BulkCodec = E;
  static std::string signature() { return Codec<Under>::signature(); }
  static void encode(Writer& writer, E value) {
    Codec<Under>::encode(writer, static_cast<Under>(value));
  }
  static E decode(Reader& reader) { return static_cast<E>(Codec<Under>::decode(reader)); }
};

template <class T>
struct JsonCodec {
  static std::string signature() { return "json"; }
  static void encode(Writer& writer, const T& value) {
    CanonicalWriter canonical;
    encode_argument(canonical, value);
    encode_canonical(writer, canonical);
  }
  static T decode(Reader& reader) {
    try {
      return Argument<T>::decode(decode_json(reader), "");
    } catch (const InvalidArgument& error) {
      Reader::throw_malformed(error.what());
    }
  }
};

// Fields one after the other; one zero byte for an aggregate without fields.
template <class T>
struct AggregateCodec {
  static constexpr std::size_t count = field_count<T>;

  static std::string signature() {
    const SignatureScope scope(typeid(T));
    if (scope.levels_up() != 0) return up_signature(scope.levels_up());
    return join(field_types<T>{});
  }
  static void encode(Writer& writer, const T& value) {
    writer.enter();
    if constexpr (count == 0) writer.put<std::uint8_t>(0);
    visit_fields(value, [&]<class... F>(const F&... fields) {
      (Codec<std::remove_cv_t<F>>::encode(writer, fields), ...);
    });
    writer.leave();
  }
  static T decode(Reader& reader) {
    reader.enter();
    if constexpr (count == 0) check_zero(reader);
    T value = build(reader, field_types<T>{});
    reader.leave();
    return value;
  }

 private:
  template <class... F>
  static std::string join(TypeList<F...>) {
    return list_signature("{", {codec_signature<F>()...}, '}');
  }
  static void check_zero(Reader& reader) {
    if (reader.take<std::uint8_t>() != 0) Reader::throw_malformed("an empty struct");
  }
  // Field by field into a T that is there; where there is none without them, all at once.
  template <class... F>
  static T build(Reader& reader, TypeList<F...>) {
    if constexpr (std::is_default_constructible_v<T> &&
                  ((std::is_array_v<F> || std::is_move_assignable_v<F>) && ...)) {
      T value{};
      for_each_field(value, [&]<class G>(G& field) { assign(field, reader); });
      return value;
    } else {
      return T{Codec<F>::decode(reader)...};
    }
  }
  template <class F>
  static void assign(F& field, Reader& reader) {
    using Plain = std::remove_cv_t<F>;
    if constexpr (std::is_array_v<F>) {
      Codec<Plain>::decode_into(field, reader);
    } else {
      field = Codec<Plain>::decode(reader);
    }
  }
};

template <class P>
struct PathCodec {
  static std::string signature() { return "path"; }
  static void encode(Writer& writer, const P& path) { writer.write_path(path.native()); }
  static P decode(Reader& reader) { return P(reader.read_path()); }
};

// Recognised here only to be refused: without the bridge such a type would silently be encoded
// another way.
struct AnyArchive {
  template <class... A>
  AnyArchive& operator()(A&&...);
  template <class A>
  AnyArchive& operator&(A&&);
};
template <class T>
concept CerealShaped = std::is_class_v<T> && requires(T& t, AnyArchive& archive) {
  t.serialize(archive);
};

template <class T>
consteval auto select_codec() {
  if constexpr (Nlohmann<T> || std::is_same_v<T, nlohmann::json>) {
    return std::type_identity<JsonCodec<T>>{};
  } else if constexpr (std::is_enum_v<T>) {
    return std::type_identity<EnumCodec<T>>{};
  } else if constexpr (std::is_arithmetic_v<T>) {
    return std::type_identity<NumberCodec<T>>{};
  } else if constexpr (PathLike<T>) {
    return std::type_identity<PathCodec<T>>{};
  } else if constexpr (Reflectable<T> && !CerealShaped<T>) {
    return std::type_identity<AggregateCodec<T>>{};
  } else {
    return std::type_identity<NoCodec<T>>{};
  }
}

}  // namespace detail

template <class T>
struct Codec : decltype(detail::select_codec<T>())::type {};

template <>
struct Codec<bool> {
  static std::string signature() { return "bool"; }
  static void encode(Writer& writer, bool value) { writer.put<std::uint8_t>(value ? 1 : 0); }
  static bool decode(Reader& reader) { return detail::decode_bool(reader); }
};

template <>
struct Codec<long double> {
  static std::string signature() { return "f80"; }
  static void encode(Writer& writer, long double value) {
    detail::encode_long_double(writer, value);
  }
  static long double decode(Reader& reader) { return detail::decode_long_double(reader); }
};

template <>
struct Codec<std::monostate> {
  static std::string signature() { return "void"; }
  static void encode(Writer& writer, std::monostate) { writer.put<std::uint8_t>(0); }
  static std::monostate decode(Reader& reader) {
    if (reader.take<std::uint8_t>() != 0) Reader::throw_malformed("a void result");
    return {};
  }
};

template <>
struct Codec<std::string> {
  static std::string signature() { return "str"; }
  static void encode(Writer& writer, const std::string& text) { writer.write_text(text); }
  static std::string decode(Reader& reader) { return std::string(reader.read_text()); }
};

template <>
struct Codec<Json> : detail::JsonCodec<Json> {};

template <class F> requires std::is_arithmetic_v<F>
struct Codec<std::complex<F>> {
  using BulkCodec = F;
  static std::string signature() {
    return detail::list_signature("cplx<", {Codec<F>::signature()}, '>');
  }
  static void encode(Writer& writer, const std::complex<F>& value) {
    Codec<F>::encode(writer, value.real());
    Codec<F>::encode(writer, value.imag());
  }
  static std::complex<F> decode(Reader& reader) {
    const F real = Codec<F>::decode(reader);
    return {real, Codec<F>::decode(reader)};
  }
};

// An array as a member of an aggregate.
template <class E, std::size_t N>
struct Codec<E[N]> {
  static std::string signature() {
    return detail::array_signature(detail::codec_signature<E>(), N);
  }
  static void encode(Writer& writer, const E (&elements)[N]) {
    if constexpr (detail::Bulk<E>) {
      writer.write_array(elements, sizeof elements);
    } else {
      for (const E& element : elements) Codec<E>::encode(writer, element);
    }
  }
  static void decode_into(E (&out)[N], Reader& reader) {
    for (E& element : out) {
      if constexpr (std::is_array_v<E>) {
        Codec<E>::decode_into(element, reader);
      } else {
        element = Codec<E>::decode(reader);
      }
    }
  }
};

}  // namespace stook
