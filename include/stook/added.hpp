// added.hpp - a parameter that was not always there.
// Unaware of keys: Argument<Added> (argument.hpp) leaves the neutral value out of them.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <utility>

namespace stook {

// Text as a template argument: Added<std::string, Literal("adam")>.
template <std::size_t N>
struct Literal {
  char text[N];

  constexpr Literal(const char (&from)[N]) {   // NOLINT: implicit on purpose
    for (std::size_t i = 0; i < N; ++i) text[i] = from[i];
  }
  constexpr operator std::string_view() const { return {text, N - 1}; }
};

namespace detail {

// The double that `text` spells. Throws InvalidArgument.
[[nodiscard]] double parse_double(std::string_view text);

template <class T, class N>
constexpr T neutral_value(const N& neutral) {
  if constexpr (std::is_floating_point_v<T> && std::convertible_to<const N&, std::string_view>) {
    return static_cast<T>(parse_double(neutral));   // for compilers without double parameters
  } else {
    return T(neutral);
  }
}

}  // namespace detail

// A T that was added to the arguments of a class which had results already. While it has the
// value `neutral`, which must mean what the class did before, it is left out of the key, so that
// the old results are found. As a field of an aggregate, or as the last positional argument.
//
//   struct TrainArgs { double lr = 0.1; stook::Added<int, 0> warmup; };
//
// clang 14 accepts no double as a template argument: Added<double, Literal("0.5")> serves both.
template <class T, auto neutral>
struct Added {
  using value_type = T;

  T value = detail::neutral_value<T>(neutral);

  Added() = default;
  template <class U> requires std::convertible_to<U&&, T> &&
                              (!std::same_as<std::remove_cvref_t<U>, Added>)
  Added(U&& from) : value(std::forward<U>(from)) {}   // NOLINT: implicit on purpose

  operator const T&() const { return value; }
  operator T&() { return value; }
  const T& operator*() const { return value; }
  const T* operator->() const { return &value; }

  // Whether the value is the neutral one; 0.0 and -0.0 are two.
  [[nodiscard]] bool is_neutral() const {
    const T other = detail::neutral_value<T>(neutral);
    if constexpr (std::is_floating_point_v<T>) {
      const double a = static_cast<double>(value);
      const double b = static_cast<double>(other);
      return std::memcmp(&a, &b, sizeof a) == 0;
    } else {
      return value == other;
    }
  }

  friend bool operator==(const Added& a, const Added& b) { return a.value == b.value; }
  template <class U> requires(!std::same_as<U, Added>) &&
                             requires(const T& t, const U& u) { t == u; }
  friend bool operator==(const Added& a, const U& b) { return a.value == b; }
};

}  // namespace stook
