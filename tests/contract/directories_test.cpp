// Directories of tasks where permissions, or an attempt that died, stand in the way.
#include <gtest/gtest.h>

#include <csignal>
#include <iostream>

#include "src/store.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"
#include "tests/support/unprivileged.h"

#include <stook/stook.hpp>

namespace directories {
namespace {

namespace fs = std::filesystem;
using namespace stook;
using stook::test::entries_in;
using stook::test::failures_of;
using stook::test::read;
using stook::test::write;
using test::TempCache;
using test::TempDirectory;

// Leaves a tree without write permission, as Go's module cache is one.
struct Unpacks : Task<Unpacks, int(std::string, bool)> {
  File input;
  const bool all;
  Unpacks(const std::string& path, bool everything) : input(path), all(everything) {}
  int run_task() {
    const fs::path directory = task_directory();
    const fs::path inner = directory / "inner";
    fs::create_directory(inner);
    write(inner / "file", read(*input));
    fs::permissions(inner, fs::perms(0555));
    if (all) fs::permissions(directory, fs::perms(0555));
    if (read(*input) == "bad") throw std::runtime_error("bad input");
    return 1;
  }
};

class ReadOnlyTree : public testing::TestWithParam<bool> {};

TEST_P(ReadOnlyTree, IsReplacedAndGivenBack) {
  if (test::done_as_nobody()) return;
  TempCache cache;
  TempDirectory files;
  const auto task = Unpacks::make((files / "in").string(), GetParam());
  const fs::path file = task.task_directory() / "inner" / "file";
  for (const std::string text : {"one", "two", "three"}) {
    write(files / "in", text);
    EXPECT_EQ(task.run_graph().stats.ran, 1u);
    EXPECT_EQ(read(file), text);
  }
  write(files / "in", "bad");
  EXPECT_EQ(failures_of(task).size(), 1u);
  EXPECT_EQ(read(file), "three");
  write(files / "in", "three");
  EXPECT_EQ(task.run_graph().stats.unchanged, 1u);
  write(files / "in", "four");
  EXPECT_EQ(task.run_graph().stats.ran, 1u);
  EXPECT_EQ(read(file), "four");
  EXPECT_EQ(entries_in(task.task_directory().parent_path()), 1) << "the last good one is left";
  EXPECT_EQ(entries_in(cache.root() / "spool" / "trash"), 0);
  // Else the cache could not be removed.
  for (const fs::path& path : {task.task_directory(), file.parent_path()}) {
    fs::permissions(path, fs::perms(0755));
  }
}

INSTANTIATE_TEST_SUITE_P(Directories, ReadOnlyTree, testing::Bool(), [](const auto& param) {
  return param.param ? "WithItsTop" : "BelowItsTop";
});

struct Copies : Task<Copies, int(std::string)> {
  File input;
  explicit Copies(const std::string& path) : input(path) {}
  int run_task() {
    write(task_directory() / "file", read(*input));
    if (read(*input) == "bad") throw std::runtime_error("bad input");
    if (read(*input) == "deadly") (void)raise(SIGKILL);
    return 1;
  }
};

struct Prints : Task<Prints, int()> {
  int run_task() {
    std::cout << "a word\n";
    return 1;
  }
};

// A task with a result, and what an attempt to make it anew has left.
class Directories : public testing::TestWithParam<bool> {
 protected:
  Directories() {
    write(files / "in", "good");
    (void)task().run_graph();
  }
  [[nodiscard]] TaskRef<Copies> task() const { return Copies::make((files / "in").string()); }
  [[nodiscard]] fs::path data() const { return task().task_directory(); }
  [[nodiscard]] fs::path previous() const { return data().parent_path() / "data.previous"; }
  [[nodiscard]] fs::path marker() const {
    return cache.root() / "spool" / ("rebuild-" + to_hex(task().key()));
  }
  void mark() const {
    write(marker(), fs::relative(data().parent_path(), cache.root()).string() + "\n");
  }
  static void make(const fs::path& directory, const std::string& text) {
    fs::create_directory(directory);
    write(directory / "file", text);
  }
  // In threads, or in a worker.
  [[nodiscard]] RunOptions options() const {
    RunOptions options;
    if (GetParam()) options.executor = processes(1);
    return options;
  }
  // In a worker, or in a process of its own behind a command that prints something, too.
  [[nodiscard]] static RunOptions in_a_process() {
    RunOptions options;
    if (GetParam()) options.executor = processes(1);
    else options.prefixes = {{Prints::make().task_name(), R"(sh -c 'echo word; "$@"' wrapper)"}};
    return options;
  }
  void fails_and_gives_back() {
    write(files / "in", "bad");
    EXPECT_EQ(failures_of(task(), options()).size(), 1u);
    EXPECT_EQ(read(data() / "file"), "good");
    EXPECT_FALSE(fs::exists(previous()));
    EXPECT_FALSE(fs::exists(marker()));
    write(files / "in", "good");
    EXPECT_EQ(task().run_graph(options()).stats.unchanged, 1u);
  }

