#include <bit>
#include <ostream>

#include <stook/json.hpp>

namespace stook {

namespace {

const char* const kKindNames[] = {"null",     "a boolean", "an integer", "an integer", "a number",
                                  "a string", "an array",  "an object",  "a future"};

bool is_member(const Json& json) {
  return json.is_array() && json.size() == 2 && json.as_array()[0].is_string();
}

Json::object_t to_members(std::initializer_list<Json> list) {
  Json::object_t members;
  for (const Json& pair : list) {
    const Json::array_t& parts = pair.as_array();
    const auto& [it, inserted] = members.emplace(parts[0].as_string(), parts[1]);
    if (!inserted) throw InvalidArgument("Json: the member '" + it->first + "' is there twice");
  }
  return members;
}

bool all_members(std::initializer_list<Json> list) {
  for (const Json& element : list) {
    if (!is_member(element)) return false;
  }
  return true;
}

[[noreturn]] void throw_no_member(std::string_view key, const Json& json) {
  std::string text = "Json: no member '" + std::string(key) + "'";
  if (!json.is_object()) throw InvalidArgument(text + ": this is " + detail::describe(json));
  text += json.empty() ? ": the object is empty" : "; there are:";
  for (const auto& [name, value] : json.items()) {
    if (text.size() > 300) throw InvalidArgument(text + " ...");
    text += " '" + name + "'";
  }
  throw InvalidArgument(text);
}

}  // namespace

// --- Construction ------------------------------------------------------------------------------

Json::Json(std::string text) {
  data_.string = new std::string(std::move(text));
  kind_ = Kind::string;
}

Json::Json(array_t elements) {
  data_.array = new array_t(std::move(elements));
  kind_ = Kind::array;
}

Json::Json(object_t members) {
  data_.object = new object_t(std::move(members));
  kind_ = Kind::object;
}

Json::Json(std::initializer_list<Json> list)
    : Json(all_members(list) ? Json(to_members(list)) : Json(array_t(list))) {}

Json Json::object(std::initializer_list<Json> members) {
  if (!all_members(members)) {
    throw InvalidArgument("Json::object: every member is a pair that begins with a string");
  }
  return to_members(members);
}

Json Json::future(const detail::SpecPtr& spec) {
  if (!spec) throw InvalidArgument("Json: this future names nothing: it was never assigned");
  Json json;
  json.data_.future = new FutureRef{spec->key, spec};
  json.kind_ = Kind::future;
  return json;
}

Json Json::future(const Key& key) {
  Json json;
  json.data_.future = new FutureRef{key, {}};
  json.kind_ = Kind::future;
  return json;
}

// --- Copy, comparison and destruction: with a worklist, whatever the depth -----------------------

// Copies all but the children of containers, which are made null and noted in `later`.
void Json::copy_shallow(const Json& other, std::vector<std::pair<Json*, const Json*>>& later) {
  switch (other.kind_) {
    case Kind::string: data_.string = new std::string(*other.data_.string); break;
    case Kind::future: data_.future = new FutureRef(*other.data_.future); break;
    case Kind::array: {
      const array_t& from = *other.data_.array;
      data_.array = new array_t(from.size());
      kind_ = Kind::array;
      array_t& to = *data_.array;
      for (std::size_t i = 0; i < from.size(); ++i) later.emplace_back(&to[i], &from[i]);
      break;
    }
    case Kind::object:
      data_.object = new object_t;
      kind_ = Kind::object;
      for (const auto& [key, value] : *other.data_.object) {
        const auto it = data_.object->emplace_hint(data_.object->end(), key, nullptr);
        later.emplace_back(&it->second, &value);
      }
      break;
    default: data_ = other.data_;
  }
  kind_ = other.kind_;
}

Json::Json(const Json& other) {
  std::vector<std::pair<Json*, const Json*>> later;
  if (other.kind_ < Kind::string) {
    data_ = other.data_;
    kind_ = other.kind_;
    return;
  }
  Json copy;  // owns what has been copied should an allocation fail
  copy.copy_shallow(other, later);
  while (!later.empty()) {
    const auto [to, from] = later.back();
    later.pop_back();
    to->copy_shallow(*from, later);
  }
  swap(copy);
}

namespace {

bool equal_doubles(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

using Pairs = std::vector<std::pair<const Json*, const Json*>>;

// Whether a and b are equal but for their children, which are noted in `later`.
bool equal_shallow(const Json& a, const Json& b, Pairs& later) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Json::Kind::null: return true;
    case Json::Kind::boolean: return a.as_boolean() == b.as_boolean();
    case Json::Kind::integer:
    case Json::Kind::unsigned_integer: return a.raw_integer() == b.raw_integer();
    case Json::Kind::floating: return equal_doubles(a.raw_floating(), b.raw_floating());
    case Json::Kind::string: return a.as_string() == b.as_string();
    case Json::Kind::future: return a.future_key() == b.future_key();
    case Json::Kind::array:
    case Json::Kind::object: break;
  }
  if (a.size() != b.size()) return false;
  for (auto i = a.begin(), j = b.begin(); i != a.end(); ++i, ++j) {
    if (a.is_object() && i.key() != j.key()) return false;
    later.emplace_back(&*i, &*j);
  }
  return true;
}

}  // namespace

