// external.hpp - inputs from outside: files, directories, environment variables. Their digest is
// that of their content; when that changes, what was made from them becomes suspect.
// Unaware of runs and caches.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <stook/future.hpp>

namespace stook {

// A file. The value is its path as given; the key is that path without "." and "//", so a
// project may be moved as a whole. A run that needs a file that is not there fails before it starts.
// A relative path is relative to the working directory of the program that calls run_graph(): where
// RunOptions::working_directory has tasks work elsewhere they are given the absolute path.
class File : public Future<std::filesystem::path> {
 public:
  explicit File(const std::filesystem::path& path);
};

// A directory with all that is in it: names, contents, executable bits, the text of symbolic links.
class Directory : public Future<std::filesystem::path> {
 public:
  explicit Directory(const std::filesystem::path& path);
};

// An environment variable of the program that calls run_graph(): a task in another process is given
// its value from here. Unset it has the value `otherwise`; without one a run that needs it fails
// before it starts.
class EnvironmentVariable : public Future<std::string> {
 public:
  explicit EnvironmentVariable(const std::string& name,
                               const std::optional<std::string>& otherwise = {});
};

}  // namespace stook
