// How a worker sees that its driver has died.
#include "runtime/alive.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_cache.h"

namespace stook::detail {
namespace {

struct AliveTest : testing::Test {
  test::TempDirectory directory;
  const std::filesystem::path path = directory / "alive";
};

TEST_F(AliveTest, DriverDiesWhileItIsLookedAt) {
  Fd held = hold_alive(path);
  const DriverWatch watch(path);
  EXPECT_FALSE(watch.is_gone());
  held = Fd();
  EXPECT_TRUE(watch.is_gone());
}

// A worker that was slow to begin.
TEST_F(AliveTest, DriverHasDiedBefore) {
  (void)hold_alive(path);
  EXPECT_TRUE(DriverWatch(path).is_gone());
}

// Another host may see the file and not the lock.
TEST_F(AliveTest, DriverOfAnotherKernelIsNotTakenForDead) {
  std::ofstream(path) << "00000000-0000-0000-0000-000000000000";
  EXPECT_FALSE(DriverWatch(path).is_gone());
}

// Where the file system has no locks the file says nothing.
TEST_F(AliveTest, EmptyFileTellsNothing) {
  std::ofstream{path};
  EXPECT_FALSE(DriverWatch(path).is_gone());
}

TEST_F(AliveTest, NoFileTellsNothing) {
  EXPECT_FALSE(DriverWatch("").is_gone());
  EXPECT_FALSE(DriverWatch(path).is_gone());
}

// Half of its text, where the disk was full.
TEST_F(AliveTest, TextCutShortTellsNothing) {
  (void)hold_alive(path);
  std::filesystem::resize_file(path, 5);
  EXPECT_FALSE(DriverWatch(path).is_gone());
}

}  // namespace
}  // namespace stook::detail
