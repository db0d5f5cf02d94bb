// argument_std.hpp - arguments of the standard containers. Included by argument.hpp.
//   sequence -> array          set -> array in the order of the elements' bytes
//   map with text keys -> object     other map -> array of [key, value], in the order of bytes
//   pair, tuple -> array       optional -> null or the value     variant -> [index, value]
#pragma once

#include <array>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include <stook/argument.hpp>

namespace stook {

namespace detail {

template <class C>
struct SequenceArgument {
  using Element = typename C::value_type;
  static void encode(CanonicalWriter& writer, const C& elements) {
    writer.begin_array(elements.size());
    for (const auto& element : elements) Argument<Element>::encode(writer, element);
    writer.end_array();
  }
  static C decode(const Json& json, std::string_view where) {
    C out;
    Where path(where);
    std::size_t i = 0;
    for (const Json& element : decode_array(json, where)) {
      out.push_back(Argument<Element>::decode(element, path.index(i++)));
    }
    return out;
  }
};

[[noreturn]] void throw_twice(std::string_view where, const Json& element);

template <class C>
struct SetArgument {
  using Element = typename C::value_type;
  static void encode(CanonicalWriter& writer, const C& elements) {
    writer.begin_array(elements.size());
    const std::size_t start = writer.size();
    std::vector<std::size_t> ends;
    ends.reserve(elements.size());
    for (const auto& element : elements) {
      Argument<Element>::encode(writer, element);
      ends.push_back(writer.size());
    }
    writer.sort_elements(start, ends);
    writer.end_array();
  }
  static C decode(const Json& json, std::string_view where) {
    C out;
    Where path(where);
    std::size_t i = 0;
    for (const Json& element : decode_array(json, where)) {
      if (!out.insert(Argument<Element>::decode(element, path.index(i++))).second) {
        throw_twice(where, element);
      }
    }
    return out;
  }
};

template <class M>
struct DictionaryArgument {
  using Value = typename M::mapped_type;
  static void encode(CanonicalWriter& writer, const M& members) {
    std::vector<MemberRef> sorted;
    sorted.reserve(members.size());
    for (const auto& [key, value] : members) sorted.push_back({key, &value});
    sort_members(sorted);
    writer.begin_object(sorted.size());
    for (const MemberRef& member : sorted) {
      writer.member(member.key);
      Argument<Value>::encode(writer, *static_cast<const Value*>(member.value));
    }
    writer.end_object();
  }
  static M decode(const Json& json, std::string_view where) {
    M out;
    Where path(where);
    for (const auto& [key, value] : decode_object(json, where)) {
      out.emplace(key, Argument<Value>::decode(value, path.member(key)));
    }
    return out;
  }
};

template <class M>
struct PairsArgument {
  using Name = typename M::key_type;
  using Value = typename M::mapped_type;
  static void encode(CanonicalWriter& writer, const M& members) {
    writer.begin_array(members.size());
    const std::size_t start = writer.size();
    std::vector<std::size_t> ends;
    ends.reserve(members.size());
    for (const auto& [key, value] : members) {
      writer.begin_array(2);
      Argument<Name>::encode(writer, key);
      Argument<Value>::encode(writer, value);
      writer.end_array();
      ends.push_back(writer.size());
    }
    writer.sort_elements(start, ends);
    writer.end_array();
  }
  static M decode(const Json& json, std::string_view where) {
    M out;
    Where path(where);
    std::size_t i = 0;
    for (const Json& element : decode_array(json, where)) {
      const std::string_view at = path.index(i++);
      const Json::array_t& pair = decode_array_of(element, at, 2);
      if (!out.emplace(Argument<Name>::decode(pair[0], at), Argument<Value>::decode(pair[1], at))
               .second) {
        throw_twice(where, pair[0]);
      }
    }
    return out;
  }
};

template <class M>
using MapArgument = std::conditional_t<std::same_as<typename M::key_type, std::string>,
                                       DictionaryArgument<M>, PairsArgument<M>>;

template <class T, class... E>
struct TupleArgument {
  static void encode(CanonicalWriter& writer, const T& tuple) {
    writer.begin_array(sizeof...(E));
    std::apply([&](const auto&... elements) { (Argument<E>::encode(writer, elements), ...); },
               tuple);
    writer.end_array();
  }
  static T decode(const Json& json, std::string_view where) {
    return decode_each(decode_array_of(json, where, sizeof...(E)), where,
                       std::index_sequence_for<E...>{});
  }

