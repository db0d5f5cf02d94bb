// codec_wrap.hpp - codecs of tuples, optionals, pointers, variants and durations. Included by
// codec.hpp.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

#include <stook/codec_value.hpp>

namespace stook {

namespace detail {

template <class... E>
std::string signature_of(std::string_view open) {
  return list_signature(open, {codec_signature<E>()...}, '>');
}

template <class T, class... E>
struct TupleCodec {
  static std::string signature() { return signature_of<E...>("tup<"); }
  static void encode(Writer& writer, const T& tuple) {
    if constexpr (sizeof...(E) == 0) writer.put<std::uint8_t>(0);
    std::apply([&](const auto&... elements) { (Codec<E>::encode(writer, elements), ...); }, tuple);
  }
  static T decode(Reader& reader) {
    if constexpr (sizeof...(E) == 0) static_cast<void>(reader.take<std::uint8_t>());
    return T{Codec<E>::decode(reader)...};   // braces: from left to right
  }
};

// A pointer or optional: one byte that says whether there is a value, and the value.
template <class P, class T>
struct NullableCodec {
  static std::string signature() { return signature_of<T>("opt<"); }
  static void encode(Writer& writer, const P& value) {
    writer.put<std::uint8_t>(value ? 1 : 0);
    if (value) Codec<T>::encode(writer, *value);
  }
  static P decode(Reader& reader) {
    if (!decode_bool(reader)) return P();
    if constexpr (std::is_constructible_v<P, T*>) {
      return P(new T(Codec<T>::decode(reader)));
    } else {
      return P(Codec<T>::decode(reader));
    }
  }
};

}  // namespace detail

template <class A, class B> requires HasCodec<A> && HasCodec<B>
struct Codec<std::pair<A, B>> : detail::TupleCodec<std::pair<A, B>, A, B> {};
template <class... E> requires(HasCodec<E> && ...)
struct Codec<std::tuple<E...>> : detail::TupleCodec<std::tuple<E...>, E...> {};

template <class T> requires HasCodec<T>
struct Codec<std::optional<T>> : detail::NullableCodec<std::optional<T>, T> {};
template <class T> requires HasCodec<T>
struct Codec<std::unique_ptr<T>> : detail::NullableCodec<std::unique_ptr<T>, T> {};
// Two pointers to one object come back as pointers to two.
template <class T> requires HasCodec<std::remove_const_t<T>>
struct Codec<std::shared_ptr<T>>
    : detail::NullableCodec<std::shared_ptr<T>, std::remove_const_t<T>> {};

template <class... E> requires(HasCodec<E> && ...)
struct Codec<std::variant<E...>> {
  using Variant = std::variant<E...>;
  static_assert(sizeof...(E) < 256, "stook: a variant of more than 255 alternatives");

  static std::string signature() { return detail::signature_of<E...>("var<"); }
  static void encode(Writer& writer, const Variant& value) {
    writer.put(static_cast<std::uint8_t>(value.index()));
    std::visit([&]<class T>(const T& held) { Codec<T>::encode(writer, held); }, value);
  }
  static Variant decode(Reader& reader) {
    const auto index = reader.take<std::uint8_t>();
    if (index >= sizeof...(E)) Reader::throw_malformed("a variant without such an alternative");
    return decode_held(index, reader, std::index_sequence_for<E...>{});
  }

 private:
  template <std::size_t I>
  static Variant decode_as(Reader& reader) {
    return Variant(std::in_place_index<I>,
                   Codec<std::variant_alternative_t<I, Variant>>::decode(reader));
  }
  template <std::size_t... I>
  static Variant decode_held(std::size_t index, Reader& reader, std::index_sequence<I...>) {
    static constexpr Variant (*table[])(Reader&) = {&decode_as<I>...};
    return table[index](reader);
  }
};

template <class Rep, class Period> requires HasCodec<Rep>
struct Codec<std::chrono::duration<Rep, Period>> {
  static std::string signature() {
    std::string period = std::to_string(Period::num);
    period += '/';
    period += std::to_string(Period::den);
    return detail::list_signature("dur<", {Codec<Rep>::signature(), period}, '>');
  }
  static void encode(Writer& writer, const std::chrono::duration<Rep, Period>& value) {
    Codec<Rep>::encode(writer, value.count());
  }
  static std::chrono::duration<Rep, Period> decode(Reader& reader) {
    return std::chrono::duration<Rep, Period>(Codec<Rep>::decode(reader));
  }
};

}  // namespace stook
