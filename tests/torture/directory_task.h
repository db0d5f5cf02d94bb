// directory_task.h - a task that leaves a file in its directory, built, rebuilt and looked at.
// Not thread-safe.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/torture/operation.h"
#include "tests/torture/tracer.h"

namespace stook::torture {

// Each in this process; 0: done. Throws what stook throws.
int build_directory(const std::filesystem::path& cache);
int build_large_directory(const std::filesystem::path& cache);  // more files than are synced singly
int rebuild_directory(const std::filesystem::path& cache, Steps& steps);
// The same in two steps: what it is made of is cleared, then both are executed.
int clear_source(const std::filesystem::path& cache);
int rebuild_cleared(const std::filesystem::path& cache, Steps& steps);
// The second result leaves nothing in its directory: looks in this process know it.
int rebuild_without(const std::filesystem::path& cache, Steps& steps);
void second_leaves_nothing();
// The process is killed when the task has written its file, which is as it was before.
int die_having_made_the_same(const std::filesystem::path& cache);
// The task fails after it has written its file: the content of before comes back.
int fail_directory(const std::filesystem::path& cache, Steps& steps);
// Opens the cache and asks for the result, which is there: 0 where its directory is, too.
int ask_for_directory(const std::filesystem::path& cache, Steps& steps);

// What is found by who asks for the result, in a child. `fault`: value and directory are not both
// of the first result or both of the second, which they are where the rebuild was `done`; empty:
// all is well.
struct DirectoryLook {
  long value = 0;
  std::string fault;
  bool is_neither = false;  // and nothing else is wrong
};
[[nodiscard]] DirectoryLook look_at_directory(const std::filesystem::path& cache, bool done);
// The same where it may not have been built yet: then it is built now.
[[nodiscard]] std::string fault_of_first(const std::filesystem::path& cache, bool done);

// Caches in which a rebuild was killed, one of each shape: where the contents are, and which of
// them the record is of.
struct KilledRebuild {
  std::string shape;
  std::filesystem::path cache;
};
[[nodiscard]] std::vector<KilledRebuild> killed_rebuilds(const std::filesystem::path& directory,
                                                         const std::filesystem::path& good);
// Does it open the mark by which such a rebuild is found?
[[nodiscard]] bool names_marker(const Call& call);

}  // namespace stook::torture
