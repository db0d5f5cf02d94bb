// depfile.h - reads what a compiler writes with -MD: the files that a target was made of.
// Makefile syntax as gcc and clang write it. Unaware of tasks and of the file system.
// Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace stook::detail {

// The most that is read of one depfile, in bytes; a longer one is refused.
constexpr std::size_t most_depfile_bytes = std::size_t{64} << 20;

// The prerequisites of all rules in `text`, each once, in order of appearance. Targets are left
// out, so phony ones (-MP) add nothing.
//
//   depfile = { rule | blank | comment } ;
//   rule    = target { target } ":" { prerequisite } end of line ;
//   "\" at the end of a line goes on with the next one; "\ ", "\#", "\:" and "$$" are the
//   character itself; "\\" before a blank is one backslash, elsewhere a backslash is a backslash.
//   A colon ends the targets where a blank or the end of the line follows.
//
// Throws Error saying the line where `text` is no such file.
[[nodiscard]] std::vector<std::string> parse_depfile(std::string_view text);

}  // namespace stook::detail
