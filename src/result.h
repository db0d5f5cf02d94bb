// result.h - a value or the reason why there is none. Used below the user's edge, where failing
// is an outcome and not an exception.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace stook::detail {

struct Failed {
  std::string reason;
};

template <class T> class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Failed failed) : state_(std::in_place_index<1>, std::move(failed)) {}

  [[nodiscard]] explicit operator bool() const noexcept { return state_.index() == 0; }
  [[nodiscard]] T& operator*() & { return std::get<0>(state_); }
  [[nodiscard]] const T& operator*() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& operator*() && { return std::get<0>(std::move(state_)); }
  [[nodiscard]] T* operator->() { return &std::get<0>(state_); }
  [[nodiscard]] const T* operator->() const { return &std::get<0>(state_); }
  // REQUIRES: !*this
  [[nodiscard]] const std::string& reason() const { return std::get<1>(state_).reason; }

 private:
  std::variant<T, Failed> state_;
};

}  // namespace stook::detail
