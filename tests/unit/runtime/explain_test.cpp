// What why() asks of the store.
#include "runtime/explain.h"

#include <gtest/gtest.h>

#include "tests/support/memory_store.h"

#include <stook/stook.hpp>

namespace {

using namespace stook;

struct Made : Task<Made, int()> {
  int run_task() { return 1; }
};

// A sync that fails is told once: to whoever wanted it, who must not be one that goes on.
TEST(Explain, WhyWantsNoSync) {
  detail::MemoryStore store;
  const auto task = Made::make();
  const std::string text =
      detail::explain_task(store, static_cast<const detail::TaskSpec&>(*task.spec()));
  EXPECT_NE(text.find("would run"), std::string::npos) << text;
  EXPECT_EQ(store.syncs(), 0u);
}

}  // namespace
