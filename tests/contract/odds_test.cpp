// What comes about outside a task's own code: signals, ends of processes that others hold open,
// limits beyond all measure, exceptions of users' types in the driver.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <limits>

#include "runtime/select.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

#include <stook/command.hpp>
#include <stook/stook.hpp>

namespace odds {
namespace {

namespace fs = std::filesystem;
using namespace stook;
using stook::test::contains;
using stook::test::failures_of;
using stook::test::read;
using test::TempCache;
using test::TempDirectory;

RunOptions in_processes(int count = 1) {
  RunOptions options;
  options.executor = stook::processes(count);
  return options;
}

struct Three : Task<Three, std::vector<int>(int)> {
  explicit Three(int) {}
  std::vector<int> run_task() { return {1, 2, 3}; }
};
struct Use : Task<Use, int(Future<int>)> {
  Future<int> element;
  explicit Use(const Future<int>& of) : element(of) {}
  int run_task() { return *element; }
};

TEST(Odds, AnElementThatIsNotThereFailsItsTask) {
  TempCache cache;
  const auto failures = failures_of(Use::make(Three::make(1)[5]), in_processes());
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(contains(failures[0].class_name, "Use")) << failures[0].class_name;
}

// A process that leaves the worker's session, and holds its socket open, outlives it.
struct LeavesADaemon : Task<LeavesADaemon, int(std::string pid_file)> {
  const std::string pid_file;
  explicit LeavesADaemon(std::string file) : pid_file(std::move(file)) {}
  int run_task() {
    int ready[2];
    if (::pipe(ready) != 0) return 0;
    if (::fork() == 0) {
      ::setsid();
      ::prctl(PR_SET_PDEATHSIG, 0);
      std::ofstream(pid_file) << ::getpid();
      (void)!::write(ready[1], "r", 1);
      for (;;) ::pause();
    }
    char byte = 0;
    (void)!::read(ready[0], &byte, 1);
    ::kill(::getpid(), SIGKILL);
    return 1;
  }
};

TEST(Odds, ADeathBehindADaemonIsNoticed) {
  const TempDirectory directory;
  TempCache cache;
  const std::string file = (directory.path() / "pid").string();
  const auto failures = failures_of(LeavesADaemon::make(file), in_processes());
  pid_t daemon = 0;
  std::ifstream(file) >> daemon;
  ASSERT_GT(daemon, 0);
  EXPECT_EQ(::kill(daemon, SIGKILL), 0);
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(contains(failures[0].cause, "signal 9")) << failures[0].cause;
}

// exec keeps it, so that whoever has started the program may have ignored it.
TEST(Odds, ACommandEndsWhereSIGCHLDWasIgnored) {
  const TempDirectory directory;
  TempCache cache;
  auto* const before = ::signal(SIGCHLD, SIG_IGN);
  const std::string out = (directory.path() / "out").string();
  Command::make({.argv = {"sh", "-c", "echo made > \"$1\"", "sh", "{out}"}, .outputs = {out}})
      .run_graph();
  ::signal(SIGCHLD, before);
  EXPECT_EQ(read(out), "made\n");
}

struct One : Task<One, int(int)> {
  explicit One(int) {}
  int run_task() { return 1; }
};

TEST(Odds, ATimeLimitBeyondAllMeasureIsNone) {
  TempCache cache;
  int n = 0;
  for (const double limit : {1e300, 1e12, std::numeric_limits<double>::infinity()}) {
    RunOptions options = in_processes();
    options.timeout = limit;
    EXPECT_EQ(One::make(++n).run_graph(options).value, 1) << limit;
    options.executor = stook::threads();
    options.prefixes[detail::class_info<One>().name] = "";
    EXPECT_EQ(One::make(++n).run_graph(options).value, 1) << limit;
  }
}

TEST(Odds, ANameWithABracketIsAPattern) {
  TempCache cache;
  for (int i = 0; i < 3; ++i) One::make(100 + i).run_graph();
  const std::string& name = detail::class_info<One>().name;
  ASSERT_TRUE(contains(name, "(")) << name;
  EXPECT_EQ(detail::clear_selected(cache->store(), name).removed, 3u);
}

// What the programs that a task starts inherit.
struct MaskOfAChild : Task<MaskOfAChild, void(std::string)> {
  const std::string to;
  explicit MaskOfAChild(std::string file) : to(std::move(file)) {}
  void run_task() {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, to.c_str(), O_CREAT | O_WRONLY, 0600);
    char program[] = "grep", pattern[] = "SigBlk", file[] = "/proc/self/status";
    char* argv[] = {program, pattern, file, nullptr};
    pid_t pid = 0;
    ASSERT_EQ(::posix_spawnp(&pid, "grep", &actions, nullptr, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    ::waitpid(pid, nullptr, 0);
  }
};

TEST(Odds, WhatATaskStartsCanBeInterrupted) {
  const TempDirectory directory;
  const std::string file = (directory.path() / "mask").string();
  const std::string cache = (directory.path() / "cache").string();
  std::vector<std::string> words{"program", "--args", Json{file}.dump(), "-o", cache};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  ASSERT_EQ(MaskOfAChild::cli(static_cast<int>(words.size()), argv.data()), 0);
  EXPECT_EQ(read(file), "SigBlk:\t0000000000000000\n");
}

}  // namespace
}  // namespace odds
