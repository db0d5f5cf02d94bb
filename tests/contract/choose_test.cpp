// The binomial pipeline of the README: what runs, what is reused, what is proven.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "tests/support/temp_cache.h"

namespace {

using namespace stook;
using stook::test::TempCache;

std::atomic<int> constructed{0};
std::atomic<int> executed{0};

struct Choose : Task<Choose, long(int, int)> {
  static constexpr std::array task_parameters{"n", "k"};
  Future<long> left, right;

  Choose(int n, int k) {
    ++constructed;
    if (0 < k && k < n) {
      left = make(n - 1, k - 1);
      right = make(n - 1, k);
    } else if (k == 0 || k == n) {
      left = Const(0L);
      right = Const(1L);
    } else {
      throw std::invalid_argument("Choose: k out of range");
    }
  }
  long run_task() {
    ++executed;
    return (left.get_result() + *right) % 1'000'000'007;
  }
};

TEST(Choose, ColdRunExecutesEachTaskOnce) {
  TempCache cache;
  const auto [answer, stats] = Choose::make(6, 3).run_graph();
  EXPECT_EQ(answer, 20);
  EXPECT_EQ(stats.ran, 15u);
  EXPECT_EQ(stats.planned, 15u);
  EXPECT_EQ(stats.cached, 0u);
  EXPECT_EQ(stats.by_class.at("(anonymous namespace)::Choose").ran, 15u);
}

TEST(Choose, FinishedGraphIsAnsweredFromItsRoot) {
  TempCache cache;
  (void)Choose::make(6, 3).run_graph();
  constructed = 0;
  const auto [answer, stats] = Choose::make(6, 3).run_graph();
  EXPECT_EQ(answer, 20);
  EXPECT_EQ(stats.ran, 0u);
  EXPECT_EQ(stats.cached, 1u);
  EXPECT_EQ(constructed, 0);
  cache.reopen();
  EXPECT_EQ(Choose::make(6, 3).run_graph().stats.planned, 0u);
  EXPECT_EQ(constructed, 0);
}

TEST(Choose, ClearingOneProvesTheRestUnchanged) {
  TempCache cache;
  (void)Choose::make(6, 3).run_graph();
  EXPECT_EQ(Choose::make(3, 3).clear_task(), 3u);
  executed = 0;
  const auto [answer, stats] = Choose::make(6, 3).run_graph();
  EXPECT_EQ(answer, 20);
  EXPECT_EQ(stats.ran, 1u);
  EXPECT_EQ(stats.unchanged, 3u);
  EXPECT_EQ(executed, 1);
  EXPECT_EQ(Choose::make(6, 3).run_graph().stats.planned, 0u);
}

TEST(Choose, RebuildDownstreamRunsEveryDependent) {
  TempCache cache;
  (void)Choose::make(6, 3).run_graph();
  Choose::make(3, 3).clear_task();
  const auto stats = Choose::make(6, 3).run_graph({.rebuild = Rebuild::downstream}).stats;
  EXPECT_EQ(stats.ran, 4u);
  EXPECT_EQ(stats.unchanged, 0u);
}

TEST(Choose, AllTasksOfAClassCleared) {
  TempCache cache;
  (void)Choose::make(6, 3).run_graph();
  Choose::clear_all_tasks();
  EXPECT_EQ(Choose::make(6, 3).run_graph().stats.ran, 15u);
}

TEST(Choose, LargeTriangleRunsEachTaskOnce) {
  TempCache cache;
  executed = 0;
  const auto stats = Choose::make(100, 50).run_graph({.jobs = 4}).stats;
  EXPECT_EQ(stats.ran, 2600u);
  EXPECT_EQ(executed, 2600);
}

TEST(Choose, ConstructorThatThrowsIsReportedBeforeAnythingRuns) {
  TempCache cache;
  executed = 0;
  try {
    (void)Choose::make(2, 5).run_graph();
    FAIL();
  } catch (const ConstructionFailed& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("Choose(2,5)"), std::string::npos) << text;
    EXPECT_NE(text.find("k out of range"), std::string::npos) << text;
  }
  EXPECT_EQ(executed, 0);
  EXPECT_EQ(Choose::make(6, 3).run_graph().value, 20);
}

TEST(Choose, HandleReadsFromTheCache) {
  TempCache cache;
  const auto task = Choose::make(6, 3);
  EXPECT_THROW((void)task.get_result(), NotReady);
  (void)task.run_graph();
  EXPECT_EQ(task.get_result(), 20);
  EXPECT_EQ(task.to_json().dump(), "[6,3]");
  const auto id = task.task_id();
  task.clear_task();
  EXPECT_THROW((void)task.get_result(), NotReady);
  EXPECT_EQ(task.task_id(), id);
  EXPECT_NE(Choose::make(5, 3).task_id(), id);
}

TEST(Choose, NamingNeedsNoCacheRunningDoes) {
  const auto task = Choose::make(6, 3);
  try {
    (void)task.run_graph();
    FAIL();
  } catch (const CacheError& error) {
    EXPECT_NE(std::string(error.what()).find("stook::Cache"), std::string::npos) << error.what();
  }
}

TEST(Choose, TwoCachesAreIndependent) {
  TempCache one;
  (void)Choose::make(6, 3).run_graph();
  {
    TempCache two;
    EXPECT_EQ(Choose::make(6, 3).run_graph().stats.ran, 15u);
    Choose::clear_all_tasks();
  }
  EXPECT_EQ(Choose::make(6, 3).run_graph().stats.ran, 0u);
}

TEST(Choose, CachesAreClosedInAnyOrder) {
  test::TempDirectory files;
  auto first = std::make_unique<Cache>(files / "one");
  auto second = std::make_unique<Cache>(files / "two");
  first.reset();
  EXPECT_EQ(Choose::make(2, 1).run_graph().value, 2);
  first = std::make_unique<Cache>(files / "three");
  second.reset();
  EXPECT_EQ(Choose::make(2, 1).run_graph().stats.ran, 3u) << "in the third";
  first.reset();
  EXPECT_THROW((void)Choose::make(2, 1).run_graph(), CacheError);
}

TEST(Choose, DeletedIndexIsRebuilt) {
  TempCache cache;
  (void)Choose::make(6, 3).run_graph();
  Choose::make(3, 3).clear_task();
  cache.close();
  for (const char* name : {"index.sqlite", "index.sqlite-wal", "index.sqlite-shm"}) {
    std::filesystem::remove(cache.root() / name);
  }
  cache.open();
  const auto stats = Choose::make(6, 3).run_graph().stats;
  EXPECT_EQ(stats.ran, 1u);
  EXPECT_EQ(stats.unchanged, 3u);
}

TEST(Choose, WhyNamesWhatWasCleared) {
  TempCache cache;
  const auto task = Choose::make(6, 3);
  EXPECT_NE(task.why().find("never run"), std::string::npos) << task.why();
  (void)task.run_graph();
  EXPECT_NE(task.why().find("would be reused"), std::string::npos) << task.why();
  Choose::make(3, 3).clear_task();
  EXPECT_NE(task.why().find("Choose[3,3]"), std::string::npos) << task.why();
}

}  // namespace
