// json_detail.hpp - the parts of json.hpp that are templates or tables: iteration, nlohmann.
// Included by json.hpp, not by users. Knows nlohmann::json only as a template parameter.
#pragma once

#include <iterator>

#include <stook/json.hpp>

namespace stook {

class Json::const_iterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = Json;
  using difference_type = std::ptrdiff_t;
  using pointer = const Json*;
  using reference = const Json&;

  const_iterator() = default;
  explicit const_iterator(const Json* element) : element_(element) {}
  explicit const_iterator(object_t::const_iterator member) : member_(member), in_object_(true) {}

  reference operator*() const { return in_object_ ? member_->second : *element_; }
  pointer operator->() const { return &**this; }
  // REQUIRES: the iterator walks an object
  [[nodiscard]] const std::string& key() const { return member_->first; }
  [[nodiscard]] const Json& value() const { return **this; }
  const_iterator& operator++() {
    if (in_object_) {
      ++member_;
    } else {
      ++element_;
    }
    return *this;
  }
  const_iterator operator++(int) {
    const_iterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const const_iterator& a, const const_iterator& b) {
    return a.element_ == b.element_ && a.member_ == b.member_;
  }

 private:
  const Json* element_ = nullptr;
  object_t::const_iterator member_{};
  bool in_object_ = false;
};

inline Json::const_iterator Json::begin() const noexcept {
  if (is_array()) return const_iterator(data_.array->data());
  if (is_object()) return const_iterator(data_.object->cbegin());
  return {};
}

inline Json::const_iterator Json::end() const noexcept {
  if (is_array()) return const_iterator(data_.array->data() + data_.array->size());
  if (is_object()) return const_iterator(data_.object->cend());
  return {};
}

}  // namespace stook

namespace stook::detail {

// "null", "the integer 5", "the string \"abc...\"": what was found, for messages.
[[nodiscard]] std::string describe(const Json& json);
// Throws InvalidArgument: "<where>: expected <expected>, found <found>".
[[noreturn]] void throw_mismatch(std::string_view where, std::string_view expected,
                                 const Json& found);
[[noreturn]] void throw_too_deep();
[[noreturn]] void throw_json_error(const char* text);

// Throws InvalidArgument where nlohmann's value is binary, discarded or too deep.
template <class J>
Json json_from_nlohmann(const J& source, int depth) {
  if (source.is_null()) return {};
  if (source.is_boolean()) return source.template get<bool>();
  if (source.is_number_unsigned()) return source.template get<std::uint64_t>();
  if (source.is_number_integer()) return source.template get<std::int64_t>();
  if (source.is_number_float()) return source.template get<double>();
  if (source.is_string()) return source.template get_ref<const std::string&>();
  if (!source.is_structured()) throw_json_error("nlohmann::json: a binary or discarded value");
  if (depth >= Json::max_depth) throw_too_deep();
  if (source.is_array()) {
    Json::array_t elements;
    elements.reserve(source.size());
    for (const J& element : source) elements.push_back(json_from_nlohmann(element, depth + 1));
    return elements;
  }
  Json::object_t members;
  for (auto member = source.begin(); member != source.end(); ++member) {
    members.emplace_hint(members.end(), member.key(), json_from_nlohmann(*member, depth + 1));
  }
  return members;
}

// A future becomes {"$future": "<32 hex>"}. Throws InvalidArgument where the value is too deep.
template <class J>
J json_to_nlohmann(const Json& source, int depth) {
  switch (source.kind()) {
    case Json::Kind::null: return nullptr;
    case Json::Kind::boolean: return source.as_boolean();
    case Json::Kind::integer:
      if (source.raw_integer() < 0) return source.raw_integer();
      return source.raw_unsigned();
    case Json::Kind::unsigned_integer: return source.raw_unsigned();
    case Json::Kind::floating: return source.raw_floating();
    case Json::Kind::string: return source.as_string();
    case Json::Kind::future: {
      J out = J::object();
      out["$future"] = to_hex(source.future_key());
      return out;
    }
    case Json::Kind::array:
    case Json::Kind::object: break;
  }
  if (depth >= Json::max_depth) throw_too_deep();
  if (source.is_array()) {
    J out = J::array();
    for (const Json& element : source) out.push_back(json_to_nlohmann<J>(element, depth + 1));
    return out;
  }
  J out = J::object();
  for (const auto& [key, value] : source.items()) out[key] = json_to_nlohmann<J>(value, depth + 1);
  return out;
}

}  // namespace stook::detail
