// The scheduler alone: a plan over a store in memory, and this test as the executor.
#include "runtime/scheduler.h"

#include <gtest/gtest.h>

#include "runtime/execution.h"
#include "tests/support/memory_store.h"

#include <stook/errors.hpp>
#include <stook/stook.hpp>

namespace stook::detail {
namespace {

struct SchedulerLeaf : Task<SchedulerLeaf, long(int)> {
  static constexpr auto task_label = "scarce";
  const int n;
  explicit SchedulerLeaf(int number) : n(number) {}
  long run_task() { return n; }
};
struct SchedulerSum : Task<SchedulerSum, long(int)> {
  FutureList<long> leaves;
  explicit SchedulerSum(int count) {
    for (int i = 0; i < count; ++i) leaves.push_back(SchedulerLeaf::make(i));
  }
  long run_task() { return 0; }
};
struct SchedulerTop : Task<SchedulerTop, long(int)> {
  Future<long> sum;
  explicit SchedulerTop(int count) : sum(SchedulerSum::make(count)) {}
  long run_task() { return 0; }
};

// Everything a run has but for the flow graph.
struct Bench {
  MemoryStore& store;
  RunOptions options;
  Execution execution{store};
  Plan plan;
  RunObserver silent;
  Scheduler scheduler;

  Bench(MemoryStore& given, const SpecPtr& root, RunOptions chosen = {})
      : store(given), options(std::move(chosen)), plan(store, execution, {root}, false),
        scheduler(plan, store, options, silent) {
    execution.attach(plan);
    scheduler.start();
  }

