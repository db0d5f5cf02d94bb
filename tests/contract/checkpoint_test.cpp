// What a task leaves for its next attempt, and for nobody else.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "src/external.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

#include <stook/stook.hpp>

namespace checkpoints {
namespace {

namespace fs = std::filesystem;
using namespace stook;
using stook::test::failures_of;
using stook::test::read;
using stook::test::write;
using test::TempCache;
using test::TempDirectory;

constexpr int finds_first = 11, finds_then = 12;

// Adds a word to its checkpoint, and ends there while the file `how` says so, of which the cache
// knows nothing.
struct Resumes : Task<Resumes, std::string(std::string, int)> {
  const std::string how;
  File input;
  const int n;
  Resumes(std::string file, int number) : how(std::move(file)), input(how + ".input"), n(number) {}
  std::string run_task() {
    if (n == finds_first) add_input(File(how + ".found"));
    const fs::path notes = task_checkpoint_directory() / "notes";
    const std::string before = fs::exists(notes) ? read(notes) : "";
    write(notes, before + "again ");
    if (n == finds_then) add_input(File(how + ".found"));
    if (read(how) == "fail") throw std::runtime_error("told to fail");
    if (read(how) == "kill the driver") {
      ::kill(static_cast<pid_t>(std::stoi(std::getenv("STOOK_TEST_DRIVER"))), SIGKILL);
      ::pause();
    }
    return before;
  }
};

class Checkpoint : public testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] static RunOptions options() {
    RunOptions options;
    if (GetParam()) options.executor = processes(1);
    return options;
  }
  Checkpoint() { change_input("first"); }
  // So that it can be seen: a stamp moves in ticks.
  void change_input(const std::string& text) const {
    const fs::path file = files_ / "how.input";
    const auto before = detail::stamp_of(file);
    while (detail::stamp_of(file) == before) write(file, text);
  }
  void say(const std::string& text) const { write(files_ / "how", text); }
  [[nodiscard]] TaskRef<Resumes> task(int n) const {
    return Resumes::make((files_ / "how").string(), n);
  }
  TempCache cache_;
  TempDirectory files_;
};
INSTANTIATE_TEST_SUITE_P(Checkpoint, Checkpoint, testing::Bool(),
                         [](const auto& param) { return param.param ? "InWorkers" : "InThreads"; });

TEST_P(Checkpoint, SurvivesAFailedAttempt) {
  say("fail");
  EXPECT_EQ(failures_of(task(1), options()).size(), 1u);
  say("");
  EXPECT_EQ(task(1).run_graph(options()).value, "again ");
}

// What it is going on from is not what it would be made of now.
TEST_P(Checkpoint, IsNotOneOfOtherInputs) {
  say("fail");
  EXPECT_EQ(failures_of(task(1), options()).size(), 1u);
  change_input("second");
  EXPECT_EQ(failures_of(task(1), options()).size(), 1u);
  say("");
  EXPECT_EQ(task(1).run_graph(options()).value, "again ");
  change_input("third");
  EXPECT_EQ(task(1).run_graph(options()).value, "");
  EXPECT_EQ(read(task(1).task_checkpoint_directory() / "notes"), "again ");
}

// Who knows what it has read meanwhile.
TEST_P(Checkpoint, IsNotOneOfInputsThatWereChangedAndChangedBack) {
  say("fail");
  EXPECT_EQ(failures_of(task(1), options()).size(), 1u);
  change_input("second");
  change_input("first");
  say("");
  EXPECT_EQ(task(1).run_graph(options()).value, "");
}

// Nor where a file that it had found, before it asked for the directory or after, is another one.
TEST_P(Checkpoint, IsNotOneOfOtherFiles) {
  for (const int n : {finds_first, finds_then}) {
    write(files_ / "how.found", "first");
    say("fail");
    EXPECT_EQ(failures_of(task(n), options()).size(), 1u);
    EXPECT_EQ(failures_of(task(n), options()).size(), 1u);
    say("");
    EXPECT_EQ(task(n).run_graph(options()).value, "again again ");
    write(files_ / "how.found", "second");
    EXPECT_EQ(task(n).run_graph(options()).value, "");
  }
}

// Nobody has made a record of it, so nobody has written down its number.
TEST_P(Checkpoint, SurvivesADriverThatDied) {
  say("kill the driver");
  cache_.close();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setenv("STOOK_TEST_DRIVER", std::to_string(::getpid()).c_str(), 1);
    const Cache cache(cache_.root());
    (void)task(1).run_graph(options());
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  fs::remove(cache_.root() / ".claims");  // where the last number was, as on a network file system
  cache_.open();
  say("");
  EXPECT_EQ(task(2).run_graph(options()).value, "");
  EXPECT_EQ(task(1).run_graph(options()).value, "again ");
}

}  // namespace
}  // namespace checkpoints
