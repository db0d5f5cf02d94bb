// Two programs in one cache at the same time, one of another version than the other.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>
#include <vector>
#include <stook/stook.hpp>

#include "src/registry.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

namespace stook::test {
namespace {

int version = 1;
std::function<void()> meanwhile;  // while the next plan is made

}  // namespace

struct Made : Task<Made, int()> {
  int run_task() { return version; }
};

struct Derived : Task<Derived, int()> {
  Future<int> made = Made::make();
  int run_task() { return *made; }
};

// Is constructed in every run, before what it needs is looked up.
struct Asks : Task<Asks, int()> {
  static constexpr auto task_store = Store::never;
  Future<int> derived = Derived::make();
  Asks() {
    if (const auto now = std::exchange(meanwhile, {})) now();
  }
  int run_task() { return *derived; }
};

TEST(Overlap, WhatAnotherVersionPublishesWhileARunIsPlannedIsNoAnswer) {
  TempCache cache;
  EXPECT_EQ(Asks::make().run_graph().value, 1);
  meanwhile = [&] {
    detail::override_version(detail::class_info<Made>(), 2);
    version = 2;
    {
      const Cache other(cache->directory());
      EXPECT_EQ(Derived::make().run_graph().value, 2);
    }
    version = 1;
    detail::override_version(detail::class_info<Made>(), 0);
  };
  EXPECT_EQ(Asks::make().run_graph().value, 1);
}

int constructed = 0;

struct Outside : Task<Outside, std::string()> {
  Future<std::string> value = EnvironmentVariable("STOOK_TEST_OVERLAP");
  std::string run_task() { return *value; }
};

struct AsksOutside : Task<AsksOutside, std::string()> {
  static constexpr auto task_store = Store::never;
  Future<std::string> outside = Outside::make();
  AsksOutside() {
    ++constructed;
    if (const auto now = std::exchange(meanwhile, {})) now();
  }
  std::string run_task() { return *outside; }
};

// To another program the outside world is another one, and it runs while this one plans.
class OverlapOutside : public testing::Test {
 protected:
  OverlapOutside() { see("one"); }
  ~OverlapOutside() override { ::unsetenv("STOOK_TEST_OVERLAP"); }
  static void see(const char* value) { ::setenv("STOOK_TEST_OVERLAP", value, 1); }
  std::string run_while_another_sees(const char* value) {
    meanwhile = [&] {
      see(value);
      {
        const Cache other(cache_->directory());
        EXPECT_EQ(Outside::make().run_graph().value, value);
      }
      see("one");
    };
    return AsksOutside::make().run_graph().value;
  }
  TempCache cache_;
};

TEST_F(OverlapOutside, WhatIsSeenElsewhereIsNoAnswer) {
  EXPECT_EQ(AsksOutside::make().run_graph().value, "one");
  EXPECT_EQ(run_while_another_sees("two"), "one");
}

// What is made is made of what was seen here.
TEST_F(OverlapOutside, WhatIsSeenElsewhereIsNotRecorded) {
  EXPECT_EQ(AsksOutside::make().run_graph().value, "one");
  Outside::clear_all_tasks();
  meanwhile = [&] {
    see("two");
    {
      const Cache other(cache_->directory());
      EXPECT_EQ(Outside::make().run_graph().value, "two");
    }
    Outside::clear_all_tasks();
    see("one");
  };
  EXPECT_EQ(AsksOutside::make().run_graph().value, "one");
  see("two");
  EXPECT_EQ(AsksOutside::make().run_graph().value, "two");
}

// Somebody has looked again since, and so would this run: there is nothing to plan anew.
TEST_F(OverlapOutside, WhatHasChangedForAllIsNoOtherView) {
  EXPECT_EQ(AsksOutside::make().run_graph().value, "one");
  meanwhile = [&] {
    see("two");
    const Cache other(cache_->directory());
    EXPECT_EQ(Outside::make().run_graph().value, "two");
  };
  constructed = 0;
  EXPECT_EQ(AsksOutside::make().run_graph().value, "two");
  EXPECT_EQ(constructed, 1);
}

// Each enters what it sees, again and again.
TEST_F(OverlapOutside, ProgramsThatSeeOtherThingsAllGetTheirOwn) {
  cache_.close();
  std::vector<pid_t> programs;
  for (const std::string value : {"one", "two", "three"}) {
    programs.push_back(::fork());
    if (programs.back() != 0) continue;
    see(value.c_str());
    try {
      const Cache cache(cache_.root());
      for (int i = 0; i < 30; ++i) {
        const std::string got = AsksOutside::make().run_graph().value;
        if (got == value) continue;
        std::fprintf(stderr, "it is %s, and got %s\n", value.c_str(), got.c_str());
        ::_exit(1);
      }
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
    ::_exit(0);
  }
  for (const pid_t program : programs) {
    int status = 0;
    ASSERT_EQ(::waitpid(program, &status, 0), program);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
}

// --- A file that is another one when the plan has seen it -------------------------------------

struct Late : Task<Late, int()> {
  static constexpr auto task_store = Store::never;
  Late() {
    if (const auto now = std::exchange(meanwhile, {})) now();
  }
  int run_task() { return 1; }
};
struct Reads : Task<Reads, std::string(std::string)> {
  File file;
  explicit Reads(const std::string& path) : file(path) {}
  std::string run_task() { return read(*file); }
};
struct ReadsAndIsLate : Task<ReadsAndIsLate, std::string(std::string)> {
  File file;
  Future<int> late = Late::make();
  explicit ReadsAndIsLate(const std::string& path) : file(path) {}
  std::string run_task() { return read(*file); }
};

// Both are old: only what the plan was made of says which one it was.
TEST(OverlapFile, WhatIsSwappedWhileARunIsPlanned) {
  const TempCache cache;
  const TempDirectory tree;
  for (const std::string name : {"one", "two"}) {
    std::filesystem::create_directory(tree / name);
    write(tree / name / "file", name);
  }
  const auto link = [&](const std::string& to) {
    std::filesystem::remove(tree / "current");
    std::filesystem::create_symlink(to, tree / "current");
  };
  link("one");
  stook::test::let_a_tick_pass(tree / "two" / "file");
  const std::string path = tree / "current" / "file";
  EXPECT_EQ(Reads::make(path).run_graph().value, "one");
  meanwhile = [&] {
    link("two");
    const Cache other(cache.root());
    EXPECT_EQ(Reads::make(path).run_graph().value, "two");
  };
  EXPECT_EQ(ReadsAndIsLate::make(path).run_graph().value, "two");
  link("one");
  EXPECT_EQ(ReadsAndIsLate::make(path).run_graph().value, "one");
}

// --- A file that a task finds, which is another one in another directory -----------------------

struct Finds : Task<Finds, std::string()> {
  std::string run_task() {
    add_input(File("found"));
    return read("found");
  }
};
struct Before : Task<Before, int()> {
  int run_task() {
    std::thread([] { std::exchange(meanwhile, {})(); }).join();
    return 1;
  }
};
struct After : Task<After, int()> {
  Future<int> before = Before::make();
  int run_task() { return *before; }
};
// What takes longest comes first: Before, and After behind it.
struct FindsAfter : Task<FindsAfter, std::string()> {
  Future<int> after = After::make();
  Future<std::string> finds = Finds::make();
  std::string run_task() { return *finds; }
};

TEST(OverlapFound, WhatIsFoundElsewhereIsNoAnswer) {
  const TempCache cache;
  const std::filesystem::path before = std::filesystem::current_path();
  const TempDirectory here, there;
  write(here / "found", "here");
  write(there / "found", "there");
  std::filesystem::current_path(here.path());
  std::string found;
  meanwhile = [&] {
    std::filesystem::current_path(there.path());
    {
      const Cache other(cache.root());
      found = Finds::make().run_graph().value;
    }
    std::filesystem::current_path(here.path());
  };
  RunOptions options;
  options.jobs = 1;
  EXPECT_EQ(FindsAfter::make().run_graph(options).value, "here");
  EXPECT_EQ(found, "there");
  std::filesystem::current_path(before);
}

}  // namespace stook::test
