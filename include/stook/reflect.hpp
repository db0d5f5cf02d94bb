// reflect.hpp - how many fields an aggregate has, what they are called, and a walk over them.
// Unaware of what the fields are for. Thread-safe.
// Aggregates without base classes, up to 40 fields; no bit-fields and no references.
// How it works, and on which compiler: src/README.md
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <stook/reflect_fields.hpp>

namespace stook {

namespace detail {

// Converts to anything but its owner. Never evaluated.
template <class Owner>
struct AnyField {
  template <class T> requires(!std::is_same_v<T, Owner> && !std::is_base_of_v<T, Owner>)
  operator T() const { __builtin_unreachable(); }
};

// Converts to a base of its owner only.
template <class Owner>
struct AnyBase {
  template <class T> requires(!std::is_same_v<T, Owner> && std::is_base_of_v<T, Owner>)
  operator T() const { __builtin_unreachable(); }
};

template <class T, std::size_t>
using AnyFieldAt = AnyField<T>;

template <class T, class Before, class After>
struct Braces;
template <class T, std::size_t... B, std::size_t... A>
struct Braces<T, std::index_sequence<B...>, std::index_sequence<A...>> {
  static constexpr bool plain = requires { T{AnyFieldAt<T, B>{}..., AnyFieldAt<T, A>{}...}; };
  static constexpr bool with_empty = requires {
    T{AnyFieldAt<T, B>{}..., {}, AnyFieldAt<T, A>{}...};
  };
};

// T{any * count}
template <class T, std::size_t count>
inline constexpr bool takes =
    Braces<T, std::make_index_sequence<count>, std::index_sequence<>>::plain;
// T{any * before, {}, any * after}
template <class T, std::size_t before, std::size_t after>
inline constexpr bool takes_around =
    Braces<T, std::make_index_sequence<before>, std::make_index_sequence<after>>::with_empty;

// The largest count of initialisers T takes. Counts below some first one may fail (members that
// must be initialised), those above the largest all fail.
template <class T, std::size_t count = 0, bool found = false>
constexpr std::size_t initializer_count() {
  constexpr bool fits = takes<T, count>;
  if constexpr (found && !fits) {
    return count - 1;
  } else if constexpr (!fits && count > sizeof(T)) {
    return static_cast<std::size_t>(-1);
  } else {
    return initializer_count<T, count + 1, fits>();
  }
}

// How many of `total` initialisers the member at `at` swallows: 1, or the elements of an array
// whose braces are left out.
template <class T, std::size_t total, std::size_t at, std::size_t after>
constexpr std::size_t swallowed() {
  if constexpr (takes_around<T, at, after>) {
    return total - at - after;
  } else if constexpr (after == 0) {
    return 1;   // {} does not initialise this member: it is no array
  } else {
    return swallowed<T, total, at, after - 1>();
  }
}

template <class T, std::size_t total, std::size_t at = 0, std::size_t fields = 0>
constexpr std::size_t count_fields() {
  if constexpr (at >= total) {
    return fields;
  } else {
    return count_fields<T, total, at + swallowed<T, total, at, total - at - 1>(), fields + 1>();
  }
}

template <class T>
constexpr std::size_t compute_arity() {
  constexpr std::size_t total = initializer_count<T>();
  if constexpr (total == static_cast<std::size_t>(-1)) {
    return total;
  } else {
    return count_fields<T, total>();
  }
}

template <class T>
inline constexpr std::size_t arity_of = compute_arity<T>();

template <class T>
constexpr bool is_reflectable() {
  if constexpr (!std::is_class_v<T> || !std::is_aggregate_v<T>) {
    return false;
  } else if constexpr (requires { T{AnyBase<T>{}}; } || requires { std::tuple_size<T>::value; }) {
    return false;
  } else {
    return arity_of<T> <= max_fields;
  }
}

}  // namespace detail

// A plain aggregate whose fields can be walked and named.
template <class T>
concept Reflectable = detail::is_reflectable<T>();

template <Reflectable T>
inline constexpr std::size_t field_count = detail::arity_of<T>;

// f(field...) with all fields of `value` as lvalues; returns what f returns.
template <class V, class F>
constexpr decltype(auto) visit_fields(V& value, F&& f) {
  constexpr std::size_t count = field_count<std::remove_const_t<V>>;
  return detail::bind_fields(detail::FieldCount<count>{}, value, f);
}

// f(field) for each field in the order of declaration.
template <class V, class F>
constexpr void for_each_field(V& value, F&& f) {
  visit_fields(value, [&](auto&... fields) { (f(fields), ...); });
}

namespace detail {

template <class... F>
struct TypeList {
  static constexpr std::size_t size = sizeof...(F);
};

struct ListTypes {
  template <class... F>
  TypeList<std::remove_cv_t<F>...> operator()(F&...) const { return {}; }
};

// The types of the fields, without const.
template <Reflectable T>
using field_types = decltype(visit_fields(std::declval<T&>(), ListTypes{}));

template <std::size_t I>
struct PickField {
  template <class F, class... R>
  constexpr auto& operator()(F& first, R&... rest) const {
    if constexpr (I == 0) {
      return first;
    } else {
      return PickField<I - 1>{}(rest...);
    }
  }
};

// The i-th field of value.
template <std::size_t I, class V>
constexpr auto& field_at(V& value) {
  return visit_fields(value, PickField<I>{});
}

template <std::size_t N>
using FieldNames = std::array<std::string_view, N>;
template <std::size_t N>
using FieldOrder = std::array<std::uint8_t, N>;

// The positions of the fields in the order of their names.
template <std::size_t N>
constexpr FieldOrder<N> order_by_name(const FieldNames<N>& names) {
  FieldOrder<N> order{};
  for (std::size_t i = 0; i < N; ++i) {
    std::size_t at = i;
    for (; at > 0 && names[i] < names[order[at - 1]]; --at) order[at] = order[at - 1];
    order[at] = static_cast<std::uint8_t>(i);
  }
  return order;
}

// clang 14 has no pointers to subobjects as template arguments, but a builtin that describes a
// record to a function like printf: one call each with "TYPE NAME : ", "TYPE {\n", "}\n", ...
// Only these format strings are read; the object is zeroed memory whose values nobody looks at.
class FieldNameCapture {
 public:
  FieldNameCapture(std::size_t size, std::size_t alignment, std::string_view* out,
                   std::size_t count);
  ~FieldNameCapture();   // terminates the program unless all names were found
  FieldNameCapture(const FieldNameCapture&) = delete;
  FieldNameCapture& operator=(const FieldNameCapture&) = delete;
  [[nodiscard]] void* object() const { return object_; }
  static int print(const char* format, ...);

