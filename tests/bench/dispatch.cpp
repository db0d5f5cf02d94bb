// Commands that do nothing, to see what starting one costs. See tools/dev/bench dispatch.
//   bench_dispatch run COUNT JOBS CACHE      COUNT commands `/bin/true I`, then their root
//   bench_dispatch files COUNT JOBS CACHE    the same, each with an output file in CACHE.files/
//   bench_dispatch spawn COUNT JOBS          the loop alone: the same starts without any task
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
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
  if (argc < 4) return std::fprintf(stderr, "see the head of dispatch.cpp\n"), 2;
  const long count = std::atol(argv[2]);
  const int jobs = std::atoi(argv[3]);
  const auto start = std::chrono::steady_clock::now();
  std::size_t ran = 0;
  if (std::strcmp(argv[1], "spawn") == 0) {
    spawn(count, jobs);
  } else {
    stook::Cache cache(argv[4]);
    const bool files = std::strcmp(argv[1], "files") == 0;
    const auto all = All::make(count, files ? std::string(argv[4]) + ".files" : "");
    ran = all.run_graph({.jobs = jobs}).stats.ran;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%s %ld: %.1f ms, %zu ran\n", argv[1], count, seconds * 1e3, ran);
}
