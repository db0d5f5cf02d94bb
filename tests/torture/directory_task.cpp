#include "tests/torture/directory_task.h"

#include <fstream>
#include <stdexcept>
#include <utility>
#include <stook/stook.hpp>

#include "tests/torture/tracer.h"

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

}  // namespace stook::torture
