// Syncs that fail, and packs that cannot be begun: who has to hear of it does, and nothing is left.
#include "cache/pack_writer.h"

#include <fcntl.h>

#include <future>

#include "cache/packs.h"
#include "cache/shared_state.h"
#include "tests/support/full_disk.h"
#include "tests/unit/cache/calls.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class PackWriterTest : public testing::Test {
 protected:
  PackWriterTest() { shared_.admit_others(); }
  void append(PackWriter& writer) {
    writer.append(std::vector<std::byte>(100), {}, [](Place) {});
  }

  const TemporaryDirectory dir_;
  const bool made_ = fs::create_directories(dir_.path() / "packs");
  Shared shared_{dir_.path() / ".claims", false, dir_.path() / "packs"};
  std::vector<std::string> warnings_;
  PackHeader header_{1, 2, 3, "host", "build"};
  PackWriter writer_{dir_.path() / "packs", header_, shared_, 1h,
                     [this](std::string_view line) { warnings_.emplace_back(line); }};
};

// Two have appended before one of them syncs for both.
TEST_F(PackWriterTest, AFailedSyncIsMetByAllItWasFor) {
  const std::uint64_t one = writer_.sync_failures(), two = one;
  append(writer_);
  append(writer_);
  failing_syncs = 1;
  EXPECT_THROW(writer_.sync(one), CacheError);
  EXPECT_THROW(writer_.sync(two), CacheError);
  const std::uint64_t later = writer_.sync_failures();
  append(writer_);
  EXPECT_NO_THROW(writer_.sync(later));
  EXPECT_NO_THROW(writer_.sync());  // it has been told
}

// The end of a run has to say what only the background has met.
TEST_F(PackWriterTest, AFailedSyncInTheBackgroundIsMetByTheNextSync) {
  std::promise<void> warned;
  PackWriter writer(dir_.path() / "packs", header_, shared_, 1ms,
                    [&](std::string_view) { warned.set_value(); });
  failing_syncs = 1;
  append(writer);
  warned.get_future().wait();
  EXPECT_THROW(writer.sync(), CacheError);
  EXPECT_NO_THROW(writer.sync());
}

// Others publish large values meanwhile: theirs are not waited for.
TEST_F(PackWriterTest, ASyncEndsWhileMoreObjectsCome) {
  const auto give = [&] {
    const fs::path path = dir_.path() / "object";
    writer_.sync_with_next({os_open(path, O_CREAT | O_RDWR), path});
  };
  append(writer_);
  give();
  int came = 0;
  const AtCalls at([&](const std::string& call, const std::string&) {
    if (call == "fdatasync" && came++ < 1000) give();
  });
  writer_.sync();
  EXPECT_LT(came, 10);
}

// Else it would come back when the packs are read by their sizes, after somebody has put right what
// belongs to it.
TEST_F(PackWriterTest, WhatAFailedWriteHasWrittenIsTakenBack) {
  append(writer_);
  writer_.write();
  const fs::path pack = pack_path(dir_.path() / "packs", writer_.pack());
  const auto whole = fs::file_size(pack);
  {
    const test::FullDisk full(whole + 50);
    append(writer_);
    EXPECT_THROW(writer_.write(), CacheError);
    EXPECT_EQ(fs::file_size(pack), whole);
  }
  writer_.write();
  EXPECT_EQ(fs::file_size(pack), whole + 100);
}

TEST_F(PackWriterTest, APackThatCannotBeUsedIsNotLeftThere) {
  for (std::uint32_t i = 0; i < kPacks; ++i) (void)shared_.register_pack(i + 1);
  EXPECT_THROW(append(writer_), CacheError);
  EXPECT_THROW(append(writer_), CacheError);
  EXPECT_TRUE(fs::is_empty(dir_.path() / "packs"));
}

}  // namespace
}  // namespace stook::detail
