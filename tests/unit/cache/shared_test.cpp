// What processes share in memory: claims, counters, who may be there.
#include "cache/shared.h"

#include <fcntl.h>

#include "cache/shared_state.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

class SharedTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(dir_.path()); }
  std::filesystem::path file() const { return dir_.path() / ".claims"; }
  const TemporaryDirectory dir_;
};

TEST_F(SharedTest, FirstRecoversAndOthersJoin) {
  Shared one(file(), false);
  EXPECT_TRUE(one.first());
  one.raise({100, 200, 3});
  one.admit_others();
  Shared two(file(), false);
  EXPECT_FALSE(two.first());
  EXPECT_EQ(two.take_seq(), 100u);
  EXPECT_EQ(one.take_seq(), 101u);
  EXPECT_EQ(two.take_id(), 200u);
  EXPECT_EQ(two.take_pack(), 3u);
  EXPECT_FALSE(one.is_alone());
}

TEST_F(SharedTest, IdsGoOnAfterAllHaveLeft) {
  {
    Shared one(file(), false);
    one.raise({1, 50, 1});
    one.admit_others();
    (void)one.take_id();
  }
  Shared again(file(), false);
  EXPECT_TRUE(again.first());
  EXPECT_EQ(again.take_id(), 51u);
}

TEST_F(SharedTest, GarbageInTheFileIsNotBelieved) {
  {
    const Fd fd = os_open(file(), O_CREAT | O_WRONLY);
    const std::string garbage(10'000, '\xee');
    ASSERT_TRUE(os_write(fd.get(), garbage.data(), garbage.size()));
  }
  Shared one(file(), false);
  one.admit_others();
  EXPECT_EQ(one.take_id(), 1u);
  EXPECT_TRUE(one.claim(key_of("a")));
}

TEST_F(SharedTest, AloneKeepsOthersOutAndNamesTheHolder) {
  Shared one(file(), true);
  one.admit_others();
  try {
    Shared two(file(), true);
    FAIL();
  } catch (const CacheError& error) {
    EXPECT_NE(std::string(error.what()).find("process " + std::to_string(getpid())),
              std::string::npos);
  }
}

TEST_F(SharedTest, ManyClaimsComeAndGo) {
  Shared one(file(), false);
  one.admit_others();
  Shared two(file(), false);
  std::vector<Key> keys;
  for (int i = 0; i < 50'000; ++i) keys.push_back(key_of(std::to_string(i)));
  for (const Key& key : keys) ASSERT_TRUE(one.claim(key));
  for (const Key& key : keys) ASSERT_FALSE(two.claim(key));
  std::vector<Key> odd;
  for (std::size_t i = 1; i < keys.size(); i += 2) odd.push_back(keys[i]);
  two.release(odd);  // not its own: nothing happens
  ASSERT_FALSE(two.claim(odd[0]));
  one.release(odd);
  for (std::size_t i = 0; i < keys.size(); ++i) ASSERT_EQ(two.claim(keys[i]), i % 2 == 1) << i;
}

TEST_F(SharedTest, KeysWithOneHomeCellAreKeptApart) {
  Shared one(file(), false);
  one.admit_others();
  std::vector<Key> keys;
  for (std::uint64_t i = 0; i < 300; ++i) {
    keys.push_back(Key{{i, kClaimCells - 5 + (i % 7)}});  // runs over the end of the table
  }
  for (const Key& key : keys) ASSERT_TRUE(one.claim(key));
  for (std::size_t gone = 0; gone < keys.size(); ++gone) {
    one.release({&keys[gone], 1});
    for (std::size_t i = gone + 1; i < keys.size(); ++i) ASSERT_FALSE(one.claim(keys[i]));
  }
}

TEST_F(SharedTest, AFullTableSaysSo) {
  Shared one(file(), false);
  one.admit_others();
  for (std::uint32_t i = 0; i < kMostClaims; ++i) {
    ASSERT_TRUE(one.claim(key_of(std::to_string(i))));
  }
  EXPECT_THROW((void)one.claim(key_of("one more")), CacheError);
}

TEST_F(SharedTest, ClosingEndsTheClaims) {
  Shared one(file(), false);
  one.admit_others();
  {
    Shared two(file(), false);
    EXPECT_TRUE(two.claim(key_of("a")));
    EXPECT_FALSE(one.claim(key_of("a")));
  }
  EXPECT_TRUE(one.claim(key_of("a")));
}

}  // namespace
}  // namespace stook::detail
