// json.hpp - a JSON value in which a future may stand wherever a value may.
// Unaware of keys and encodings (canonical.hpp) and of runs.
// A value type: thread-safe as values are. Design: src/README.md
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <stook/errors.hpp>
#include <stook/key.hpp>
#include <stook/spec.hpp>

#include <nlohmann/json_fwd.hpp>

namespace stook {

class Json;
template <class T> class Future;

namespace detail {

// Anything that names an upstream result: Future<T>, TaskRef<D>, FutureList<T>, ...
template <class F>
concept FutureLike = std::is_class_v<F> && requires(const F& f) {
  { f.spec() } -> std::same_as<const SpecPtr&>;
};

template <class T>
concept TextLike = std::convertible_to<const T&, std::string_view>;

// A class from outside this header whose conversion to Json may be looked into.
template <class T>
concept JsonForeign = std::is_class_v<T> && !std::derived_from<T, Json> &&
                      !std::same_as<T, nlohmann::json> && !TextLike<T> && !FutureLike<T>;

template <class T>
concept JsonDictionary = JsonForeign<T> && requires { typename T::mapped_type; } &&
                         TextLike<typename T::key_type> &&
                         std::convertible_to<const typename T::mapped_type&, Json>;

// filesystem::path without its header: its text.
template <class T>
concept JsonPath = JsonForeign<T> && requires(const T& t) {
  t.lexically_normal();
  { t.string() } -> std::same_as<std::string>;
};

template <class T>
concept JsonSequence = JsonForeign<T> && !JsonDictionary<T> && !JsonPath<T> &&
                       requires(const T& t) {
                         typename T::value_type;
                         t.begin() == t.end();
                       } && !std::same_as<typename T::value_type, T> &&
                       std::convertible_to<const typename T::value_type&, Json>;

template <class T>
concept JsonOptional = JsonForeign<T> && requires(const T& t) {
  { t.has_value() } -> std::same_as<bool>;
  { *t } -> std::convertible_to<Json>;
};

template <class J>
Json json_from_nlohmann(const J& source, int depth = 0);
template <class J>
J json_to_nlohmann(const Json& source, int depth = 0);

}  // namespace detail

// Null, boolean, integer, number, string, array, object or future. The names are those of
// nlohmann::json where it has them, the differences are:
//   - a future (anything with a Future's spec()) may stand at any depth;
//   - two values are equal when they make the same key: 1 and 1.0 differ, and so do 0.0 and -0.0;
//   - reading what is not there throws InvalidArgument, also through a const operator[];
//   - copying, comparing and destroying do not recurse, however deep the value.
// A braced list whose elements are all pairs that begin with a string is an object, any other an
// array: Json{{"a", 1}, {"b", {1, 2}}} and Json{1, 2}. So Json{j} is an array of one; copy with
// Json(j).
class Json {
 public:
  using array_t = std::vector<Json>;
  using object_t = std::map<std::string, Json, std::less<>>;

  // `integer` is every integer an int64 holds; `unsigned_integer` only those above.
  enum class Kind : std::uint8_t {
    null, boolean, integer, unsigned_integer, floating, string, array, object, future
  };
  // Of parse() and dump(), and of what can become part of a key.
  static constexpr int max_depth = 256;

  Json() noexcept = default;
  Json(std::nullptr_t) noexcept {}
  template <std::same_as<bool> B>
  Json(B value) noexcept : kind_(Kind::boolean) { data_.boolean = value; }
  template <std::integral I> requires(!std::same_as<I, bool>)
  Json(I value) noexcept : kind_(Kind::integer) {
    data_.integer = static_cast<std::int64_t>(value);
    if (std::is_unsigned_v<I> && data_.integer < 0) kind_ = Kind::unsigned_integer;
  }
  template <std::floating_point D>
  Json(D value) noexcept : kind_(Kind::floating) { data_.floating = static_cast<double>(value); }
  Json(const char* text) : Json(std::string(text)) {}
  Json(std::string_view text) : Json(std::string(text)) {}
  Json(std::string text);
  Json(array_t elements);
  Json(object_t members);
  Json(std::initializer_list<Json> list);

