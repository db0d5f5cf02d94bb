// What the times of a file say of when it was changed.
#include "src/file_stamp.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "tests/support/temp_cache.h"

namespace {

using namespace stook::detail;

constexpr std::int64_t second = 1'000'000'000;

FileStamp stamp(std::int64_t file_system, std::int64_t modified_ns, std::int64_t changed_ns) {
  FileStamp stamp;
  stamp.modified_ns = modified_ns;
  stamp.changed_ns = changed_ns;
  stamp.own_clock = has_own_clock(file_system);
  return stamp;
}

constexpr std::int64_t ext4 = 0xEF53, nfs = 0x6969, fat = 0x4D44, fuse = 0x65735546;

TEST(FileStamp, IsOfTheMomentWhereThisMachineMadeIt) {
  const FileStamp one = stamp(ext4, 5 * second + 7, 6 * second + 7);
  EXPECT_EQ(one.earliest_change_ns(), 6 * second + 7);
  EXPECT_EQ(one.latest_change_ns(), 6 * second + 7);
}

TEST(FileStamp, TimeThatWasSetByHandSaysNothing) {
  EXPECT_EQ(stamp(ext4, 900 * second, 6 * second + 7).latest_change_ns(), 6 * second + 7);
}

TEST(FileStamp, OfWholeSecondsIsOfAnyMomentOfTheSecond) {
  EXPECT_EQ(stamp(ext4, 5 * second, 5 * second).latest_change_ns(), 6 * second);
}

TEST(FileStamp, OfAnotherMachineMayBeOfLater) {
  for (const std::int64_t file_system : {nfs, fat, fuse}) {
    const FileStamp one = stamp(file_system, 5 * second + 7, 4 * second + 7);
    EXPECT_GE(one.latest_change_ns(), 5 * second + 7 + 2 * second);
    EXPECT_EQ(one.earliest_change_ns(), 5 * second + 7);
  }
}

TEST(FileStamp, IsOfThePathThatIsAskedFor) {
  const stook::test::TempDirectory directory;
  std::ofstream(directory / "a") << "text";
  const FileStamp one = stamp_of(directory / "a");
  EXPECT_TRUE(one.exists());
  EXPECT_EQ(one.size, 4);
  EXPECT_EQ(one, stamp_of(directory / "a"));
  EXPECT_FALSE(stamp_of(directory / "b").exists());
  EXPECT_TRUE(stamp_of("/proc/self/stat").exists());
  EXPECT_FALSE(stamp_of("/proc/self/stat").own_clock);
}

}  // namespace
