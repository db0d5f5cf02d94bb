// outcomes.h - what a test looks at: text, files, the failures of a run.
#pragma once

#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "src/file_stamp.h"

#include <stook/stook.hpp>

namespace stook::test {

inline void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

// Until the file is of an earlier tick of the clock that stamps files than what comes now. What is
// stamped after a look at an older stamp may be later within the tick, so no other file tells.
inline void let_a_tick_pass(const std::filesystem::path& file) {
  const std::int64_t changed = detail::stamp_of(file).changed_ns;
  timespec now{};
  do {
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  } while (now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec <= changed);
}

inline std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// How many it has, without those of directories in it.
inline std::ptrdiff_t entries_in(const std::filesystem::path& directory) {
  return std::distance(std::filesystem::directory_iterator(directory), {});
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The failures of a run that must fail.
template <class Ref>
std::vector<Failure> failures_of(const Ref& task, const RunOptions& options = {}) {
  try {
    (void)task.run_graph(options);
    ADD_FAILURE() << "the run did not fail";
  } catch (const TaskFailed& error) { return error.failures(); }
  return {};
}

}  // namespace stook::test
