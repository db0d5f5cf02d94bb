#include "tests/torture/directory_task.h"

#include <sys/syscall.h>

#include <fstream>
#include <set>
#include <stdexcept>
#include <utility>
#include <stook/stook.hpp>

#include "tests/torture/failing.h"

namespace stook::torture {

namespace fs = std::filesystem;

namespace {

long generation = 0;  // what a task makes that is executed now

}  // namespace

struct DirectorySource : Task<DirectorySource, long()> {
  long run_task() { return 7; }
};

struct DirectoryOutput : Task<DirectoryOutput, long()> {
  Future<long> source = DirectorySource::make();
  long run_task() {
    std::ofstream file(task_directory() / "file");
    if (!(file << generation).flush()) throw std::runtime_error("cannot write the file");
    return generation;
  }
};

namespace {

CacheOptions silent() {
  CacheOptions options;
  options.warn = [](std::string_view) {};
  return options;
}

long in_directory() {
  long number = 0;
  std::ifstream(DirectoryOutput::make().task_directory() / "file") >> number;
  return number;
}

}  // namespace

int build_directory(const fs::path& directory) {
  generation = 1;
  const Cache cache(directory, silent());
  return DirectoryOutput::make().run_graph().value == 1 ? 0 : 1;
}

int rebuild_directory(const fs::path& directory, Steps& steps) {
  generation = 2;
  const Cache cache(directory, silent());
  steps.opened();
  DirectorySource::make().clear_task();
  RunOptions options;
  options.rebuild = Rebuild::downstream;
  options.jobs = 1;
  if (DirectoryOutput::make().run_graph(options).value != 2) return 1;
  steps.done();
  return 0;
}

int ask_for_directory(const fs::path& directory, Steps& steps) {
  generation = 3;
  const Cache cache(directory, silent());
  steps.opened();
  const long value = DirectoryOutput::make().run_graph().value;
  steps.done();
  return value == in_directory() ? 0 : 1;
}

DirectoryLook look_at_directory(const fs::path& directory, bool done) {
  SharedValue<std::pair<long, long>> found;
  const Ending ending = run_child([&] {
    generation = 3;
    const Cache cache(directory, silent());
    found->first = DirectoryOutput::make().run_graph().value;
    found->second = in_directory();
    return 0;
  });
  const auto [value, in_file] = *found;
  if (!ending.exited || ending.status != 0) return {0, "it cannot be looked at"};
  if (value == 3) return {value, "neither result is there"};
  if (value != in_file) {
    return {value, "the value is of result " + std::to_string(value) + ", the directory of " +
                       std::to_string(in_file)};
  }
  if (done && value != 2) return {value, "the new result is lost"};
  return {value, {}};
}

namespace {

// What distinguishes a cache in which a rebuild was killed: where the contents are, and which of
// them its record is of.
std::string shape_of(const fs::path& cache, const fs::path& copy) {
  std::string shape;
  for (const auto& entry : fs::recursive_directory_iterator(cache / "tasks")) {
    if (entry.path().filename() == "file") shape += read_text(entry.path()) + " in ";
    if (entry.is_directory()) shape += entry.path().filename().string() + " ";
  }
  copy_cache(cache, copy);
  return shape + "record " + std::to_string(look_at_directory(copy, false).value);
}

// Where the shape may be another one afterwards.
bool moves_something(const Call& call) {
  return !call.entering &&
         (call.number == SYS_rename || call.number == SYS_mkdir || call.number == SYS_openat ||
          call.number == SYS_unlink || call.number == SYS_pwrite64 || call.number == SYS_writev);
}

bool has_marker(const fs::path& cache) {
  for (const auto& entry : fs::directory_iterator(cache / "spool")) {
    if (entry.path().filename().string().starts_with("rebuild-")) return true;
  }
  return false;
}

}  // namespace

std::vector<KilledRebuild> killed_rebuilds(const fs::path& directory, const fs::path& good) {
  std::vector<KilledRebuild> rebuilds;
  std::set<std::string> shapes;
  Steps steps;
  for (std::uint64_t n = 0;; ++n) {
    const fs::path cache = directory / ("killed" + std::to_string(rebuilds.size()));
    copy_cache(good, cache);
    steps.reset();
    std::uint64_t stop = 0;
    const Ending ending = trace([&] { return rebuild_directory(cache, steps); },
                                [&](const Call& call) -> Order {
                                  if (!steps.is_open() || !moves_something(call)) return {};
                                  return {stop++ == n ? Verdict::kill : Verdict::go, 0};
                                });
    if (!ending.killed) return rebuilds;
    if (!has_marker(cache)) continue;
    const std::string shape = shape_of(cache, directory / "copy");
    if (!shapes.insert(shape).second) continue;
    rebuilds.push_back({shape, cache});
  }
}

bool names_marker(const Call& call) {
  return call.number == SYS_openat &&
         read_path(call.thread, call.arguments[1]).find("/rebuild-") != std::string::npos;
}

}  // namespace stook::torture
