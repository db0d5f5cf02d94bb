// Commands that do nothing, to see what starting one costs. See tools/dev/bench dispatch.
//   bench_dispatch run COUNT JOBS CACHE      COUNT commands `/bin/true I`, then their root
//   bench_dispatch files COUNT JOBS CACHE    the same, each with an output file in CACHE.files/
//   bench_dispatch open COUNT JOBS CACHE     run_graph() of a finished graph alone, cache open
//   bench_dispatch nothing 0 0               nothing: what the process itself costs
//   bench_dispatch spawn COUNT JOBS          the loop alone: the same starts without any task
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <stook/command.hpp>
#include <stook/stook.hpp>

#include "runtime/process.h"

namespace {

struct All : stook::Task<All, long(long count, std::string files)> {
  stook::FutureList<stook::CommandResult> commands;
  All(long count, const std::string& files) {
    commands.reserve(static_cast<std::size_t>(count));
    for (long i = 0; i < count; ++i) {
      stook::CommandArguments arguments{.argv = {"/bin/true", std::to_string(i)}};
      if (!files.empty()) {
        arguments.argv = {"/bin/cp", "/dev/null", "{out}"};
        arguments.outputs = {files + "/" + std::to_string(i)};
      }
      commands.push_back(stook::Command::make(std::move(arguments)));
    }
  }
  long run_task() { return static_cast<long>(commands->size()); }
};

void spawn(long count, int jobs) {
  std::vector<std::jthread> threads;
  for (int job = 0; job < jobs; ++job) {
    threads.emplace_back([=] {
      for (long i = job; i < count; i += jobs) {
        (void)stook::detail::run_process({{"/bin/true", std::to_string(i)}, {}, {}}, {});
      }
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || (argc < 5 && argv[1][0] != 's' && argv[1][0] != 'n'))
    return std::fprintf(stderr, "see the head of dispatch.cpp\n"), 2;
  const long count = std::atol(argv[2]);
  const int jobs = std::atoi(argv[3]);
  const std::string mode = argv[1];
  if (mode == "nothing") return 0;
  using Clock = std::chrono::steady_clock;
  auto start = Clock::now();
  std::size_t ran = 0;
  if (mode == "spawn") {
    spawn(count, jobs);
  } else {
    const std::string directory = argv[4];
    const std::string files = directory + ".files";
    stook::Cache cache(directory);
    const bool has_files = mode == "files" || !std::filesystem::is_empty(files);
    const auto all = All::make(count, has_files ? files : "");
    if (mode == "open") start = Clock::now();
    ran = all.run_graph({.jobs = jobs}).stats.ran;
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf("%s %ld: %.1f ms, %zu ran\n", argv[1], count, seconds * 1e3, ran);
}