 private:
  template <std::size_t... I>
  static T decode_each(const Json::array_t& array, std::string_view where,
                       std::index_sequence<I...>) {
    [[maybe_unused]] Where path(where);
    return T{Argument<E>::decode(array[I], path.index(I))...};
  }
};

// The index of a variant's alternative. Throws InvalidArgument unless `json` is [index, value].
[[nodiscard]] std::size_t decode_variant_index(const Json& json, std::string_view where,
                                               std::size_t alternatives);

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

}  // namespace detail

template <class T, class A> requires IsArgument<T>
struct Argument<std::vector<T, A>> : detail::SequenceArgument<std::vector<T, A>> {};
template <class T, class A> requires IsArgument<T>
struct Argument<std::deque<T, A>> : detail::SequenceArgument<std::deque<T, A>> {};
template <class T, class A> requires IsArgument<T>
struct Argument<std::list<T, A>> : detail::SequenceArgument<std::list<T, A>> {};
template <class T, class C, class A> requires IsArgument<T>
struct Argument<std::set<T, C, A>> : detail::SetArgument<std::set<T, C, A>> {};
template <class T, class H, class E, class A> requires IsArgument<T>
struct Argument<std::unordered_set<T, H, E, A>>
    : detail::SetArgument<std::unordered_set<T, H, E, A>> {};
template <class K, class V, class C, class A> requires IsArgument<K> && IsArgument<V>
struct Argument<std::map<K, V, C, A>> : detail::MapArgument<std::map<K, V, C, A>> {};
template <class K, class V, class H, class E, class A> requires IsArgument<K> && IsArgument<V>
struct Argument<std::unordered_map<K, V, H, E, A>>
    : detail::MapArgument<std::unordered_map<K, V, H, E, A>> {};
template <class A, class B> requires IsArgument<A> && IsArgument<B>
struct Argument<std::pair<A, B>> : detail::TupleArgument<std::pair<A, B>, A, B> {};
template <class... E> requires(IsArgument<E> && ...)
struct Argument<std::tuple<E...>> : detail::TupleArgument<std::tuple<E...>, E...> {};

template <class T, std::size_t N> requires IsArgument<T>
struct Argument<std::array<T, N>> {
  static void encode(CanonicalWriter& writer, const std::array<T, N>& elements) {
    detail::SequenceArgument<std::array<T, N>>::encode(writer, elements);
  }
  static std::array<T, N> decode(const Json& json, std::string_view where) {
    const Json::array_t& array = detail::decode_array_of(json, where, N);
    return decode_each(array, where, std::make_index_sequence<N>{});
  }

 private:
  template <std::size_t... I>
  static std::array<T, N> decode_each(const Json::array_t& array, std::string_view where,
                                      std::index_sequence<I...>) {
    [[maybe_unused]] detail::Where path(where);
    return {{Argument<T>::decode(array[I], path.index(I))...}};
  }
};

// No optional of an optional: two empty ones could not be told apart.
template <class T> requires(IsArgument<T> && !detail::is_optional<T>)
struct Argument<std::optional<T>> {
  static void encode(CanonicalWriter& writer, const std::optional<T>& value) {
    if (value.has_value()) {
      Argument<T>::encode(writer, *value);
    } else {
      writer.null();
    }
  }
  static std::optional<T> decode(const Json& json, std::string_view where) {
    if (json.is_null()) return std::nullopt;
    return Argument<T>::decode(json, where);
  }
};

template <>
struct Argument<std::monostate> {
  static void encode(CanonicalWriter& writer, std::monostate) { writer.null(); }
  static std::monostate decode(const Json& json, std::string_view where) {
    if (!json.is_null()) detail::throw_mismatch(where, "null", json);
    return {};
  }
};

template <class... E> requires(IsArgument<E> && ...)
struct Argument<std::variant<E...>> {
  using Variant = std::variant<E...>;

  static void encode(CanonicalWriter& writer, const Variant& value) {
    writer.begin_array(2);
    writer.unsigned_integer(value.index());   // REQUIRES: not valueless
    std::visit([&]<class T>(const T& held) { Argument<T>::encode(writer, held); }, value);
    writer.end_array();
  }
  static Variant decode(const Json& json, std::string_view where) {
    const std::size_t index = detail::decode_variant_index(json, where, sizeof...(E));
    return decode_held(index, json[1], where, std::index_sequence_for<E...>{});
  }

 private:
  template <std::size_t I>
  static Variant decode_as(const Json& json, std::string_view where) {
    using T = std::variant_alternative_t<I, Variant>;
    return Variant(std::in_place_index<I>, Argument<T>::decode(json, where));
  }
  template <std::size_t... I>
  static Variant decode_held(std::size_t index, const Json& json, std::string_view where,
                             std::index_sequence<I...>) {
    static constexpr Variant (*table[])(const Json&, std::string_view) = {&decode_as<I>...};
    return table[index](json, where);
  }
};

}  // namespace stook
