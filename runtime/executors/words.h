// words.h - a prefix command as words: how it is split, and what is filled in. No shell is
// involved. Thread-safe: no state.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace stook::detail {

// Splits a command into its words, once, by these rules:
//   - blanks, tabs and newlines separate words;
//   - 'in single quotes' everything stands for itself;
//   - "in double quotes" so does everything but \" and \\, which stand for " and \;
//   - outside of quotes a backslash makes the next character stand for itself;
//   - nothing else is special: $, *, ~, ;, |, & and ` are characters like others.
// Throws InvalidArgument on a quote that is not closed, a backslash at the end, and a zero byte.
[[nodiscard]] std::vector<std::string> split_words(std::string_view command);

// Replaces {name} by its value, for the names in `fields`; other braces stay. What is filled in is
// not split again: a word stays one word.
[[nodiscard]] std::string fill_fields(const std::string& word,
                                      const std::map<std::string, std::string>& fields);

}  // namespace stook::detail
