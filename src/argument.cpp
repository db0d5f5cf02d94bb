#include <charconv>
#include <cmath>
#include <cstring>

#include <stook/canonical.hpp>

namespace stook::detail {

std::string_view Where::index(std::size_t i) {
  text_.resize(base_);
  text_ += '[';
  text_ += std::to_string(i);
  text_ += ']';
  return text_;
}

std::string_view Where::member(std::string_view name) {
  text_.resize(base_);
  if (base_ != 0) text_ += '.';
  text_ += name;
  return text_;
}

double parse_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    throw InvalidArgument("'" + std::string(text) + "' is not a finite number");
  }
  return value;
}

// --- Scalars -----------------------------------------------------------------------------------

namespace {

bool in_range(const Json& json, std::int64_t low, std::uint64_t high) {
  if (json.kind() == Json::Kind::unsigned_integer) return json.raw_unsigned() <= high;
  const std::int64_t value = json.raw_integer();
  return value >= low && (value < 0 || static_cast<std::uint64_t>(value) <= high);
}

}  // namespace

// The bits of the integer: those of an uint64 above INT64_MAX come out negative.
std::int64_t decode_integer(const Json& json, std::string_view where, std::int64_t low,
                            std::uint64_t high) {
  if (!json.is_number_integer()) throw_mismatch(where, "an integer", json);
  if (!in_range(json, low, high)) {
    throw_mismatch(where, "an integer from " + std::to_string(low) + " to " + std::to_string(high),
                   json);
  }
  return json.raw_integer();
}

bool decode_bool(const Json& json, std::string_view where) {
  if (!json.is_boolean()) throw_mismatch(where, "true or false", json);
  return json.as_boolean();
}

double decode_double(const Json& json, std::string_view where) {
  switch (json.kind()) {
    case Json::Kind::floating: return json.raw_floating();
    case Json::Kind::integer: return static_cast<double>(json.raw_integer());
    case Json::Kind::unsigned_integer: return static_cast<double>(json.raw_unsigned());
    default: throw_mismatch(where, "a number", json);
  }
}

float decode_float(const Json& json, std::string_view where) {
  const double wide = decode_double(json, where);
  const auto value = static_cast<float>(wide);
  if (std::isinf(value) && !std::isinf(wide)) throw_mismatch(where, "a number a float holds", json);
  return value;
}

const std::string& decode_string(const Json& json, std::string_view where) {
  if (!json.is_string()) throw_mismatch(where, "a string", json);
  return json.as_string();
}

void throw_long_double() {
  throw InvalidArgument("a long double argument must be exactly a double: pass a string");
}

// --- Structures ----------------------------------------------------------------------------------

const Json::array_t& decode_array(const Json& json, std::string_view where) {
  if (!json.is_array()) throw_mismatch(where, "an array", json);
  return json.as_array();
}

const Json::object_t& decode_object(const Json& json, std::string_view where) {
  if (!json.is_object()) throw_mismatch(where, "an object", json);
  return json.as_object();
}

const Json::array_t& decode_array_of(const Json& json, std::string_view where, std::size_t size) {
  if (!json.is_array() || json.size() != size) {
    throw_mismatch(where, "an array of " + std::to_string(size), json);
  }
  return json.as_array();
}

const SpecPtr& decode_spec(const Json& json, std::string_view where) {
  if (!json.is_future()) throw_mismatch(where, "a future", json);
  if (!json.future_spec()) {
    const std::string text = "the future " + to_hex(json.future_key()) +
                             " is known by its key only: what it names is not part of this graph";
    throw_argument_error(where, text.c_str());
  }
  return json.future_spec();
}

std::size_t decode_variant_index(const Json& json, std::string_view where,
                                 std::size_t alternatives) {
  const Json& index = decode_array_of(json, where, 2)[0];
  return static_cast<std::size_t>(decode_integer(index, where, 0, alternatives - 1));
}

void throw_twice(std::string_view where, const Json& element) {
  throw_argument_error(where, (describe(element) + " is there twice").c_str());
}

void throw_argument_error(std::string_view where, const char* text) {
  throw InvalidArgument(where.empty() ? text : std::string(where) + ": " + text);
}

std::string_view chars_text(const char* text, std::size_t size) {
  const void* end = std::memchr(text, 0, size);
  return {text,
          end != nullptr ? static_cast<std::size_t>(static_cast<const char*>(end) - text) : size};
}

void decode_chars(char* out, std::size_t size, const Json& json, std::string_view where) {
  const std::string& text = decode_string(json, where);
  if (text.size() > size || text.find('\0') != std::string::npos) {
    throw_mismatch(where, "at most " + std::to_string(size) + " characters, none NUL", json);
  }
  std::memset(out, 0, size);
  std::memcpy(out, text.data(), text.size());
}

// --- Members of aggregates -----------------------------------------------------------------------

namespace {

// How many letters must be changed, added or removed to make `b` of `a`.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min(change, std::min(row[j], row[j - 1]) + 1);
    }
  }
  return row[b.size()];
}

std::string_view nearest(std::string_view name, const std::string_view* names, std::size_t count) {
  std::string_view best;
  std::size_t best_distance = name.size() / 3 + 2;
  for (std::size_t i = 0; i < count && name.size() < 100; ++i) {
    const std::size_t distance = edit_distance(name, names[i]);
    if (distance < best_distance && distance < names[i].size()) {
      best = names[i];
      best_distance = distance;
    }
  }
  return best;
}

[[noreturn]] void throw_unknown(std::string_view where, std::string_view name,
                                const std::string_view* names, std::size_t count) {
  std::string text = where.empty() ? "" : std::string(where) + ": ";
  text += "unknown argument '" + std::string(name) + "'";
  const std::string_view best = nearest(name, names, count);
  if (!best.empty()) text += "; did you mean '" + std::string(best) + "'?";
  text += best.empty() ? "; known:" : " known:";
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? " " : ", ") + std::string(names[i]);
  throw InvalidArgument(text);
}

std::size_t field_index(std::string_view name, const std::string_view* names, std::size_t count) {
  std::size_t i = 0;
  while (i < count && names[i] != name) ++i;
  return i;
}

}  // namespace

void decode_members(const Json& json, std::string_view where, const std::string_view* names,
                    void* const* fields, const FieldDecoder* decoders, std::size_t count) {
  Where path(where);
  for (const auto& [name, value] : decode_object(json, where)) {
    const std::size_t i = field_index(name, names, count);
    if (i == count) throw_unknown(where, name, names, count);
    decoders[i].decode(fields[i], value, path.member(name));
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (decoders[i].required && !json.contains(names[i])) {
      throw InvalidArgument("missing argument '" + std::string(path.member(names[i])) + "'");
    }
  }
}

}  // namespace stook::detail
