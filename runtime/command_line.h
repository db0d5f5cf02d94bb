// command_line.h - what a program's command line says, and how it is read.
// Unaware of how a run works. Design: runtime/README.md
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <stook/class_info.hpp>
#include <stook/json.hpp>
#include <stook/options.hpp>

namespace stook::detail {

struct CommandLine {
  std::string cache = "cache";
  RunOptions run;
  int compress_level = 3;
  bool cached_entry = false;
  bool dry_run = false;
  bool json = false;
  std::string stats_file;
  std::optional<std::string> why;
  std::vector<std::string> clear;
  Json arguments;           // of the entry task, as ClassInfo::from_json takes them
  std::optional<int> exit;  // set: it has been answered (--help, a usage error)
};

// Reads argv for `entry`; prints help and usage errors itself.
[[nodiscard]] CommandLine read_command_line(const ClassInfo& entry, int argc, char** argv);

// The values populated by DefaultArguments.
[[nodiscard]] const std::map<std::string, int>& default_rate_limits();
[[nodiscard]] const std::map<std::string, std::string>& default_prefixes();

}  // namespace stook::detail
