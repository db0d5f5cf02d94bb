// Two programs in one cache at the same time, one of another version than the other.
#include <gtest/gtest.h>

#include <functional>
#include <stook/stook.hpp>

#include "src/registry.h"
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

}  // namespace stook::test
