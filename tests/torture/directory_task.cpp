#include "tests/torture/directory_task.h"

#include <sys/syscall.h>

#include <csignal>
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
bool fails = false;   // having made it
bool dies = false;    // the same
int more_files = 0;   // beside the one
bool second_has_none = false;

}  // namespace

struct DirectorySource : Task<DirectorySource, long()> {
  long run_task() { return 7; }
};

struct DirectoryOutput : Task<DirectoryOutput, long()> {
  Future<long> source = DirectorySource::make();
  long run_task() {
    if (generation == 2 && second_has_none) return generation;
    std::ofstream file(task_directory() / "file");
    if (!(file << generation << ' ' << 1 + more_files).flush()) {
      throw std::runtime_error("cannot write the file");
    }
    for (int i = 0; i < more_files; ++i) {
      std::ofstream(task_directory() / std::to_string(i)) << generation << ' ' << 1 + more_files;
    }
    file.close();
    if (dies) (void)raise(SIGKILL);
    if (fails) throw std::runtime_error("as it was to");
    return generation;
  }
};

namespace {

CacheOptions silent() {
  CacheOptions options;
  options.warn = [](std::string_view) {};
  return options;
}

constexpr int kMoreFiles = 130;

// The number that is in each file, where as many are there as each says; else -1.
long in_directory() {
  std::set<std::pair<long, int>> said;
  int files = 0;
  const fs::path directory = DirectoryOutput::make().task_directory();
  if (second_has_none && !fs::exists(directory)) return 2;
  for (const auto& entry : fs::directory_iterator(directory)) {
    long number = 0;
    int all = 0;
    std::ifstream(entry.path()) >> number >> all;
    said.emplace(number, all);
    ++files;
  }
  return said.size() == 1 && said.begin()->second == files ? said.begin()->first : -1;
}

}  // namespace

int build_directory(const fs::path& directory) {
  generation = 1;
  const Cache cache(directory, silent());
  return DirectoryOutput::make().run_graph().value == 1 ? 0 : 1;
}

int build_large_directory(const fs::path& directory) {
  more_files = kMoreFiles;
  return build_directory(directory);
}

namespace {

enum class Source { is_cleared_first, was_cleared };

long execute_again(const fs::path& directory, Steps& steps, long now,
                   Source source = Source::is_cleared_first) {
  generation = now;
  const Cache cache(directory, silent());
  steps.opened();
  if (source == Source::is_cleared_first) DirectorySource::make().clear_task();
  RunOptions options;
  options.rebuild = Rebuild::downstream;
  options.jobs = 1;
  const long value = DirectoryOutput::make().run_graph(options).value;
  steps.done();
  return value;
}

}  // namespace

int rebuild_directory(const fs::path& directory, Steps& steps) {
  return execute_again(directory, steps, 2) == 2 ? 0 : 1;
}

int clear_source(const fs::path& directory) {
  const Cache cache(directory, silent());
  DirectorySource::make().clear_task();
  return 0;
}

int rebuild_cleared(const fs::path& directory, Steps& steps) {
  return execute_again(directory, steps, 2, Source::was_cleared) == 2 ? 0 : 1;
}

int rebuild_without(const fs::path& directory, Steps& steps) {
  second_leaves_nothing();
  return rebuild_directory(directory, steps);
}

void second_leaves_nothing() { second_has_none = true; }

int die_having_made_the_same(const fs::path& directory) {
  dies = true;
  Steps steps;
  (void)execute_again(directory, steps, 1);
  return 1;  // it does not come to that
}

int fail_directory(const fs::path& directory, Steps& steps) {
  fails = true;
  try {
    (void)execute_again(directory, steps, 2);
  } catch (const TaskFailed&) { return 0; }
  return 1;
}

int ask_for_directory(const fs::path& directory, Steps& steps) {
  generation = 3;
  const Cache cache(directory, silent());
  steps.opened();
  const long value = DirectoryOutput::make().run_graph().value;
  steps.done();
  return value == in_directory() ? 0 : 1;
}

namespace {

// What the run of a third generation says of the result, and what is in its directory.
DirectoryLook ask_third(const fs::path& directory) {
  SharedValue<std::pair<long, long>> found;
  const Ending ending = run_child([&] {
    generation = 3;
    const Cache cache(directory, silent());
    found->first = DirectoryOutput::make().run_graph().value;
    found->second = in_directory();
    return 0;
  });
  const auto [value, in_file] = *found;
  if (!ending.exited || ending.status != 0) return {0, "it cannot be looked at", false};
  if (value != in_file) {
    return {value,
            "the value is of result " + std::to_string(value) + ", the directory of " +
                std::to_string(in_file),
            false};
  }
  return {value, {}, false};
}

}  // namespace

DirectoryLook look_at_directory(const fs::path& directory, bool done) {
  DirectoryLook look = ask_third(directory);
  if (!look.fault.empty()) return look;
  look.is_neither = look.value == 3;
  if (look.is_neither) look.fault = "neither result is there";
  else if (done && look.value != 2) look.fault = "the new result is lost";
  return look;
}

std::string fault_of_first(const fs::path& cache, bool done) {
  const DirectoryLook look = ask_third(cache);
  return look.fault.empty() && done && look.value != 1 ? "the result is lost" : look.fault;
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