bool Json::equal(const Json& a, const Json& b) {
  Pairs later;
  if (!equal_shallow(a, b, later)) return false;
  while (!later.empty()) {
    const auto [x, y] = later.back();
    later.pop_back();
    if (!equal_shallow(*x, *y, later)) return false;
  }
  return true;
}

void Json::move_children(std::vector<Json>& out) noexcept {
  if (is_array()) {
    for (Json& element : *data_.array) {
      if (element.is_container()) out.push_back(std::move(element));
    }
  } else if (is_object()) {
    for (auto& [key, value] : *data_.object) {
      if (value.is_container()) out.push_back(std::move(value));
    }
  }
}

// REQUIRES: kind_ >= Kind::string
void Json::destroy() noexcept {
  std::vector<Json> later;
  move_children(later);
  while (!later.empty()) {
    Json json = std::move(later.back());
    later.pop_back();
    json.move_children(later);  // so that its own destruction stops at the first level
  }
  switch (kind_) {
    case Kind::string: delete data_.string; break;
    case Kind::array: delete data_.array; break;
    case Kind::object: delete data_.object; break;
    case Kind::future: delete data_.future; break;
    default: break;
  }
}

// --- Access ------------------------------------------------------------------------------------

std::size_t Json::size() const noexcept {
  switch (kind_) {
    case Kind::null: return 0;
    case Kind::array: return data_.array->size();
    case Kind::object: return data_.object->size();
    default: return 1;
  }
}

const Json* Json::find(std::string_view key) const noexcept {
  if (!is_object()) return nullptr;
  const auto it = data_.object->find(key);
  return it == data_.object->end() ? nullptr : &it->second;
}

const Json& Json::at(std::string_view key) const {
  const Json* member = find(key);
  if (member == nullptr) throw_no_member(key, *this);
  return *member;
}

Json& Json::at(std::string_view key) { return const_cast<Json&>(std::as_const(*this).at(key)); }

const Json& Json::element(std::size_t index) const {
  if (!is_array() || index >= data_.array->size()) {
    throw InvalidArgument("Json: no element " + std::to_string(static_cast<std::ptrdiff_t>(index)) +
                          " in " + detail::describe(*this));
  }
  return (*data_.array)[index];
}

Json& Json::element(std::size_t index) {
  return const_cast<Json&>(std::as_const(*this).element(index));
}

Json& Json::operator[](std::string_view key) {
  if (is_null()) *this = object_t{};
  if (!is_object()) throw_no_member(key, *this);
  const auto it = data_.object->find(key);
  return it != data_.object->end() ? it->second : (*data_.object)[std::string(key)];
}

void Json::push_back(Json element) {
  if (is_null()) *this = array_t{};
  if (!is_array()) detail::throw_mismatch("Json::push_back", "an array", *this);
  data_.array->push_back(std::move(element));
}

void Json::erase(std::string_view key) {
  if (!is_object()) detail::throw_mismatch("Json::erase", "an object", *this);
  const auto it = data_.object->find(key);
  if (it != data_.object->end()) data_.object->erase(it);
}

bool Json::as_boolean() const {
  if (!is_boolean()) detail::throw_mismatch("Json", "a boolean", *this);
  return data_.boolean;
}

const std::string& Json::as_string() const {
  if (!is_string()) detail::throw_mismatch("Json", "a string", *this);
  return *data_.string;
}

const Json::array_t& Json::as_array() const {
  if (!is_array()) detail::throw_mismatch("Json", "an array", *this);
  return *data_.array;
}

const Json::object_t& Json::as_object() const {
  if (!is_object()) detail::throw_mismatch("Json", "an object", *this);
  return *data_.object;
}

Key Json::future_key() const {
  if (!is_future()) detail::throw_mismatch("Json", "a future", *this);
  return data_.future->key;
}

const detail::SpecPtr& Json::future_spec() const {
  if (!is_future()) detail::throw_mismatch("Json", "a future", *this);
  return data_.future->spec;
}

std::string Json::value(std::string_view key, const char* fallback) const {
  const Json* member = find(key);
  if (member == nullptr) return fallback;
  if (!member->is_string()) detail::throw_mismatch(key, "a string", *member);
  return member->as_string();
}

std::ostream& Json::print(std::ostream& out) const { return out << dump(); }

}  // namespace stook

namespace stook::detail {

std::string describe(const Json& json) {
  static constexpr std::size_t shown = 60;
  const char* kind = kKindNames[static_cast<int>(json.kind())];
  if (json.is_null() || json.is_future()) return kind;
  if (json.is_number_float() && json.raw_floating() - json.raw_floating() != 0) {
    return "a number that is not finite";
  }
  if (json.is_array() || json.is_object()) {
    return std::string(kind) + " of " + std::to_string(json.size());
  }
  std::string text = std::string(kind) + " ";
  if (!json.is_string()) return text + json.dump();
  text += Json(json.as_string().substr(0, shown)).dump();
  if (json.as_string().size() > shown) text += "...";
  return text;
}

void throw_mismatch(std::string_view where, std::string_view expected, const Json& found) {
  std::string text(where.empty() ? "Json" : where);
  text += ": expected ";
  text += expected;
  throw InvalidArgument(text + ", found " + describe(found));
}

void throw_too_deep() {
  throw InvalidArgument("a value nests deeper than " + std::to_string(Json::max_depth) +
                        " levels: flatten it, or pass it as a file");
}

void throw_json_error(const char* text) { throw InvalidArgument(text); }

}  // namespace stook::detail
