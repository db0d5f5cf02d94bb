// A program that can open no file any more is told so, and what is there is not computed again.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/no_descriptors.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

#include <stook/stook.hpp>

namespace no_descriptors {
namespace {

using namespace stook;
using test::NoDescriptors;
using test::TempCache;
using test::TempDirectory;

struct Reads : Task<Reads, std::string(std::string)> {
  File input;
  explicit Reads(const std::string& path) : input(path) {}
  std::string run_task() { return std::string(2 << 20, 'x') + test::read(*input); }
};

TEST(WithoutDescriptors, AnInputIsNotTakenForGone) {
  TempCache cache;
  const TempDirectory files;
  const std::string path = (files / "input").string();  // too young for its times to be trusted
  test::write(path, "content");
  const auto task = Reads::make(path);
  (void)task.run_graph();
  {
    const NoDescriptors none;
    try {
      (void)task.run_graph();
      ADD_FAILURE();
    } catch (const CacheError& error) {
      EXPECT_TRUE(test::contains(error.what(), "cannot read the input")) << error.what();
    }
  }
  EXPECT_EQ(task.run_graph().stats.ran, 0u);
}

TEST(WithoutDescriptors, AResultIsNotTakenForDamaged) {
  TempCache cache;
  const TempDirectory files;
  const std::string path = (files / "input").string();
  test::write(path, "content");
  const auto task = Reads::make(path);
  (void)task.run_graph();
  cache.reopen();
  {
    const NoDescriptors none;
    EXPECT_THROW((void)task.get_result(), CacheError);
  }
  EXPECT_EQ(task.run_graph().stats.ran, 0u);
}

}  // namespace
}  // namespace no_descriptors
