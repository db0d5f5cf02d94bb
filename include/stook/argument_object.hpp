// argument_object.hpp - arguments that are objects: plain aggregates, and types with nlohmann's
// to_json and from_json. Included by argument.hpp.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <stook/argument.hpp>

namespace stook::detail {

// --- nlohmann ------------------------------------------------------------------------------------

// T through nlohmann::json, a template parameter so that its header is needed only here.
template <class T>
struct NlohmannArgument {
  template <class J = nlohmann::json>
  static void encode(CanonicalWriter& writer, const T& value) {
    J document;
    to_json(document, value);
    writer.json(json_from_nlohmann(document));
  }
  template <class J = nlohmann::json>
  static T decode(const Json& json, std::string_view where) {
    try {
      const J document = json_to_nlohmann<J>(json);
      if constexpr (requires { document.template get<T>(); }) {
        return document.template get<T>();
      } else {
        T out{};
        from_json(document, out);
        return out;
      }
    } catch (const typename J::exception& error) {
      throw_argument_error(where, error.what());
    }
  }
};

// --- Aggregates ----------------------------------------------------------------------------------

template <class F>
concept CanBeNeutral = requires(const F& field) {
  { Argument<F>::is_neutral(field) } -> std::same_as<bool>;
};

// A field that must be given: there is no future that names nothing.
template <class F>
concept RequiredField = FutureLike<F>;

struct FieldDecoder {
  void (*decode)(void* field, const Json& json, std::string_view where);
  bool required;
};

// Decodes the members of `json` into fields: fields[i] is named names[i]. Throws InvalidArgument
// on a member that is no field, naming the nearest, and on a missing required one.
void decode_members(const Json& json, std::string_view where, const std::string_view* names,
                    void* const* fields, const FieldDecoder* decoders, std::size_t count);

template <class F>
void decode_field(void* field, const Json& json, std::string_view where);

template <class F>
inline constexpr FieldDecoder field_decoder{&decode_field<F>, RequiredField<F>};

template <class T>
struct AggregateArgument {
  static constexpr std::size_t count = field_count<T>;

  static void encode(CanonicalWriter& writer, const T& value) {
    encode_fields(writer, value, std::make_index_sequence<count>{});
  }
  static T decode(const Json& json, std::string_view where) {
    static_assert(std::is_default_constructible_v<T>,
                  "stook: an aggregate argument must be default constructible");
    T value{};
    visit_fields(value, [&]<class... F>(F&... fields) {
      void* const pointers[] = {&fields..., nullptr};
      static constexpr FieldDecoder decoders[] = {field_decoder<F>..., FieldDecoder{}};
      decode_members(json, where, names_of<T>().data(), pointers, decoders, count);
    });
    return value;
  }

 private:
  // Returns whether it wrote the field.
  template <std::size_t I>
  static bool encode_field(CanonicalWriter& writer, const T& value) {
    const auto& field = field_at<I>(value);
    using F = std::remove_cvref_t<decltype(field)>;
    if constexpr (CanBeNeutral<F>) {
      if (Argument<F>::is_neutral(field)) return false;
    }
    writer.member(names_of<T>()[I]);
    Argument<F>::encode(writer, field);
    return true;
  }

  template <std::size_t... I>
  static void encode_fields(CanonicalWriter& writer, const T& value, std::index_sequence<I...>) {
    using Encode = bool (*)(CanonicalWriter&, const T&);
    static constexpr Encode encoders[] = {&encode_field<I>..., nullptr};
    const std::size_t mark = writer.begin_object(count);
    std::size_t written = 0;
    for (const std::uint8_t i : order_of<T>()) written += encoders[i](writer, value) ? 1 : 0;
    writer.set_count(mark, written);
    writer.end_object();
  }
};

template <class F>
void decode_field(void* field, const Json& json, std::string_view where) {
  F& out = *static_cast<F*>(field);
  if constexpr (std::is_array_v<F>) {
    Argument<F>::decode_into(out, json, where);
  } else {
    out = Argument<F>::decode(json, where);
  }
}

// Copies text into a char array, the rest zero. Throws InvalidArgument where it does not fit.
void decode_chars(char* out, std::size_t size, const Json& json, std::string_view where);
[[nodiscard]] std::string_view chars_text(const char* text, std::size_t size);

// Whether a T, or something in it, only points at text that somebody else keeps.
template <class T, class... Around>
constexpr bool borrows_text();

template <class List, class... Around>
inline constexpr bool any_borrows_text = false;
template <template <class...> class List, class... T, class... Around>
inline constexpr bool any_borrows_text<List<T...>, Around...> =
    (borrows_text<std::remove_cv_t<T>, Around...>() || ...);

template <class T, class... Around>
constexpr bool borrows_text() {
  if constexpr ((std::is_same_v<T, Around> || ...) || FutureLike<T>) {
    return false;   // a tree holds trees
  } else if constexpr (std::is_same_v<T, std::string_view> || std::is_same_v<T, const char*>) {
    return true;
  } else if constexpr (std::is_array_v<T>) {
    return borrows_text<std::remove_cv_t<std::remove_all_extents_t<T>>, Around...>();
  } else if constexpr (std::derived_from<Argument<T>, AggregateArgument<T>>) {
    return any_borrows_text<field_types<T>, T, Around...>;
  } else if constexpr (requires { typename T::value_type; }) {
    return borrows_text<std::remove_cv_t<typename T::value_type>, T, Around...>();
  } else if constexpr (requires { std::tuple_size<T>::value; } ||
                       requires { std::variant_size<T>::value; }) {
    return any_borrows_text<T, T, Around...>;
  } else {
    return false;
  }
}

// What a task keeps of its arguments. Another process makes them of JSON that is gone when it runs.
template <class Arguments>
struct KeptArguments {
  static_assert(!borrows_text<Arguments>(),
                "stook: a task keeps its arguments, and a std::string_view or const char* keeps "
                "nothing: write std::string in the task's signature");
  using type = Arguments;
};

}  // namespace stook::detail

namespace stook {

// An array as a field: char[N] is text up to the first NUL, any other an array.
template <class E, std::size_t N>
struct Argument<E[N]> {
  static void encode(CanonicalWriter& writer, const E (&elements)[N]) {
    if constexpr (std::is_same_v<E, char>) {
      writer.string(detail::chars_text(elements, N));
    } else {
      writer.begin_array(N);
      for (const E& element : elements) Argument<E>::encode(writer, element);
      writer.end_array();
    }
  }
  static void decode_into(E (&out)[N], const Json& json, std::string_view where) {
    if constexpr (std::is_same_v<E, char>) {
      detail::decode_chars(out, N, json, where);
    } else {
      const Json::array_t& array = detail::decode_array_of(json, where, N);
      detail::Where path(where);
      for (std::size_t i = 0; i < N; ++i) detail::decode_field<E>(&out[i], array[i], path.index(i));
    }
  }
};

template <>
struct Argument<nlohmann::json> {
  template <class J>
  static void encode(CanonicalWriter& writer, const J& value) {
    writer.json(detail::json_from_nlohmann(value));
  }
  template <class J = nlohmann::json>
  static J decode(const Json& json, std::string_view) {
    return detail::json_to_nlohmann<J>(json);
  }
};

}  // namespace stook
