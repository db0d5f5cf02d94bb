// Two runs in one cache, and the directories of tasks between them: whoever reads one reads what
// the record says, whole, whatever the other run does meanwhile.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <future>

#include "runtime/observer.h"
#include "runtime/run.h"
#include "src/store.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

#include <stook/stook.hpp>

namespace shared_directories {
namespace {

namespace fs = std::filesystem;
using namespace stook;
using stook::test::read;
using stook::test::write;
using test::TempCache;

// What the tasks below do, beside what they do.
std::string content = "first";
std::function<void(const fs::path&)> while_made;
std::function<void()> before_read;
std::function<void()> while_read;

void call(auto&& function, const auto&... arguments) {
  if (function) function(arguments...);
}

struct Source : Task<Source, int()> {
  int run_task() { return 1; }
};

struct Makes : Task<Makes, fs::path()> {
  Future<int> source = Source::make();
  fs::path run_task() {
    const fs::path directory = task_directory();
    call(while_made, directory);
    write(directory / "out.txt", content);
    return directory;
  }
};

struct Waits : Task<Waits, int()> {
  static constexpr auto task_store = Store::never;
  int run_task() {
    call(before_read);
    return 1;
  }
};

struct Reads : Task<Reads, std::string()> {
  Future<int> waits = Waits::make();
  Future<fs::path> makes = Makes::make();
  std::string run_task() {
    call(while_read);
    return read(*makes / "out.txt");
  }
};

// Tells when a task turns out to be somebody else's for now.
class Elsewhere final : public detail::RunObserver {
 public:
  void task_elsewhere(const detail::Plan&, detail::NodeIndex) override {
    if (!std::exchange(told_, true)) met.set_value();
  }
  std::promise<void> met;

 private:
  bool told_ = false;
};

// The entry task runs anew though it is fresh.
void make_anew(Cache& cache, detail::RunObserver* observer = nullptr) {
  detail::RunRequest request;
  request.roots = {Makes::make().spec()};
  request.force_roots = true;
  request.observer = observer;
  EXPECT_EQ(detail::run(cache.store(), request).stats.ran, 1u);
}

struct SharedDirectories : testing::Test {
  ~SharedDirectories() override {
    content = "first";
    while_made = nullptr;
    before_read = while_read = nullptr;
  }
  TempCache cache;
};

TEST_F(SharedDirectories, WhatIsReadIsNotMadeAnew) {
  (void)Makes::make().run_graph();
  Elsewhere observer;
  std::promise<void> made;
  std::future<void> other_run;
  const auto met = observer.met.get_future();
  const auto begun = made.get_future();
  std::promise<void> was_read;
  while_made = [&](const fs::path&) {
    made.set_value();
    was_read.get_future().wait();
  };
  while_read = [&] {
    other_run = std::async(std::launch::async, [&] {
      Cache other(cache.root());
      make_anew(other, &observer);
    });
    // Either it waits for us, or (which must not be) it does not.
    while (met.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready &&
           begun.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {}
  };
  EXPECT_EQ(Reads::make().run_graph().value, "first");
  was_read.set_value();
  other_run.get();
  EXPECT_EQ(begun.wait_for(std::chrono::seconds(0)), std::future_status::ready);
}

TEST_F(SharedDirectories, WhatIsMadeAnewIsNotRead) {
  (void)Makes::make().run_graph();
  std::promise<void> half_made, go_on;
  while_made = [&](const fs::path& directory) {
    write(directory / "out.txt", "half");
    half_made.set_value();
    go_on.get_future().wait();
  };
  auto other_run = std::async(std::launch::async, [&] {
    Cache other(cache.root());
    make_anew(other);
  });
  half_made.get_future().wait();
  Elsewhere observer;
  std::promise<void> reads;
  while_read = [&] { reads.set_value(); };
  detail::RunRequest request;
  request.roots = {Reads::make().spec()};
  request.observer = &observer;
  auto run = std::async(std::launch::async, [&] { return detail::run(cache->store(), request); });
  const auto met = observer.met.get_future();
  const auto begun = reads.get_future();
  while (met.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready &&
         begun.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {}
  EXPECT_EQ(begun.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  go_on.set_value();
  other_run.get();
  EXPECT_TRUE(run.get().failures.empty());
  EXPECT_EQ(Reads::make().run_graph().stats.ran, 0u);
  EXPECT_EQ(Reads::make().run_graph().value, "first");
}

// Between the plan and the task another run has made another one: value and directory are taken
// together, and what is published of them is fresh.
TEST_F(SharedDirectories, AnotherOneThanWasPlannedIsPlannedAnew) {
  (void)Makes::make().run_graph();
  before_read = [&] {
    before_read = nullptr;
    content = "second";
    auto other_run = std::async(std::launch::async, [&] {
      Cache other(cache.root());
      make_anew(other);
    });
    other_run.get();
  };
  int reads = 0;
  while_read = [&] { ++reads; };
  EXPECT_EQ(Reads::make().run_graph().value, "second");
  EXPECT_EQ(reads, 1);
  EXPECT_EQ(Reads::make().run_graph().stats.by_class[Reads::make().task_name()].ran, 0u);
}

TEST_F(SharedDirectories, OneThatWasClearedIsMadeAgain) {
  (void)Makes::make().run_graph();
  int made = 0;
  while_made = [&](const fs::path&) { ++made; };
  before_read = [&] {
    before_read = nullptr;
    auto other = std::async(std::launch::async, [&] {
      const Cache another(cache.root());
      Makes::clear_all_tasks();
    });
    other.get();
  };
  EXPECT_EQ(Reads::make().run_graph().value, "first");
  EXPECT_EQ(made, 1);
}

// Nobody is alone in the cache, so nobody has put right what the dead one has left.
class HalfMade : public SharedDirectories {
 protected:
  HalfMade() {
    (void)Makes::make().run_graph();
    const pid_t pid = fork();
    if (pid == 0) {
      while_made = [](const fs::path& directory) {
        write(directory / "out.txt", "half");
        _exit(0);
      };
      Cache other(cache.root());
      make_anew(other);
      _exit(1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    while_read = [this] { ++reads; };
  }
  int reads = 0;
};

TEST_F(HalfMade, IsNotRead) {
  EXPECT_EQ(Reads::make().run_graph().value, "first");
  EXPECT_EQ(reads, 1);
  EXPECT_EQ(Makes::make().run_graph().stats.ran, 0u);
}

TEST_F(HalfMade, IsNotReadInAnotherProcess) {
  RunOptions options;
  options.executor = processes(1);
  EXPECT_EQ(Reads::make().run_graph(options).value, "first");
  EXPECT_EQ(Makes::make().run_graph().stats.ran, 0u);
}

// What it was made of was made again, and is what it was.
TEST_F(HalfMade, IsNotReadWhereItsRecordIsProvenFresh) {
  Source::clear_all_tasks();
  const auto result = Reads::make().run_graph();
  EXPECT_EQ(result.value, "first");
  EXPECT_EQ(result.stats.unchanged, 1u);
  EXPECT_EQ(reads, 1);
}

}  // namespace
}  // namespace shared_directories
