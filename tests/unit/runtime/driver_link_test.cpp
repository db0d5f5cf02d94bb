// A pilot's link over files, and what ends it.
#include "runtime/driver_link.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <fstream>

#include "runtime/executors/pilot_link.h"
#include "tests/support/temp_cache.h"

namespace stook::detail {
namespace {

class FileLinkTest : public testing::Test {
 protected:
  FileLinkTest() {
    std::ofstream(directory / "in") << "words";
    alive = os_open(directory / "alive", O_CREAT | O_RDWR);
    EXPECT_TRUE(os_try_lock(alive.get(), 0, LockMode::exclusive));
  }
  std::string read(FileLink& link) {
    std::array<std::byte, 64> bytes;
    const std::size_t size = link.read(bytes);
    return {reinterpret_cast<const char*>(bytes.data()), size};
  }
  test::TempDirectory directory;
  Fd alive;
};

TEST_F(FileLinkTest, HearsWhatWasWritten) {
  FileLink link(directory.path());
  ASSERT_TRUE(link.usable());
  EXPECT_EQ(read(link), "words");
}

TEST_F(FileLinkTest, EndsWhereTheDriverHasGivenItUp) {
  FileLink link(directory.path());
  std::filesystem::remove(directory / "alive");
  EXPECT_EQ(read(link), "words");  // what had been said before
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(read(link), "");
  // By the file, not because nobody has said anything for a minute: the driver lives.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST_F(FileLinkTest, EndsWhereTheDriverHasDied) {
  FileLink link(directory.path());
  alive = Fd();
  EXPECT_EQ(read(link), "words");
  EXPECT_EQ(read(link), "");
}

TEST_F(FileLinkTest, ASecondProcessOfAPilotIsNotWanted) {
  const FileLink link(directory.path());
  EXPECT_FALSE(FileLink(directory.path()).usable());
}

// What a pilot on the driver's host sees of it.
TEST_F(FileLinkTest, TheDriverHoldsALockWhileItLives) {
  boost::asio::io_context context;
  const auto pilot = std::make_shared<test::TempDirectory>();
  const auto link = file_links(context)();
  link->open(
      pilot->path(), [](std::span<const std::byte>) {}, [] {});
  const Fd seen = os_open(*pilot / "alive", O_RDWR);
  ASSERT_TRUE(seen);
  EXPECT_TRUE(os_is_locked(seen.get(), 0));
  link->close();
}

// The disk is full: a pilot that missed a word would wait for it, and the driver for the pilot.
TEST_F(FileLinkTest, APilotThatCannotBeToldIsGivenUp) {
  boost::asio::io_context context;
  const test::TempDirectory pilot;
  const auto link = file_links(context)();
  link->open(
      pilot.path(), [](std::span<const std::byte>) {}, [] {});
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
  link->write(std::vector<std::byte>(10));
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(std::filesystem::exists(pilot / "alive"));
  link->close();
}

}  // namespace
}  // namespace stook::detail
