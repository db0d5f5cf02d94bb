// prefixes.h - which prefix command a class of tasks has.
// Thread-safe: no state.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <stook/class_info.hpp>
#include <stook/options.hpp>

namespace stook::detail {

struct Prefix {
  std::string label;               // what gave it: the class's name or one of its labels
  std::vector<std::string> words;  // empty: a process of its own without a wrapper
};

// The entry for classes that have no other: a name that no class and no label has.
inline constexpr const char* any_class = "";

// `srun` for each task.
[[nodiscard]] Prefix srun_prefix(const Executor& executor);

// The prefix of a class: that of the first of its name and its labels that has one; null: none has.
[[nodiscard]] const Prefix* prefix_of(const ClassInfo& info,
                                      const std::map<std::string, Prefix>& prefixes);

// Splits the commands. Throws InvalidArgument. Warnings, about classes with several prefixes and
// about labels that nothing has, are appended to `warnings`.
[[nodiscard]] std::map<std::string, Prefix> read_prefixes(
    const std::map<std::string, std::string>& commands, std::vector<std::string>& warnings);

}  // namespace stook::detail
