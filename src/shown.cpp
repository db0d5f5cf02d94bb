#include "src/shown.h"

#include <cstdint>
#include <cstdio>

#include <stook/canonical.hpp>
#include <stook/errors.hpp>

namespace stook::detail {
namespace {

void escape_byte(std::string& out, char c) {
  char text[8];
  std::snprintf(text, sizeof text, "\\x%02x", static_cast<unsigned char>(c));
  out += text;
}

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 1;
};

// REQUIRES: `text` begins with a whole character of UTF-8.
Character first_character(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text[0]);
  if (byte < 0x80) return {byte, 1};
  Character first{0, byte < 0xe0 ? std::size_t{2} : byte < 0xf0 ? std::size_t{3} : std::size_t{4}};
  first.code = byte & (0x7fu >> first.bytes);
  for (std::size_t i = 1; i < first.bytes; ++i) {
    first.code = first.code << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
  }
  return first;
}

// Unicode's second set of control characters, line separators, and what turns the direction of
// text.
bool is_unseen(std::uint32_t code) {
  return (code >= 0x80 && code < 0xa0) || code == 0x200e || code == 0x200f ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

bool is_control(std::uint32_t code) { return code < 0x20 || code == 0x7f; }

void append_valid(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const Character first = first_character(text);
    if (is_unseen(first.code)) {
      char escape[12];
      std::snprintf(escape, sizeof escape, "\\u%04x", first.code);
      out += escape;
    } else if (is_control(first.code) && text[0] != '\n' && text[0] != '\t') {
      escape_byte(out, text[0]);
    } else {
      out += text.substr(0, first.bytes);
    }
    text.remove_prefix(first.bytes);
  }
}

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

std::string shown(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t valid = valid_utf8_prefix(text);
    append_valid(out, text.substr(0, valid));
    if (valid == text.size()) break;
    escape_byte(out, text[valid]);
    text.remove_prefix(valid + 1);
  }
  return out;
}

std::string shortened(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return std::string(text);
  std::size_t begin = limit / 2;
  while (begin > 0 && continues_character(text[begin])) --begin;
  std::size_t end = text.size() - limit / 4;
  while (end < text.size() && continues_character(text[end])) ++end;
  return std::string(text.substr(0, begin)) + " ... " + std::to_string(end - begin) +
         " bytes more ... " + std::string(text.substr(end));
}

bool is_name(std::string_view text) {
  return !text.empty() && text.find_first_of("\n\t") == std::string_view::npos &&
         shown(text) == text;
}

void refuse_zero_byte(std::string_view text, std::string_view what) {
  const std::size_t at = text.find('\0');
  if (at == std::string_view::npos) return;
  throw InvalidArgument(std::string(what) + " holds a zero byte, where it would end: \"" +
                        shown(shortened(text.substr(0, at), 200)) + "\" is before it");
}

}  // namespace stook::detail
