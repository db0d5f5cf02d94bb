// argument.hpp - how a C++ type becomes an argument: canonical bytes out, JSON in.
// Included by canonical.hpp. Unaware of tasks. Thread-safe.
// This file: the customisation point, scalars, text, JSON, futures. argument_std.hpp: containers.
// argument_object.hpp: aggregates and nlohmann's to_json/from_json.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

#include <stook/added.hpp>
#include <stook/canonical.hpp>
#include <stook/reflect.hpp>

namespace stook {

// How T is written into a key and read from JSON. Specialise it for a type of your own:
//   static void encode(CanonicalWriter& writer, const T& value);   // throws InvalidArgument
//   static T decode(const Json& json, std::string_view where);     // throws InvalidArgument
// `where` names the argument in messages. decode() of what encode() wrote gives an equal value.
template <class T>
struct Argument;

namespace detail {

template <class T>
inline constexpr bool always_false = false;

// The Argument of a type that cannot be one.
template <class T>
struct NoArgument {
  template <class W>
  static void encode(W&, const T&) {
    static_assert(always_false<W>,
        "stook: this type cannot be an argument: make it an aggregate of arguments, give it "
        "NLOHMANN_DEFINE_TYPE_*, or specialise stook::Argument<T>");
  }
  template <class J>
  static T decode(const J&, std::string_view) {
    static_assert(always_false<J>,
        "stook: this type cannot be an argument: make it an aggregate of arguments, give it "
        "NLOHMANN_DEFINE_TYPE_*, or specialise stook::Argument<T>");
  }
};

// Of the user's own, found by argument-dependent lookup.
template <class T>
concept NlohmannOut = requires(nlohmann::json& j, const T& t) { to_json(j, t); };
template <class T>
concept NlohmannIn = requires(const nlohmann::json& j, T& t) { from_json(j, t); };
template <class T>
concept Nlohmann = (std::is_class_v<T> || std::is_enum_v<T>) && !std::derived_from<T, Json> &&
                   NlohmannOut<T> && NlohmannIn<T>;
template <class T>
concept PlainAggregate = !Nlohmann<T> && !FutureLike<T> && Reflectable<T>;

// A path into the arguments for messages, e.g. "points[3].x".
class Where {
 public:
  explicit Where(std::string_view base) : text_(base), base_(base.size()) {}
  std::string_view index(std::size_t i);
  std::string_view member(std::string_view name);

