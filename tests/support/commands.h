// commands.h - what the tests of Command begin with.
#pragma once

#include <filesystem>
#include <string>

#include <stook/command.hpp>

#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

namespace stook::test {

// `script` gets the inputs, then the outputs, as $1, $2, ...
inline CommandArguments shell(const std::string& script) {
  return {.argv = {"sh", "-c", script, "sh", "{in}", "{out}"}};
}

inline Counts run_counts(const TaskRef<Command>& command) {
  return command.run_graph().stats.by_class["stook::Command"];
}

// The text of the only failure.
inline std::string failure_of(const Future<CommandResult>& command) {
  const std::vector<Failure> failures = failures_of(command);
  EXPECT_EQ(failures.size(), 1u);
  return failures.empty() ? std::string() : failures.front().cause;
}

// A cache, and a tree of files beside it. A test may go elsewhere.
struct Commands : testing::Test {
  const std::filesystem::path home = std::filesystem::current_path();
  TempCache cache;
  TempDirectory tree;
  ~Commands() override { std::filesystem::current_path(home); }
  [[nodiscard]] std::string at(const std::string& name) const { return (tree / name).string(); }

  TaskRef<Command> copy(const std::string& from, const std::string& to) const {
    return Command::make({.argv = {"cp", "{in}", "{out}"}, .inputs = {from}, .outputs = {to}});
  }
};

}  // namespace stook::test