 private:
  void take(std::string_view format);

  std::string_view* out_;
  std::size_t count_;
  std::size_t found_ = 0;
  int depth_ = 0;
  std::size_t alignment_;
  void* object_;
};

#if defined(__clang__)

template <class T>
const FieldNames<arity_of<T>>& names_of() {
  static const FieldNames<arity_of<T>> names = [] {
    FieldNames<arity_of<T>> out;
    FieldNameCapture capture(sizeof(T), alignof(T), out.data(), out.size());
    __builtin_dump_struct(static_cast<T*>(capture.object()), &FieldNameCapture::print);
    return out;
  }();
  return names;
}

template <class T>
const FieldOrder<arity_of<T>>& order_of() {
  static const FieldOrder<arity_of<T>> order = order_by_name(names_of<T>());
  return order;
}

#else

// Never defined: only the addresses of its fields are named.
template <class T>
struct Unbuilt {
  T value;
  ~Unbuilt();
};
template <class T>
extern Unbuilt<T> unbuilt;

// "... [with auto* field = (& stook::detail::unbuilt<S>.stook::...::value.S::NAME); ..."
template <auto* field>
constexpr std::string_view name_of_pointer() {
  std::string_view text = __PRETTY_FUNCTION__;
  text = text.substr(0, text.find(");"));
  return text.substr(text.rfind("::") + 2);
}

template <class T, std::size_t... I>
constexpr FieldNames<sizeof...(I)> make_names(std::index_sequence<I...>) {
  return {name_of_pointer<&field_at<I>(unbuilt<T>.value)>()...};
}

template <class T>
inline constexpr FieldNames<arity_of<T>> static_names =
    make_names<T>(std::make_index_sequence<arity_of<T>>{});
template <class T>
inline constexpr FieldOrder<arity_of<T>> static_order = order_by_name(static_names<T>);

template <class T>
constexpr const FieldNames<arity_of<T>>& names_of() { return static_names<T>; }
template <class T>
constexpr const FieldOrder<arity_of<T>>& order_of() { return static_order<T>; }

#endif

[[nodiscard]] std::string demangle(const std::type_info& type);

}  // namespace detail

// The names of T's fields in the order of declaration.
template <Reflectable T>
const detail::FieldNames<field_count<T>>& field_names() { return detail::names_of<T>(); }

// The name of T as a reader of the program writes it, namespaces included; the same on all
// supported compilers.
template <class T>
const std::string& type_name() {
  static const std::string name = detail::demangle(typeid(T));
  return name;
}

}  // namespace stook