  // A future. Throws InvalidArgument where it names nothing.
  template <class T>
  Json(const Future<T>& future) : Json(Json::future(future.spec())) {}
  template <detail::FutureLike F>
  Json(const F& future) : Json(Json::future(future.spec())) {}

  // Containers of what converts: a map with text keys becomes an object, another range an array,
  // an optional its value or null.
  template <class T> requires detail::JsonDictionary<T>
  Json(const T& members) : Json(object_t{}) {
    for (const auto& [key, value] : members) (*data_.object)[std::string(key)] = Json(value);
  }
  template <class T> requires detail::JsonSequence<T>
  Json(const T& elements) : Json(array_t{}) {
    for (const auto& element : elements) {
      data_.array->push_back(static_cast<const typename T::value_type&>(element));
    }
  }
  template <class T> requires detail::JsonOptional<T>
  Json(const T& value) : Json(value.has_value() ? Json(*value) : Json()) {}
  template <class T> requires detail::JsonPath<T>
  Json(const T& path) : Json(path.string()) {}

  // From and to nlohmann::json, both ways implicitly, where its header is included. (From: by
  // its own conversion operator; this one serves direct initialisation.)
  template <std::same_as<nlohmann::json> J>
  explicit Json(const J& source) : Json(detail::json_from_nlohmann(source)) {}
  template <std::same_as<nlohmann::json> J>
  friend void from_json(const J& source, Json& out) { out = detail::json_from_nlohmann(source); }
  template <std::same_as<nlohmann::json> J>
  friend void to_json(J& out, const Json& source) { out = detail::json_to_nlohmann<J>(source); }

  Json(const Json& other);
  Json(Json&& other) noexcept
      : data_(other.data_), kind_(std::exchange(other.kind_, Kind::null)) {}
  Json& operator=(const Json& other) { return *this = Json(other); }
  Json& operator=(Json&& other) noexcept {
    Json moved(std::move(other));   // `other` may be part of this value
    swap(moved);
    return *this;
  }
  ~Json() {
    if (kind_ >= Kind::string) destroy();
  }
  void swap(Json& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(kind_, other.kind_);
  }

  static Json array(std::initializer_list<Json> elements = {}) { return array_t(elements); }
  // Throws InvalidArgument unless each member is a pair that begins with a string.
  static Json object(std::initializer_list<Json> members = {});
  static Json future(const detail::SpecPtr& spec);
  // A future of which only the key is known: what canonical_to_json() makes where nobody can
  // resolve it. get<Future<T>>() refuses it.
  static Json future(const Key& key);
  // The JSON that `value` makes as an argument; T is anything with an Argument<T>, aggregates
  // included. Needs <stook/canonical.hpp>.
  template <class T>
  static Json from(const T& value);

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] bool is_null() const noexcept { return kind_ == Kind::null; }
  [[nodiscard]] bool is_boolean() const noexcept { return kind_ == Kind::boolean; }
  [[nodiscard]] bool is_number() const noexcept { return is_number_integer() || is_number_float(); }
  [[nodiscard]] bool is_number_integer() const noexcept {
    return kind_ == Kind::integer || kind_ == Kind::unsigned_integer;
  }
  [[nodiscard]] bool is_number_float() const noexcept { return kind_ == Kind::floating; }
  [[nodiscard]] bool is_string() const noexcept { return kind_ == Kind::string; }
  [[nodiscard]] bool is_array() const noexcept { return kind_ == Kind::array; }
  [[nodiscard]] bool is_object() const noexcept { return kind_ == Kind::object; }
  [[nodiscard]] bool is_future() const noexcept { return kind_ == Kind::future; }

