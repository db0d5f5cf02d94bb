// JSON text: dump() by our own hand, parse() by nlohmann's SAX parser, which does not recurse.
#include <charconv>
#include <cmath>
#include <cstring>

#include <nlohmann/json.hpp>

#include <stook/json.hpp>
#include "src/mutant.h"

namespace stook {

namespace {

class Dumper {
 public:
  Dumper(std::string& out, int indent) : out_(out), indent_(indent) {}

  void value(const Json& json) {
    switch (json.kind()) {
      case Json::Kind::null: out_ += "null"; break;
      case Json::Kind::boolean: out_ += json.as_boolean() ? "true" : "false"; break;
      case Json::Kind::integer: number(json.raw_integer()); break;
      case Json::Kind::unsigned_integer: number(json.raw_unsigned()); break;
      case Json::Kind::floating: floating(json.raw_floating()); break;
      case Json::Kind::string: string(json.as_string()); break;
      case Json::Kind::array: container(json, '[', ']'); break;
      case Json::Kind::object: container(json, '{', '}'); break;
      case Json::Kind::future: out_ += "{\"$future\":\"" + to_hex(json.future_key()) + "\"}"; break;
    }
  }

 private:
  template <class N> void number(N n) {
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
    out_.append(digits, end);
  }

  void floating(double d) {
    if (!std::isfinite(d)) throw InvalidArgument("JSON has no NaN and no infinity");
    const std::size_t start = out_.size();
    number(d);
    if (out_.find_first_of(".e", start) == std::string::npos) out_ += ".0";
  }

  void string(std::string_view text) {
    out_ += '"';
    for (const char c : text) character(c);
    out_ += '"';
  }

  void character(char c) {
    static constexpr char hex[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"': out_ += "\\\""; return;
      case '\\': out_ += "\\\\"; return;
      case '\n': out_ += "\\n"; return;
      case '\r': out_ += "\\r"; return;
      case '\t': out_ += "\\t"; return;
      default: break;
    }
    if (byte < 0x20 || byte == 0x7f) {
      out_ += "\\u00";
      out_ += hex[byte >> 4];
      out_ += hex[byte & 15];
    } else {
      out_ += c;
    }
  }

  void container(const Json& json, char open, char close) {
    if (++depth_ > Json::max_depth && !STOOK_MUTANT("depth-dumped")) detail::throw_too_deep();
    out_ += open;
    bool first = true;
    for (auto it = json.begin(); it != json.end(); ++it) {
      if (!first) out_ += ',';
      first = false;
      new_line();
      if (json.is_object()) {
        string(it.key());
        out_ += indent_ >= 0 ? ": " : ":";
      }
      value(*it);
    }
    --depth_;
    if (!first) new_line();
    out_ += close;
  }

  void new_line() {
    if (indent_ < 0) return;
    out_ += '\n';
    out_.append(static_cast<std::size_t>(indent_) * static_cast<std::size_t>(depth_), ' ');
  }

  std::string& out_;
  const int indent_;
  int depth_ = 0;
};

// Builds a Json from nlohmann's events. The stack holds the open containers.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == string_t::npos) {
      throw InvalidArgument("JSON: the integer " + text.substr(0, 60) + " needs more than 64 bits");
    }
    return add(value);
  }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (stack_.back()->contains(name)) {
      throw InvalidArgument("JSON: the member '" + name + "' is there twice");
    }
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::json::exception& error) override {
    const char* text = std::strchr(error.what(), ']');  // after "[json.exception.parse_error.101]"
    throw InvalidArgument(std::string("JSON:") + (text != nullptr ? text + 1 : error.what()));
  }

 private:
  Json* place(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *stack_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent[parent.size() - 1];
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  // An open container is the last element of its parent: it does not move until it is closed.
  bool open(Json container) {
    if (stack_.size() >= Json::max_depth && !STOOK_MUTANT("depth-parsed")) {
      detail::throw_too_deep();
    }
    stack_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*> stack_;
  string_t key_;
};

}  // namespace

std::string Json::dump(int indent) const {
  std::string text;
  Dumper(text, indent).value(*this);
  return text;
}

Json Json::parse(std::string_view text) {
  Builder builder;
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

}  // namespace stook