  TempCache cache;
  TempDirectory files;
};

TEST_P(Directories, WhatAnOlderRebuildLeftIsNotTakenForTheLastGoodOne) {
  make(previous(), "older");
  fails_and_gives_back();
}

// It died after it had published, while this process had the cache open.
TEST_P(Directories, TheNextAttemptKeepsWhatADeadOnePublished) {
  make(previous(), "older");
  mark();
  fails_and_gives_back();
}

TEST_P(Directories, TheNextAttemptUndoesWhatADeadOneDid) {
  fs::rename(data(), previous());
  make(data(), "half");
  mark();
  fails_and_gives_back();
}

// The marker cannot be written, so nothing has moved: what is there is the last good one.
TEST_P(Directories, NothingMovesWithoutAMarker) {
  write(files / "in", "bad");
  fs::create_directory(marker());
  write(marker() / "in the way", "");
  EXPECT_THROW((void)task().run_graph(options()), CacheError);
  EXPECT_EQ(read(data() / "file"), "good");
  fs::remove_all(marker());
  fails_and_gives_back();
}

TEST_P(Directories, NothingIsPutBackThroughALink) {
  write(files / "other", "good");
  const TaskRef<Copies> other = Copies::make((files / "other").string());
  const fs::path path = other.task_directory().parent_path();
  const TempDirectory outside;
  make(outside / "data", "precious");
  make(outside / "data.previous", "precious, too");
  fs::remove_all(path);
  fs::create_directories(path.parent_path());
  fs::create_directory_symlink(outside.path(), path);
  EXPECT_ANY_THROW((void)other.run_graph(options()));
  EXPECT_EQ(read(outside / "data" / "file"), "precious");
  EXPECT_EQ(read(outside / "data.previous" / "file"), "precious, too");
}

TEST_P(Directories, NoLogIsWrittenThroughALink) {
  const fs::path path = Prints::make().task_directory().parent_path();
  const TempDirectory outside;
  fs::create_directories(path.parent_path());
  fs::create_directory_symlink(outside.path(), path);
  EXPECT_EQ(Prints::make().run_graph(in_a_process()).value, 1);
  EXPECT_EQ(entries_in(outside.path()), 0);
}

INSTANTIATE_TEST_SUITE_P(Directories, Directories, testing::Bool(),
                         [](const auto& param) { return param.param ? "InAWorker" : "InThreads"; });

class DeadWorker : public Directories {};

// Nothing was there to be moved aside: what the dead worker has made is not the record's.
TEST_P(DeadWorker, LeavesNothingThatIsTakenForTheLastGoodOne) {
  fs::remove_all(data());
  write(files / "in", "deadly");
  EXPECT_EQ(failures_of(task(), options()).size(), 1u);
  write(files / "in", "good");
  EXPECT_EQ(task().run_graph(options()).stats.ran, 1u);
  EXPECT_EQ(read(data() / "file"), "good");
  EXPECT_FALSE(fs::exists(marker()));
}

INSTANTIATE_TEST_SUITE_P(Directories, DeadWorker, testing::Values(true));

struct Simple : Task<Simple, int()> {
  int run_task() {
    write(task_directory() / "file", "good");
    return 1;
  }
};

TEST(DeadAttempt, MayLeaveWhatCannotBeRead) {
  if (test::done_as_nobody()) return;
  TempCache cache;
  (void)Simple::make().run_graph();
  const fs::path data = Simple::make().task_directory();
  fs::rename(data, data.parent_path() / "data.previous");
  fs::create_directories(data / "inner");
  write(data / "secret", "half");
  write(data / "inner" / "file", "half");
  fs::permissions(data / "secret", fs::perms(0));
  fs::permissions(data / "inner", fs::perms(0));
  write(cache.root() / "spool" / ("rebuild-" + to_hex(Simple::make().key())),
        fs::relative(data.parent_path(), cache.root()).string() + "\n");
  ASSERT_NO_THROW(cache.reopen());
  EXPECT_EQ(read(data / "file"), "good");
  EXPECT_EQ(Simple::make().run_graph().stats.ran, 0u);
  EXPECT_EQ(entries_in(cache.root() / "spool" / "trash"), 0);
}

struct Locks : Task<Locks, int()> {
  int run_task() {
    write(task_directory() / "secret", "1");
    fs::permissions(task_directory() / "secret", fs::perms(0));
    return 1;
  }
};
struct Free : Task<Free, int(int)> {
  const int n;
  explicit Free(int number) : n(number) {}
  int run_task() { return n; }
};
struct NeedsAll : Task<NeedsAll, int()> {
  Future<int> locked = Locks::make();
  FutureList<int> others{Free::make(1), Free::make(2)};
  int run_task() { return *locked; }
};

TEST(UnreadableDirectory, FailsItsTaskAlone) {
  if (test::done_as_nobody()) return;
  TempCache cache;
  const auto failures = failures_of(NeedsAll::make(), {.jobs = 1, .keep_going = true});
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(test::contains(failures[0].class_name, "Locks"));
  EXPECT_TRUE(test::contains(failures[0].cause, "secret")) << failures[0].cause;
  EXPECT_EQ(Free::make(1).run_graph().stats.ran, 0u);
  EXPECT_EQ(Free::make(2).run_graph().stats.ran, 0u);
}

bool was_there_at_the_end = false;

struct Ends : Task<Ends, int()> {
  bool ran = false;
  ~Ends() {
    if (ran) was_there_at_the_end = fs::exists(task_directory() / "file");
  }
  int run_task() {
    ran = true;
    write(task_directory() / "file", "made");
    return 1;
  }
};

// Others may read it by then: it is not made anew.
TEST(EndOfATask, ItsDestructorFindsWhatWasPublished) {
  TempCache cache;
  EXPECT_EQ(Ends::make().run_graph().stats.ran, 1u);
  EXPECT_TRUE(was_there_at_the_end);
  EXPECT_EQ(read(Ends::make().task_directory() / "file"), "made");
}

}  // namespace
}  // namespace directories
