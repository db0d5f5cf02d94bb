// directory_task.h - a task that leaves a file in its directory, built, rebuilt and looked at.
// Not thread-safe.
#pragma once

#include <filesystem>
#include <string>

#include "tests/torture/operation.h"

namespace stook::torture {

// Each in this process; 0: done. Throws what stook throws.
int build_directory(const std::filesystem::path& cache);
int rebuild_directory(const std::filesystem::path& cache, Steps& steps);
// Opens the cache and asks for the result, which is there: 0 where its directory is, too.
int ask_for_directory(const std::filesystem::path& cache, Steps& steps);

// What is found by who asks for the result, in a child. `fault`: value and directory are not both
// of the first result or both of the second, which they are where the rebuild was `done`; empty:
// all is well.
struct DirectoryLook {
  long value = 0;
  std::string fault;
};
[[nodiscard]] DirectoryLook look_at_directory(const std::filesystem::path& cache, bool done);

}  // namespace stook::torture
