#include "runtime/ready_queue.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace {

using namespace stook::detail;

constexpr double second = 1.0;

// Runs tasks of equal length in rounds, as many at once as the limits allow; counts the rounds.
int rounds_of(ReadyQueue& queue) {
  int rounds = 0;
  while (queue.size() > 0) {
    std::vector<std::uint32_t> groups;
    std::uint32_t group = 0;
    while (queue.pop(group) != no_node) groups.push_back(group);
    if (groups.empty()) return -1;
    for (const std::uint32_t done : groups) queue.release(done, second);
    ++rounds;
  }
  return rounds;
}

TEST(ReadyQueue, LongestPathFirstThenOldest) {
  ReadyQueue queue({});
  const auto group = queue.group_of({"Task"});
  queue.push(group, 1, 1.0F);
  queue.push(group, 2, 3.0F);
  queue.push(group, 3, 3.0F);
  std::uint32_t taken = 0;
  EXPECT_EQ(queue.pop(taken), 2u);
  EXPECT_EQ(queue.pop(taken), 3u);
  EXPECT_EQ(queue.pop(taken), 1u);
  EXPECT_EQ(queue.pop(taken), no_node);
}

TEST(ReadyQueue, LabelsThatAreNotLimitedAreOneGroup) {
  ReadyQueue queue({{"gpu", 1}});
  EXPECT_EQ(queue.group_of({"A", "net"}), queue.group_of({"B"}));
  EXPECT_EQ(queue.group_of({"A", "gpu"}), queue.group_of({"gpu", "net"}));
  EXPECT_NE(queue.group_of({"A", "gpu"}), queue.group_of({"A"}));
}

TEST(ReadyQueue, TokensAreTakenTogetherOrNotAtAll) {
  ReadyQueue queue({{"gpu", 1}, {"memory", 1}});
  const auto both = queue.group_of({"gpu", "memory"});
  const auto gpu = queue.group_of({"gpu"});
  queue.push(gpu, 1, 9.0F);
  queue.push(both, 2, 1.0F);
  std::uint32_t taken = 0;
  ASSERT_EQ(queue.pop(taken), 1u);
  EXPECT_EQ(queue.pop(taken), no_node);
  queue.release(taken, 0);
  EXPECT_EQ(queue.pop(taken), 2u);
}

// taskproc needed five rounds here.
TEST(ReadyQueue, ScarceTokensAreKeptBusy) {
  ReadyQueue queue({{"gpu", 3}, {"memory", 2}});
  const auto gpu = queue.group_of({"gpu"});
  const auto both = queue.group_of({"gpu", "memory"});
  for (NodeIndex i = 0; i < 6; ++i) {
    queue.announce(gpu, second);
    queue.push(gpu, i, 1.0F);
  }
  for (NodeIndex i = 6; i < 12; ++i) {
    queue.announce(both, second);
    queue.push(both, i, 1.0F);
  }
  EXPECT_EQ(rounds_of(queue), 4);
}

TEST(ReadyQueue, NothingStarves) {
  ReadyQueue queue({{"a", 1}, {"b", 1}});
  const auto a = queue.group_of({"a"});
  const auto b = queue.group_of({"b"});
  const auto both = queue.group_of({"a", "b"});
  queue.push(both, 0, 0.0F);
  // Singles never leave a and b free at the same time, and new ones keep coming.
  std::uint32_t busy[2];
  NodeIndex next = 1;
  for (int i = 0; i < 4; ++i) {
    queue.push(a, next++, 9.0F);
    queue.push(b, next++, 9.0F);
  }
  (void)queue.pop(busy[0]);
  (void)queue.pop(busy[1]);
  for (int turn = 0; turn < 1000; ++turn) {
    queue.push(turn % 2 == 0 ? a : b, next++, 9.0F);
    const std::uint32_t freed = turn % 2 == 0 ? a : b;
    if (busy[0] != freed && busy[1] != freed) continue;
    queue.release(freed, 0);
    std::uint32_t group = 0;
    const NodeIndex node = queue.pop(group);
    if (node == 0) return;
    if (node == no_node) {
      // Held back for it: give the other token, too.
      queue.release(freed == a ? b : a, 0);
      EXPECT_EQ(queue.pop(group), 0u);
      return;
    }
  }
  FAIL() << "the task that needs both labels never ran";
}

TEST(ReadyQueue, LimitsHoldForRandomLabels) {
  const std::map<std::string, int> limits{{"a", 1}, {"b", 2}, {"c", 3}};
  ReadyQueue queue(limits);
  std::mt19937 random(7);
  std::vector<std::vector<std::string>> labels(10'000);
  std::map<std::uint32_t, std::vector<std::string>> of_group;
  for (NodeIndex i = 0; i < labels.size(); ++i) {
    for (const char* name : {"a", "b", "c", "d"}) {
      if (random() % 2 == 0) labels[i].push_back(name);
    }
    const auto group = queue.group_of(labels[i]);
    of_group.emplace(group, labels[i]);
    queue.push(group, i, static_cast<float>(random() % 5));
  }
  std::map<std::string, int> running;
  std::vector<std::uint32_t> started;
  std::size_t ran = 0;
  while (ran < labels.size()) {
    std::uint32_t group = 0;
    const NodeIndex node = queue.pop(group);
    if (node != no_node) {
      for (const std::string& name : of_group[group]) {
        ++running[name];
        if (limits.contains(name)) { ASSERT_LE(running[name], limits.at(name)); }
      }
      started.push_back(group);
      ++ran;
    }
    if (node == no_node || random() % 3 == 0) {
      ASSERT_FALSE(started.empty());
      const std::size_t which = random() % started.size();
      for (const std::string& name : of_group[started[which]]) --running[name];
      queue.release(started[which], 0);
      started.erase(started.begin() + static_cast<std::ptrdiff_t>(which));
    }
  }
}

}  // namespace
