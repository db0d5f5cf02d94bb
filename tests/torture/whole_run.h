// whole_run.h - a program as a user writes one, run while one of its system calls fails, in each
// way it can, or while it or a worker is killed at one. What it says is right or one clear error;
// without one of the files it was found to read it has no answer; then it says what is right,
// nothing is executed again but for what the disk did not give back, and so it is when all is
// changed back. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <stook/cache.hpp>
#include <stook/options.hpp>

#include "tests/torture/line.h"
#include "tests/torture/operation.h"

namespace stook::torture {

struct Answer {
  std::size_t ran = 0;
  std::string said;
};

// All of it happens in a directory of its own, which is the working directory.
struct WholeRun {
  std::function<void()> prepare;          // writes the files it reads
  std::function<Answer(Steps&)> ask;      // opens "cache"; tells when it has, and when all was said
  std::function<std::string()> expected;  // what it must say, of the files as they are
  std::function<bool()> made = [] { return true; };  // are the files that it makes right?
  std::vector<std::string> found = {};               // files that tasks find while they run
  bool in_workers = false;                           // harm is done to its worker processes
  std::uint64_t quick_step = 1;                      // quick does every so manyth harm
};

struct Scenario {
  std::string name;
  std::function<void()> change;  // before it is asked, where a finished run is
  std::size_t runs;              // so many tasks are executed when nothing fails
};

enum class Harm : std::uint8_t { fails, killed };

// Does harm at each call, in each way. Returns how many runs there were, as a part of the figure:
// ", changed 120, asked 80".
[[nodiscard]] std::string harm_whole_runs(Line& line, const WholeRun& whole, Harm harm,
                                          const std::vector<Scenario>& scenarios);

[[nodiscard]] CacheOptions silent();
[[nodiscard]] RunOptions one_job();

}  // namespace stook::torture
