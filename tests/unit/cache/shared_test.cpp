// What processes share in memory: claims, counters, who may be there.
#include "cache/shared.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

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

TEST_F(SharedTest, WhoIsKeptOutJoinsLater) {
  Shared one(file(), false);
  one.admit_others();
  {
    Shared two(file(), false);
    EXPECT_FALSE(one.keep_others_out());
  }
  const std::uint64_t seq = one.take_seq();
  ASSERT_TRUE(one.keep_others_out());
  std::thread comes([&] {
    Shared two(file(), false);
    EXPECT_FALSE(two.first());
    EXPECT_EQ(two.take_seq(), seq + 1);
  });
  EXPECT_TRUE(one.is_alone());
  one.let_others_come();
  comes.join();
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

// Each has keys of its own; all want the same cells of the table.
TEST_F(SharedTest, ManyChangeTheTableAtOnce) {
  constexpr std::uint64_t kKeys = 10, kRounds = 20'000;
  std::atomic<int> refused{0};
  {
    Shared first(file(), false);
    first.admit_others();
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        Shared one(file(), false);
        std::vector<Key> keys;
        for (std::uint64_t i = 0; i < kKeys; ++i) keys.push_back(Key{{t * kKeys + i, 5}});
        for (std::uint64_t round = 0; round < kRounds; ++round) {
          for (const Key& key : keys) refused += !one.claim(key);
          one.release(keys);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(refused, 0);
  const Fd fd = os_open(file(), O_RDWR);
  const SharedMapping mapping = SharedMapping::map(fd.get(), sizeof(SharedState));
  EXPECT_EQ(static_cast<const SharedState*>(mapping.data())->claims, 0u);
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

TEST_F(SharedTest, WhoeverIsLeftKeepsItOpen) {
  auto one = std::make_unique<Shared>(file(), false);
  one->admit_others();
  Shared two(file(), false);
  EXPECT_TRUE(two.claim(key_of("a")));
  one.reset();
  Shared three(file(), false);
  EXPECT_FALSE(three.first());
  EXPECT_FALSE(three.claim(key_of("a")));
}

TEST_F(SharedTest, WritingIsLockedForAllProcesses) {
  Shared one(file(), false);
  one.admit_others();
  const Fd other = os_open(file(), O_RDWR);
  EXPECT_FALSE(os_is_locked(other.get(), kWriterByte));
  one.lock();
  EXPECT_TRUE(os_is_locked(other.get(), kWriterByte));
  one.unlock();
  EXPECT_FALSE(os_is_locked(other.get(), kWriterByte));
}

TEST_F(SharedTest, TheDeadWakeWhoWaits) {
  Shared one(file(), false);
  one.admit_others();
  in_dying_process([&] {
    Shared two(file(), false);
    (void)two.claim(key_of("a"));
    _exit(0);
  });
  const auto start = std::chrono::steady_clock::now();
  (void)one.wait_for_release(one.wait_for_release(~0u, {}), std::chrono::seconds(15));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

// A task, or a library that it uses, has forked a helper that outlives its process.
TEST_F(SharedTest, AForkKeepsNothingOfTheDead) {
  int lives[2], ends[2];
  ASSERT_TRUE(pipe(lives) == 0 && pipe(ends) == 0);
  Shared one(file(), false);
  one.admit_others();
  in_dying_process([&] {
    Shared two(file(), false);
    (void)two.claim(key_of("a"));
    char byte = 0;
    close(ends[1]);
    if (fork() == 0) {
      (void)!write(lives[1], &byte, 1);
      (void)!read(ends[0], &byte, 1);
    } else {
      (void)!read(lives[0], &byte, 1);
    }
    _exit(0);
  });
  EXPECT_TRUE(one.claim(key_of("a")));
  for (const int end : {lives[0], lives[1], ends[0], ends[1]}) close(end);
}

// The change may be in the index: whoever writes there next tells of it.
TEST_F(SharedTest, WhatTheDeadDidNotTellIsTold) {
  Shared one(file(), false);
  one.admit_others();
  in_dying_process([&] {
    Shared two(file(), false);
    two.lock();
    two.announce_change();
    _exit(0);
  });
  const std::uint64_t before = one.changes();
  one.lock();
  EXPECT_NE(one.changes(), before);
  one.unlock();
  const std::uint64_t after = one.changes();
  one.lock();
  EXPECT_EQ(one.changes(), after);
  one.unlock();
}

// Whoever gets a dead one's slot does not inherit its claims.
TEST_F(SharedTest, ASlotIsTakenWithoutItsClaims) {
  Shared one(file(), false);
  one.admit_others();
  in_dying_process([&] {
    Shared two(file(), false);
    (void)two.claim(key_of("a"));
    _exit(0);
  });
  Shared three(file(), false);
  EXPECT_TRUE(three.claim(key_of("a")));
}

// Killed in the middle of moving an entry: it is there twice.
TEST_F(SharedTest, ATableThatIsHalfChangedIsPutRight) {
  Shared one(file(), false);
  one.admit_others();
  const Key key = key_of("a");
  ASSERT_TRUE(one.claim(key));
  in_dying_process([&] {
    const Fd fd = os_open(file(), O_RDWR);
    const SharedMapping mapping = SharedMapping::map(fd.get(), sizeof(SharedState));
    auto& state = *static_cast<SharedState*>(mapping.data());
    pthread_mutex_lock(&state.mutex);
    const std::uint32_t at = find_cell(state, key);
    state.cell[(at + 1) % kClaimCells] = state.cell[at];
    _exit(0);
  });
  one.release({&key, 1});
  EXPECT_TRUE(one.claim(key));
  one.release({&key, 1});
  const Fd fd = os_open(file(), O_RDWR);
  const SharedMapping mapping = SharedMapping::map(fd.get(), sizeof(SharedState));
  const auto& state = *static_cast<const SharedState*>(mapping.data());
  EXPECT_EQ(state.claims, 0u);
  for (const ClaimCell& cell : state.cell) ASSERT_EQ(cell.owner, 0u);
}

// One who was stopped, or has died, between the length and the counter.
TEST_F(SharedTest, AGrowthThatOneHasSeenIsToldToAll) {
  Shared one(file(), false);
  one.admit_others();
  Shared two(file(), false);
  one.publish_length(one.register_pack(7), 100);
  const Fd fd = os_open(file(), O_RDWR);
  const SharedMapping mapping = SharedMapping::map(fd.get(), sizeof(SharedState));
  static_cast<SharedState*>(mapping.data())->pack[0].length = 200 | kUntoldLength;
  const std::uint64_t before = one.growth();
  EXPECT_EQ(two.packs().at(0).length, 200u);
  const std::uint64_t told = one.growth();
  EXPECT_NE(told, before);
  EXPECT_EQ(two.packs().at(0).length, 200u);
  EXPECT_EQ(two.length_of_others(), 200u);
  EXPECT_EQ(one.growth(), told) << "once";
}

TEST_F(SharedTest, AFullTableOfPacksSaysSo) {
  Shared one(file(), false);
  one.admit_others();
  for (std::uint32_t i = 0; i < kPacks; ++i) ASSERT_EQ(one.register_pack(i + 1), i);
  EXPECT_THROW((void)one.register_pack(kPacks + 1), CacheError);
}

}  // namespace
}  // namespace stook::detail