  // Elements of an array, members of an object, 0 for null, 1 for all else.
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] bool contains(std::string_view key) const noexcept { return find(key) != nullptr; }
  // The member, or nullptr where there is none or this is no object.
  [[nodiscard]] const Json* find(std::string_view key) const noexcept;

  // Each throws InvalidArgument where there is no such element or this is of another kind. A
  // mutable operator[] adds the missing member, and makes an object of null.
  Json& operator[](std::string_view key);
  const Json& operator[](std::string_view key) const { return at(key); }
  template <std::integral I>
  Json& operator[](I index) { return at(index); }
  template <std::integral I>
  const Json& operator[](I index) const { return at(index); }
  [[nodiscard]] Json& at(std::string_view key);
  [[nodiscard]] const Json& at(std::string_view key) const;
  template <std::integral I>
  [[nodiscard]] Json& at(I index) { return element(static_cast<std::size_t>(index)); }
  template <std::integral I>
  [[nodiscard]] const Json& at(I index) const { return element(static_cast<std::size_t>(index)); }
  void push_back(Json element);   // makes an array of null
  void erase(std::string_view key);

  // The value as a T, by Argument<T>::decode: see canonical.hpp, which a user of these includes.
  template <class T>
  [[nodiscard]] T get() const;
  template <class T>
  void get_to(T& out) const { out = get<T>(); }
  // The member as a T, or `fallback` where there is none.
  template <class T>
  [[nodiscard]] T value(std::string_view key, T fallback) const {
    const Json* member = find(key);
    return member != nullptr ? member->get<T>() : std::move(fallback);
  }
  [[nodiscard]] std::string value(std::string_view key, const char* fallback) const;

  // Direct access. Each throws InvalidArgument where this is of another kind.
  [[nodiscard]] bool as_boolean() const;
  [[nodiscard]] const std::string& as_string() const;
  [[nodiscard]] const array_t& as_array() const;
  [[nodiscard]] const object_t& as_object() const;
  // Members as pairs, for (const auto& [key, value] : j.items()).
  [[nodiscard]] const object_t& items() const { return as_object(); }
  [[nodiscard]] Key future_key() const;
  // Empty for a future of which only the key is known.
  [[nodiscard]] const detail::SpecPtr& future_spec() const;
  // Bits of a number. REQUIRES: kind() is integer, unsigned_integer, floating respectively.
  [[nodiscard]] std::int64_t raw_integer() const noexcept { return data_.integer; }
  [[nodiscard]] std::uint64_t raw_unsigned() const noexcept {
    return static_cast<std::uint64_t>(data_.integer);
  }
  [[nodiscard]] double raw_floating() const noexcept { return data_.floating; }

  // Walks the elements of an array or the values of an object; empty for all else.
  class const_iterator;
  [[nodiscard]] const_iterator begin() const noexcept;
  [[nodiscard]] const_iterator end() const noexcept;

  // JSON text: doubles as short as they can be read back, 1.0 as 1.0, a future as
  // {"$future":"<32 hex>"}; in lines where indent >= 0. Throws InvalidArgument on NaN, infinity
  // and nesting deeper than max_depth.
  [[nodiscard]] std::string dump(int indent = -1) const;
  // Throws InvalidArgument on anything but one JSON text in UTF-8: nesting deeper than max_depth,
  // a member twice, an integer beyond 64 bits. Never makes futures.
  static Json parse(std::string_view text);

  friend bool operator==(const Json& a, const Json& b) { return equal(a, b); }
  template <std::same_as<nlohmann::json> J>
  friend bool operator==(const Json& a, const J& b) {
    return equal(a, detail::json_from_nlohmann(b));
  }
  friend std::ostream& operator<<(std::ostream& out, const Json& json) { return json.print(out); }

 private:
  struct FutureRef {
    Key key;
    detail::SpecPtr spec;
  };

  static bool equal(const Json& a, const Json& b);
  std::ostream& print(std::ostream& out) const;
  [[nodiscard]] Json& element(std::size_t index);
  [[nodiscard]] const Json& element(std::size_t index) const;
  void destroy() noexcept;
  [[nodiscard]] bool is_container() const noexcept { return is_array() || is_object(); }
  void copy_shallow(const Json& other, std::vector<std::pair<Json*, const Json*>>& later);
  void move_children(std::vector<Json>& out) noexcept;

  union {
    bool boolean;
    std::int64_t integer = 0;
    double floating;
    std::string* string;
    array_t* array;
    object_t* object;
    FutureRef* future;
  } data_;
  Kind kind_ = Kind::null;
};

}  // namespace stook

#include <stook/json_detail.hpp>  // IWYU pragma: export
