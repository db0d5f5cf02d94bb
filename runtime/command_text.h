// command_text.h - a command's words: {in}, {out} and their like replaced, and shown to a person.
// Unaware of tasks and of the file system. Thread-safe.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stook::detail {

// What a command's words may stand for.
struct CommandNames {
  std::vector<std::string> in;
  std::vector<std::string> out;
  std::string depfile;  // empty: there is none
};

// Which names argv speaks of.
struct CommandUse {
  std::vector<bool> out;  // by output
  bool depfile = false;
};

// Throws InvalidArgument where a word stands for nothing.
[[nodiscard]] std::vector<std::string> expand_words(std::span<const std::string> words,
                                                    const CommandNames& names,
                                                    CommandUse* use = nullptr);

// The command line as a shell would take it, for messages; cut at some 2,000 characters.
[[nodiscard]] std::string command_line_text(std::span<const std::string> words);

}  // namespace stook::detail