  std::vector<NodeIndex> next() {
    std::vector<NodeIndex> batch;
    scheduler.next(batch);
    return batch;
  }
  // All that may run now.
  std::vector<NodeIndex> all() {
    std::vector<NodeIndex> started;
    for (;;) {
      const auto batch = next();
      if (batch.empty()) return started;
      started.insert(started.end(), batch.begin(), batch.end());
    }
  }
  void finish(NodeIndex node) { scheduler.finished(execution.execute(node, 1)); }
  void finish_all() {
    for (auto batch = all(); !batch.empty(); batch = all()) {
      for (const NodeIndex node : batch) finish(node);
    }
  }
  void end(NodeIndex node, Completion::Kind kind, std::string cause = "") {
    Completion completion;
    completion.node = node;
    completion.kind = kind;
    completion.cause = std::move(cause);
    if (kind == Completion::Kind::damaged) completion.input = first_input(node);
    scheduler.finished(std::move(completion));
  }
  NodeIndex first_input(NodeIndex node) { return plan.inputs[plan.nodes[node].first_input]; }
  std::string name(NodeIndex node) { return plan.nodes[node].task().info.name; }
  Stats stats() {
    scheduler.close();
    Stats result;
    std::unordered_set<Key> counted;
    scheduler.count(result, counted, false);
    return result;
  }
};

TEST(Scheduler, StartsWhatHasItsInputsAndNothingElse) {
  MemoryStore store;
  Bench bench(store, SchedulerTop::make(3).spec());
  const auto leaves = bench.all();
  ASSERT_EQ(leaves.size(), 3u);
  for (const NodeIndex leaf : leaves)
    EXPECT_EQ(bench.name(leaf), SchedulerLeaf::make(0).task_name());
  bench.finish(leaves[0]);
  bench.finish(leaves[1]);
  EXPECT_TRUE(bench.next().empty());
  bench.finish(leaves[2]);
  const auto sum = bench.next();
  ASSERT_EQ(sum.size(), 1u);
  EXPECT_TRUE(bench.next().empty());
  bench.finish(sum.front());
  EXPECT_EQ(bench.all().size(), 1u);
}

TEST(Scheduler, HoldsALimitAndGivesTheTokenBack) {
  MemoryStore store;
  Bench bench(store, SchedulerSum::make(4).spec(), {.rate_limits = {{"scarce", 2}}});
  const auto first = bench.all();
  ASSERT_EQ(first.size(), 2u);
  bench.finish(first[0]);
  EXPECT_EQ(bench.all().size(), 1u);
  EXPECT_EQ(bench.scheduler.in_flight(), 2u);
}

TEST(Scheduler, AFailureStopsWhatIsNew) {
  MemoryStore store;
  Bench bench(store, SchedulerTop::make(3).spec(), {.rate_limits = {{"scarce", 1}}});
  bench.end(bench.next().front(), Completion::Kind::failed, "broken");
  EXPECT_TRUE(bench.next().empty());
  const Stats stats = bench.stats();
  EXPECT_EQ(stats.failed, 1u);
  EXPECT_EQ(stats.skipped, 4u);
  ASSERT_EQ(bench.scheduler.failures().size(), 1u);
  EXPECT_EQ(bench.scheduler.failures()[0].cause, "broken");
  EXPECT_EQ(bench.scheduler.failures()[0].chain.size(), 3u);
}

TEST(Scheduler, KeepGoingRunsWhatDoesNotNeedIt) {
  MemoryStore store;
  Bench bench(store, SchedulerTop::make(3).spec(),
              {.rate_limits = {{"scarce", 1}}, .keep_going = true});
  bench.end(bench.next().front(), Completion::Kind::failed, "broken");
  bench.finish_all();
  const Stats stats = bench.stats();
  EXPECT_EQ(stats.ran, 2u);
  EXPECT_EQ(stats.failed, 1u);
  EXPECT_EQ(stats.skipped, 2u);
}

TEST(Scheduler, WhatRunsElsewhereIsTriedAgain) {
  MemoryStore store;
  Bench bench(store, SchedulerSum::make(1).spec());
  const NodeIndex leaf = bench.next().front();
  bench.end(leaf, Completion::Kind::held);
  EXPECT_TRUE(bench.scheduler.waits_elsewhere());
  EXPECT_TRUE(bench.next().empty());
  bench.scheduler.retry_elsewhere();
  EXPECT_FALSE(bench.scheduler.waits_elsewhere());
  EXPECT_EQ(bench.next().front(), leaf);
}

// Many may wait for one: each is not asked each time.
TEST(Scheduler, OfManyThatRunElsewhereSomeAreTried) {
  MemoryStore store;
  Bench bench(store, SchedulerSum::make(1000).spec());
  for (const NodeIndex leaf : bench.all()) bench.end(leaf, Completion::Kind::held);
  const auto retry = [&] {
    bench.scheduler.retry_elsewhere();
    return bench.all();
  };
  constexpr auto fewest = Scheduler::fewest_tries;
  const auto first = retry();
  ASSERT_EQ(first.size(), fewest);
  const auto second = retry();  // the first ones may be long ones, or wait for a label
  EXPECT_EQ(second.size(), fewest);
  for (const NodeIndex leaf : first) bench.finish(leaf);
  const auto third = retry();
  EXPECT_EQ(third.size(), 2 * fewest);
  bench.end(second[0], Completion::Kind::held);
  for (const NodeIndex leaf : third) bench.finish(leaf);
  EXPECT_EQ(retry().size(), fewest);
}

TEST(Scheduler, WhoIsToStopWaitsForNobody) {
  MemoryStore store;
  Bench bench(store, SchedulerSum::make(200).spec());
  for (const NodeIndex leaf : bench.all()) bench.end(leaf, Completion::Kind::held);
  EXPECT_TRUE(bench.scheduler.waits_elsewhere());
  bench.scheduler.stop();
  bench.scheduler.retry_elsewhere();
  EXPECT_FALSE(bench.scheduler.waits_elsewhere());
}

TEST(Scheduler, ADamagedInputBlocksItsUsersOnly) {
  MemoryStore store;
  Bench bench(store, SchedulerTop::make(2).spec());
  for (const NodeIndex leaf : bench.all()) bench.finish(leaf);
  bench.end(bench.next().front(), Completion::Kind::damaged);
  EXPECT_TRUE(bench.scheduler.must_plan_again());
  EXPECT_TRUE(bench.next().empty());
  EXPECT_EQ(bench.stats().ran, 2u);
}

TEST(Scheduler, ADamagedInputThatHasBeenMadeAnewFailsItsUsers) {
  MemoryStore store;
  Bench bench(store, SchedulerTop::make(1).spec());
  const std::unordered_set<Key> damaged{SchedulerLeaf::make(0).key()};
  bench.scheduler.expect_whole(damaged);
  bench.finish(bench.next().front());
  bench.end(bench.next().front(), Completion::Kind::damaged, "no end to it");
  EXPECT_FALSE(bench.scheduler.must_plan_again());
  ASSERT_EQ(bench.scheduler.failures().size(), 1u);
  EXPECT_EQ(bench.scheduler.failures()[0].class_name, SchedulerSum::make(1).task_name());
  EXPECT_NE(bench.scheduler.failures()[0].cause.find("no end to it"), std::string::npos);
}

TEST(Scheduler, ACacheThatFailsEndsTheRunAndFailsNoTask) {
  MemoryStore store;
  Bench bench(store, SchedulerSum::make(2).spec(),
              {.rate_limits = {{"scarce", 1}}, .keep_going = true});
  bench.end(bench.next().front(), Completion::Kind::cache_failed, "no space");
  EXPECT_TRUE(bench.next().empty());
  EXPECT_EQ(bench.scheduler.cache_failure(), "no space");
  const Stats stats = bench.stats();
  EXPECT_EQ(stats.failed, 0u);
  EXPECT_EQ(stats.skipped, 3u);
}

TEST(Scheduler, EqualInputsProveASuspectFresh) {
  MemoryStore store;
  const auto root = SchedulerTop::make(2);
  Bench(store, root.spec()).finish_all();
  store.clear(SchedulerLeaf::make(1).key());
  Bench again(store, root.spec());
  again.finish_all();
  const Stats stats = again.stats();
  EXPECT_EQ(stats.ran, 1u);
  EXPECT_EQ(stats.unchanged, 2u);
  EXPECT_EQ(stats.cached, 1u);
}

TEST(Scheduler, DownstreamRunsEverythingBelow) {
  MemoryStore store;
  const auto root = SchedulerTop::make(2);
  Bench(store, root.spec()).finish_all();
  store.clear(SchedulerLeaf::make(1).key());
  Bench again(store, root.spec(), {.rebuild = Rebuild::downstream});
  again.finish_all();
  EXPECT_EQ(again.stats().ran, 3u);
}

TEST(Scheduler, ShortTasksGoOutManyAtOnceOnceTheyAreKnownToBeShort) {
  MemoryStore store;
  Bench bench(store, SchedulerSum::make(500).spec());
  const auto first = bench.next();
  ASSERT_EQ(first.size(), 1u);
  Completion completion = bench.execution.execute(first.front(), 1);
  completion.seconds = 1e-6F;
  bench.scheduler.finished(std::move(completion));
  EXPECT_GT(bench.next().size(), 1u);
}

}  // namespace
}  // namespace stook::detail
