// The disk is full when a task with a directory has been made again: its value and what is in the
// directory are of one result whatever happens then.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <optional>
#include <thread>

#include "src/hash.h"
#include "src/store.h"
#include "tests/support/full_disk.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

#include <stook/stook.hpp>

namespace {

using namespace stook;
namespace fs = std::filesystem;
using stook::test::FullDisk;
using stook::test::read;
using stook::test::TempDirectory;
using stook::test::write;

std::optional<FullDisk> disk;
bool fills_the_disk = false;

void wait_for(const fs::path& file) {
  while (!fs::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

struct Made : Task<Made, std::string(std::string)> {
  File input;
  explicit Made(const std::string& path) : input(path) {}
  std::string run_task() {
    const std::string text = read(*input);
    write(task_directory() / "out.txt", text);
    if (text == "bad") throw std::runtime_error("bad input");
    if (fills_the_disk) disk.emplace();
    // In a process of its own: whoever made that file fills the driver's disk and says so.
    const fs::path input_path = *input;
    if (fs::exists(input_path.parent_path() / "wait")) {
      write(input_path.parent_path() / "started", "");
      wait_for(input_path.parent_path() / "go");
    }
    return text + stook::test::incompressible(200'000);
  }
};

class NoSpace : public testing::TestWithParam<bool> {
 protected:
  ~NoSpace() override { disk.reset(); }

  void open(const std::string& name) {
    CacheOptions options;
    options.durability_full = GetParam();
    options.warn = [](std::string_view) {};
    cache_.reset();
    cache_.emplace(files_ / name, options);
  }
  void input(const std::string& text) { write(files_ / "in", text); }
  [[nodiscard]] auto task() const { return Made::make((files_ / "in").string()); }
  // Both are of what was made of this text, and nothing has to be executed for that.
  void expect_both(const std::string& text) {
    const auto outcome = task().run_graph();
    EXPECT_EQ(outcome.value.substr(0, text.size()), text);
    EXPECT_EQ(outcome.stats.ran, 0u);
    EXPECT_EQ(read(task().task_directory() / "out.txt"), text);
  }
  // "one" is there, and the result of "two" could not be written.
  void fail_to_write_two() {
    open("cache");
    input("one");
    (void)task().run_graph();
    input("two");
    fills_the_disk = true;
    EXPECT_THROW((void)task().run_graph(), CacheError);
    fills_the_disk = false;
  }
  // What is left of a cache whose process dies now.
  void copy_as_of_death() {
    const std::string copy = "ulimit -S -f unlimited; cp -a '" + (files_ / "cache").string() +
                             "' '" + (files_ / "left").string() + "'";
    ASSERT_EQ(std::system(copy.c_str()), 0);
  }

  TempDirectory files_;
  std::optional<Cache> cache_;
};

INSTANTIATE_TEST_SUITE_P(Durability, NoSpace, testing::Bool());

TEST_P(NoSpace, TheSameRunCompletesWhenThereIsSpace) {
  fail_to_write_two();
  disk.reset();
  expect_both("two");
  open("cache");
  expect_both("two");
  EXPECT_FALSE(fs::exists(task().task_directory().parent_path() / "data.previous"));
}

TEST_P(NoSpace, TheEndOfTheProgramMayWriteIt) {
  fail_to_write_two();
  disk.reset();
  open("cache");
  expect_both("two");
}

TEST_P(NoSpace, WhoDiesLeavesTheLastGoodResult) {
  fail_to_write_two();
  copy_as_of_death();
  disk.reset();
  input("one");
  open("left");
  expect_both("one");
}

// The new result may still be written: its directory is not given back to the last one.
TEST_P(NoSpace, WhoOpensTheCacheMeanwhileLeavesItAlone) {
  fail_to_write_two();
  { const Cache another(files_ / "cache"); }
  disk.reset();
  expect_both("two");
}

TEST_P(NoSpace, AFailureAfterItGivesTheNewestOneBack) {
  fail_to_write_two();
  disk.reset();
  expect_both("two");
  input("bad");
  EXPECT_THROW((void)task().run_graph(), TaskFailed);
  input("two");
  expect_both("two");
}

// The driver publishes what a worker has made. While an earlier record cannot be written nothing
// is accepted: then the last directory is back at once.
class NoSpaceOutside : public NoSpace {
 protected:
  void fail_to_write_two(bool refused) {
    open("cache");
    input("one");
    (void)task().run_graph();
    input("two");
    write(files_ / "wait", "");
    std::jthread driver([&] {
      wait_for(files_ / "started");
      disk.emplace();
      if (refused) publish_another();
      write(files_ / "go", "");
    });
    RunOptions options;
    options.executor = processes(1);
    EXPECT_THROW((void)task().run_graph(options), CacheError);
    driver.join();
    fs::remove(files_ / "wait");
  }

 private:
  void publish_another() {
    const std::string large = stook::test::incompressible(100'000);
    detail::Publication publication;
    publication.key = Key{detail::hash_bytes("another")};
    publication.id = cache_->store().id_of(publication.key);
    publication.class_name = "Another";
    publication.arguments = large;
    publication.kind = detail::RecordKind::transient;
    try {
      cache_->store().publish(publication);
    } catch (const detail::AcceptedError&) {}
  }
};

INSTANTIATE_TEST_SUITE_P(Durability, NoSpaceOutside, testing::Bool());

TEST_P(NoSpaceOutside, WhatIsAcceptedStaysWithItsDirectory) {
  fail_to_write_two(false);
  disk.reset();
  expect_both("two");
}

TEST_P(NoSpaceOutside, WhatIsRefusedGivesTheLastDirectoryBack) {
  fail_to_write_two(true);
  disk.reset();
  input("one");
  expect_both("one");
}

TEST_P(NoSpace, AFirstResultHasItsDirectory) {
  open("cache");
  input("one");
  fills_the_disk = true;
  EXPECT_THROW((void)task().run_graph(), CacheError);
  fills_the_disk = false;
  disk.reset();
  open("cache");
  expect_both("one");
}

// The result is too large to be sent, and its worker cannot write it: that is not the task's doing.
struct FillsItsDisk : Task<FillsItsDisk, std::string(int)> {
  explicit FillsItsDisk(int) {}
  std::string run_task() {
    new stook::test::FullDisk;  // for the rest of this worker's life
    return stook::test::incompressible(3 << 20);
  }
};

TEST(NoSpaceInAWorker, IsTheCachesFailure) {
  stook::test::TempCache cache;
  RunOptions options;
  options.executor = processes(1);
  options.keep_going = true;
  EXPECT_THROW((void)FillsItsDisk::make(1).run_graph(options), CacheError);
}

}  // namespace
