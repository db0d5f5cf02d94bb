// call.hpp - a task of a plain function: stook::call<&train>(data, 0.1).
// Futures among the arguments are upstream; the function sees their results.
#pragma once

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <stook/composite.hpp>
#include <stook/task.hpp>

namespace stook {

namespace detail {

// "ns::train" from the text in which a compiler shows a function's address.
[[nodiscard]] std::string function_name(std::string_view demangled_tag);
template <auto F>
struct FunctionTag {};

// A parameter of type T that is given as a value or as a future.
template <class T>
struct CallArgument {
  std::variant<T, Future<T>> given;

  template <class U>
    requires std::constructible_from<T, U&&> && (!std::derived_from<std::decay_t<U>, FutureBase>)
  CallArgument(U&& value) : given(std::in_place_index<0>, std::forward<U>(value)) {}
  CallArgument(const Future<T>& future) : given(std::in_place_index<1>, future) {}
  template <class U>
    requires std::same_as<T, std::vector<U>>
  CallArgument(const std::vector<Future<U>>& futures)
      : given(std::in_place_index<1>, FutureList<U>(futures)) {}

  [[nodiscard]] const T& value() const {
    return given.index() == 0 ? std::get<0>(given) : std::get<1>(given).get_result();
  }
};

template <auto F, class Signature>
class CallTask;
template <auto F>
struct CallOf;

template <auto F, class R, class... P>
class CallTask<F, R (*)(P...)>
    : public Task<CallTask<F, R (*)(P...)>,
                  std::remove_cvref_t<R>(CallArgument<std::remove_cvref_t<P>>...)> {
 public:
  CallTask(const CallArgument<std::remove_cvref_t<P>>&... arguments) : arguments_(arguments...) {}
  std::remove_cvref_t<R> run_task() {
    return std::apply([](const auto&... a) -> R { return F(a.value()...); }, arguments_);
  }
  static std::string stook_class_name() {
    return function_name(type_name<FunctionTag<F>>());
  }

 private:
  std::tuple<CallArgument<std::remove_cvref_t<P>>...> arguments_;
};

template <auto F, class R, class... P>
class CallTask<F, R (*)(P...) noexcept> : public CallTask<F, R (*)(P...)> {};

}  // namespace detail

// How a parameter of a called function enters the key: as its value, or as its future.
template <class T>
struct Argument<detail::CallArgument<T>> {
  static void encode(CanonicalWriter& writer, const detail::CallArgument<T>& argument) {
    if (argument.given.index() == 0) {
      Argument<T>::encode(writer, std::get<0>(argument.given));
    } else {
      Argument<Future<T>>::encode(writer, std::get<1>(argument.given));
    }
  }
  static detail::CallArgument<T> decode(const Json& json, std::string_view where) {
    if (json.is_future()) return Argument<Future<T>>::decode(json, where);
    return Argument<T>::decode(json, where);
  }
};

// The task that calls F with these arguments. F must be deterministic and free of side effects.
template <auto F, class... A>
[[nodiscard]] auto call(A&&... arguments) {
  return detail::CallTask<F, decltype(F)>::make(std::forward<A>(arguments)...);
}

}  // namespace stook
