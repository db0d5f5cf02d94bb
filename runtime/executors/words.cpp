#include "runtime/executors/words.h"

#include "src/shown.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

[[noreturn]] void refuse(std::string_view command, const std::string& why) {
  throw InvalidArgument("the prefix command '" + std::string(command) + "' " + why);
}

}  // namespace

std::vector<std::string> split_words(std::string_view command) {
  refuse_zero_byte(command, "a prefix command");
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    const bool more = i + 1 < command.size();
    if (quote == '\'') {
      c == quote ? quote = 0 : (word += c, 0);
    } else if (quote == '"') {
      if (c == '"') quote = 0;
      else if (c == '\\' && more && (command[i + 1] == '"' || command[i + 1] == '\\'))
        word += command[++i];
      else word += c;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else {
      in_word = true;
      if (c == '\'' || c == '"') {
        quote = c;
      } else if (c != '\\') {
        word += c;
      } else if (more) {
        word += command[++i];
      } else {
        refuse(command, "ends with a backslash: write \\\\ for one");
      }
    }
  }
  if (quote != 0) refuse(command, std::string("has a ") + quote + " that is not closed");
  if (in_word) words.push_back(std::move(word));
  return words;
}

std::string fill_fields(const std::string& word, const std::map<std::string, std::string>& fields) {
  std::string out;
  for (std::size_t i = 0; i < word.size();) {
    const std::size_t end = word[i] == '{' ? word.find('}', i) : std::string::npos;
    const auto field =
        end == std::string::npos ? fields.end() : fields.find(word.substr(i + 1, end - i - 1));
    if (field == fields.end()) {
      out += word[i++];
    } else {
      out += field->second;
      i = end + 1;
    }
  }
  return out;
}

}  // namespace stook::detail