 private:
  std::string text_;
  const std::size_t base_;
};

[[nodiscard]] std::int64_t decode_integer(const Json& json, std::string_view where,
                                          std::int64_t low, std::uint64_t high);
[[nodiscard]] bool decode_bool(const Json& json, std::string_view where);
[[nodiscard]] double decode_double(const Json& json, std::string_view where);
[[nodiscard]] float decode_float(const Json& json, std::string_view where);
[[nodiscard]] const std::string& decode_string(const Json& json, std::string_view where);
[[nodiscard]] const Json::array_t& decode_array(const Json& json, std::string_view where);
[[nodiscard]] const Json::object_t& decode_object(const Json& json, std::string_view where);
// Throws InvalidArgument unless `json` is an array of `size`.
[[nodiscard]] const Json::array_t& decode_array_of(const Json& json, std::string_view where,
                                                   std::size_t size);
// The future's spec. Throws InvalidArgument where `json` is no future, or its key alone.
[[nodiscard]] const SpecPtr& decode_spec(const Json& json, std::string_view where);
[[noreturn]] void throw_long_double();
// Throws InvalidArgument("<where>: <text>").
[[noreturn]] void throw_argument_error(std::string_view where, const char* text);

template <class I>
void encode_integer(CanonicalWriter& writer, I value) {
  if constexpr (std::is_signed_v<I>) {
    writer.integer(static_cast<std::int64_t>(value));
  } else {
    writer.unsigned_integer(static_cast<std::uint64_t>(value));
  }
}

// Defined in argument_object.hpp.
template <class T>
struct NlohmannArgument;
template <class T>
struct AggregateArgument;

template <class I>
struct IntegerArgument {
  static void encode(CanonicalWriter& writer, I value) { encode_integer(writer, value); }
  static I decode(const Json& json, std::string_view where) {
    using Limits = std::numeric_limits<I>;
    return static_cast<I>(decode_integer(json, where, static_cast<std::int64_t>(Limits::min()),
                                         static_cast<std::uint64_t>(Limits::max())));
  }
};

template <class E>
struct EnumArgument {
  using Under = std::underlying_type_t<E>;
  static void encode(CanonicalWriter& writer, E value) {
    Argument<Under>::encode(writer, static_cast<Under>(value));
  }
  static E decode(const Json& json, std::string_view where) {
    return static_cast<E>(Argument<Under>::decode(json, where));
  }
};

// long double is written as the double it must be exactly.
template <class F>
struct FloatArgument {
  static void encode(CanonicalWriter& writer, F value) {
    const auto narrow = static_cast<double>(value);
    if constexpr (sizeof(F) > sizeof(double)) {
      if (static_cast<F>(narrow) != value && value == value) throw_long_double();
    }
    writer.number(narrow);
  }
  static F decode(const Json& json, std::string_view where) {
    if constexpr (std::same_as<F, float>) {
      return decode_float(json, where);
    } else {
      return static_cast<F>(decode_double(json, where));
    }
  }
};

template <class F>
struct FutureArgument {
  static void encode(CanonicalWriter& writer, const F& future) { writer.future(future.spec()); }
  static F decode(const Json& json, std::string_view where) {
    const SpecPtr& spec = decode_spec(json, where);
    try {
      return F::from_spec(spec);
    } catch (const InvalidArgument& error) {
      throw_argument_error(where, error.what());
    }
  }
};

template <class P>
struct PathArgument {
  static void encode(CanonicalWriter& writer, const P& path) { writer.string(path.string()); }
  static P decode(const Json& json, std::string_view where) {
    return P(decode_string(json, where));
  }
};

template <class T>
concept PathLike = JsonPath<T>;

template <class T>
consteval auto select_argument() {
  if constexpr (Nlohmann<T>) {
    return std::type_identity<NlohmannArgument<T>>{};
  } else if constexpr (std::is_enum_v<T>) {
    return std::type_identity<EnumArgument<T>>{};
  } else if constexpr (std::is_integral_v<T>) {
    return std::type_identity<IntegerArgument<T>>{};
  } else if constexpr (std::is_floating_point_v<T>) {
    return std::type_identity<FloatArgument<T>>{};
  } else if constexpr (FutureLike<T>) {
    return std::type_identity<FutureArgument<T>>{};
  } else if constexpr (PathLike<T>) {
    return std::type_identity<PathArgument<T>>{};
  } else if constexpr (Reflectable<T>) {
    return std::type_identity<AggregateArgument<T>>{};
  } else {
    return std::type_identity<NoArgument<T>>{};
  }
}

}  // namespace detail

template <class T>
struct Argument : decltype(detail::select_argument<T>())::type {};

// Whether T can be an argument. Of an aggregate only that it is one is asked: a field that cannot
// be written is reported where it is written.
template <class T>
concept IsArgument = !std::derived_from<Argument<std::remove_cvref_t<T>>,
                                        detail::NoArgument<std::remove_cvref_t<T>>>;

template <>
struct Argument<bool> {
  static void encode(CanonicalWriter& writer, bool value) { writer.boolean(value); }
  static bool decode(const Json& json, std::string_view where) {
    return detail::decode_bool(json, where);
  }
};

template <>
struct Argument<std::string> {
  static void encode(CanonicalWriter& writer, std::string_view text) { writer.string(text); }
  static const std::string& decode(const Json& json, std::string_view where) {
    return detail::decode_string(json, where);
  }
};

// What is decoded is valid as long as the Json is.
template <>
struct Argument<std::string_view> : Argument<std::string> {};

template <>
struct Argument<const char*> {
  static void encode(CanonicalWriter& writer, const char* text) { writer.string(text); }
  static const char* decode(const Json& json, std::string_view where) {
    return detail::decode_string(json, where).c_str();
  }
};

template <>
struct Argument<Json> {
  static void encode(CanonicalWriter& writer, const Json& json) { writer.json(json); }
  static Json decode(const Json& json, std::string_view) { return json; }
};

template <class T, auto neutral> requires IsArgument<T>
struct Argument<Added<T, neutral>> {
  static void encode(CanonicalWriter& writer, const Added<T, neutral>& added) {
    Argument<T>::encode(writer, added.value);
  }
  static Added<T, neutral> decode(const Json& json, std::string_view where) {
    return Added<T, neutral>(Argument<T>::decode(json, where));
  }
  static bool is_neutral(const Added<T, neutral>& added) { return added.is_neutral(); }
};

// Writes `value` in the canonical form.
template <class T>
void encode_argument(CanonicalWriter& writer, const T& value) {
  Argument<T>::encode(writer, value);
}

template <class T>
T Json::get() const {
  return Argument<T>::decode(*this, "");
}

template <class T>
Json Json::from(const T& value) {
  CanonicalWriter writer;
  std::vector<detail::SpecPtr> futures;
  writer.set_futures(&futures);
  encode_argument(writer, value);
  return detail::canonical_to_json_with(writer.bytes(), futures);
}

}  // namespace stook

#include <stook/argument_object.hpp>  // IWYU pragma: export
#include <stook/argument_std.hpp>     // IWYU pragma: export
