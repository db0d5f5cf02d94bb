// describe.hpp - what a command line needs to know of a task's parameters: names, types, defaults.
// Thread-safe: makes values only.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include <stook/added.hpp>
#include <stook/canonical.hpp>
#include <stook/reflect.hpp>

namespace stook::detail {

template <class T>
inline constexpr bool is_added = false;
template <class T, auto neutral>
inline constexpr bool is_added<Added<T, neutral>> = true;

template <class T>
[[nodiscard]] bool is_neutral_argument(const T& argument) {
  if constexpr (is_added<T>) {
    return argument.is_neutral();
  } else {
    return false;
  }
}

// An aggregate whose fields name the arguments; not an array in aggregate's clothing.
template <class T>
inline constexpr bool is_named_argument = Reflectable<T> && !requires { typename T::value_type; };

template <class T>
[[nodiscard]] std::string argument_type_text() {
  if constexpr (is_added<T>) {
    return argument_type_text<typename T::value_type>();
  } else if constexpr (std::is_same_v<T, bool>) {
    return "boolean";
  } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
    return "integer";
  } else if constexpr (std::is_floating_point_v<T>) {
    return "number";
  } else if constexpr (std::is_convertible_v<T, std::string_view> || requires(const T& t) {
                         t.lexically_normal();
                       }) {
    return "string";
  } else {
    return "JSON";
  }
}

template <class T>
[[nodiscard]] std::string argument_text(const T& argument) {
  CanonicalWriter writer;
  Argument<T>::encode(writer, argument);
  return canonical_to_json(writer.bytes()).dump();
}

// The JSON of the default of a positional parameter; empty where there is none.
template <class T>
[[nodiscard]] std::string default_argument_text() {
  if constexpr (is_added<T>) {
    return argument_text(T{}.value);
  } else {
    return {};
  }
}

// Calls visit(name, type, default as JSON) for each field; the default is empty for a future,
// which has none.
template <class T, class Visit>
void describe_fields(Visit visit) {
  T value{};
  std::size_t index = 0;
  for_each_field(value, [&]<class F>(F& field) {
    const std::string_view name = names_of<T>()[index++];
    if constexpr (FutureLike<F>) {
      visit(name, std::string("JSON"), std::string());
    } else if constexpr (is_added<F>) {
      visit(name, argument_type_text<F>(), argument_text(field.value));
    } else if constexpr (std::is_array_v<F>) {
      visit(name, std::string("JSON"), std::string("null"));
    } else {
      visit(name, argument_type_text<F>(), argument_text(field));
    }
  });
}

}  // namespace stook::detail
