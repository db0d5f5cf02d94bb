// The directories of tasks between processes: many may read one, or one may make it anew.
#include <unistd.h>

#include <fstream>

#include "cache/directory_locks.h"
#include "cache/execution_lock.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

void publish_with_directory(TestStore& store, const Key& key, bool keeps_claim = false) {
  Publication p;
  p.key = key;
  p.id = store->id_of(key);
  p.class_name = "Task";
  p.digest = digest_of("result");
  p.directory = digest_of("directory");
  p.codec = "text";
  p.keeps_claim = keeps_claim;
  const fs::path data = store->task_path("Task", p.id) / "data";
  fs::create_directories(data);
  std::ofstream(data / "file") << "content";
  store->make_readable(store->publish(p));
}

Claim claim(TestStore& store, const Key& key, const std::vector<Key>& reads = {}) {
  Entry entry;
  store->lookup({&key, 1}, {&entry, 1});
  return store->claim(key, entry, reads);
}

Claim claim(TestStore& store, const std::string& name, const std::vector<Key>& reads = {}) {
  return claim(store, key_of(name), reads);
}

struct DirectoryClaims : testing::Test {
  DirectoryClaims() {
    for (const char* name : {"a", "b"}) publish_with_directory(one, key_of(name));
  }
  const TemporaryDirectory dir;
  TestStore one{dir.path()};
  TestStore two{dir.path()};
  const Key a = key_of("a");
  const Key b = key_of("b");
};

TEST_F(DirectoryClaims, WhatIsReadIsNotMade) {
  ASSERT_EQ(claim(one, "reader", {a, b}), Claim::acquired);
  ASSERT_EQ(claim(two, "other reader", {a}), Claim::acquired);
  for (TestStore* store : {&one, &two}) EXPECT_EQ(claim(*store, "a"), Claim::held);
  one->release(key_of("reader"));
  EXPECT_EQ(claim(one, "b"), Claim::acquired);
  EXPECT_EQ(claim(one, "a"), Claim::held);
  two->release(key_of("other reader"));
  EXPECT_EQ(claim(one, "a"), Claim::acquired);
}

TEST_F(DirectoryClaims, WhatIsMadeIsNotRead) {
  ASSERT_EQ(claim(one, "a"), Claim::acquired);
  for (TestStore* store : {&one, &two}) { EXPECT_EQ(claim(*store, "reader", {b, a}), Claim::held); }
  EXPECT_EQ(claim(two, "b"), Claim::acquired);  // nothing of it is held
  one->release(a);
  EXPECT_EQ(claim(two, "reader", {a}), Claim::acquired);
}

// Whose claim is refused is nobody's: else two who wait for each other wake each other for ever.
TEST_F(DirectoryClaims, WhoIsRefusedWakesNobody) {
  ASSERT_EQ(claim(one, "reader", {a}), Claim::acquired);
  const auto before = two->wait_for_release(~0ull, std::chrono::milliseconds(0));
  EXPECT_EQ(claim(two, "a"), Claim::held);
  EXPECT_EQ(two->wait_for_release(before, std::chrono::milliseconds(0)), before);
  EXPECT_EQ(claim(one, "a"), Claim::held);
  one->release(key_of("reader"));
  EXPECT_NE(two->wait_for_release(before, std::chrono::milliseconds(0)), before);
  EXPECT_EQ(claim(one, "a"), Claim::acquired);
}

TEST_F(DirectoryClaims, TheDeadReadNothing) {
  in_dying_process([&] {
    TestStore dying(dir.path());
    if (claim(dying, "reader", {a}) != Claim::acquired) _exit(1);
    _exit(0);
  });
  EXPECT_EQ(claim(one, "a"), Claim::acquired);
}

TEST_F(DirectoryClaims, WhoReadsVeryManyHoldsAllButWhatHeMakes) {
  std::vector<Key> many;
  for (std::size_t i = 0; i <= DirectoryLocks::kMostPlaces; ++i) {
    many.push_back(key_of("input " + std::to_string(i)));
  }
  const Key other = key_of("other");
  publish_with_directory(one, other);
  ASSERT_EQ(claim(one, "reader", {b}), Claim::acquired);
  ASSERT_EQ(claim(two, "other"), Claim::acquired);
  ASSERT_EQ(claim(one, "a", many), Claim::acquired);  // one by one, while others make something
  two->release(other);
  ASSERT_EQ(claim(one, "fan-in", {key_of("one more")}), Claim::acquired);
  for (int again = 0; again < 2; ++again) {
    for (const char* name : {"a", "b", "other"}) EXPECT_EQ(claim(two, name), Claim::held);
    EXPECT_EQ(claim(two, "reads a", {a}), Claim::held);
    ASSERT_EQ(claim(one, "other"), Claim::acquired);
    one->release(other);
  }
  one->release(a);
  EXPECT_EQ(claim(two, "b"), Claim::held);
  EXPECT_EQ(claim(two, "a"), Claim::acquired);
  EXPECT_EQ(claim(two, "other"), Claim::acquired);
  one->release(key_of("reader"));
  EXPECT_EQ(claim(two, "b"), Claim::acquired);
}

// Keys that lie at one place: nobody waits for himself.
TEST_F(DirectoryClaims, OnePlaceForTwoKeys) {
  const Key made{{7, 1}}, read{{7, 2}}, third{{7 + std::uint64_t{DirectoryLocks::kPlaces}, 3}};
  for (const Key& key : {made, read, third}) publish_with_directory(one, key);
  ASSERT_EQ(claim(one, made, {read}), Claim::acquired);
  EXPECT_EQ(claim(two, third), Claim::held);
  one->release(made);
  ASSERT_EQ(claim(one, "reader", {read, third}), Claim::acquired);
  one->release(key_of("reader"));
  EXPECT_EQ(claim(two, third), Claim::acquired);
}

// The directory of a cleared task goes when nobody reads it any more.
TEST_F(DirectoryClaims, WhatIsReadIsNotRemoved) {
  const fs::path data = one->task_path("Task", one.entry("a").id) / "data";
  const fs::path checkpoint = data.parent_path() / "checkpoint";
  fs::create_directory(checkpoint);
  ASSERT_EQ(claim(one, "reader", {a}), Claim::acquired);
  for (TestStore* store : {&one, &two}) (*store)->clear(a);
  EXPECT_TRUE(fs::exists(data / "file"));
  EXPECT_FALSE(fs::exists(checkpoint));  // else the next attempt would go on from it
  EXPECT_FALSE(claim(two, "a") == Claim::acquired);
  one->release(key_of("reader"));
  one.store.reset();
  two.store.reset();
  const TestStore alone(dir.path());
  EXPECT_FALSE(fs::exists(data));
}

// Somebody has put another place where it was.
TEST_F(DirectoryClaims, ClearingFollowsNoLink) {
  const fs::path place = one->task_path("Task", one.entry("a").id);
  const TemporaryDirectory outside;
  fs::create_directories(outside.path() / "checkpoint");
  fs::remove_all(place);
  fs::create_directory_symlink(outside.path(), place);
  ASSERT_EQ(claim(one, "reader", {a}), Claim::acquired);
  one->clear(a);
  EXPECT_TRUE(fs::exists(outside.path() / "checkpoint"));
  EXPECT_FALSE(fs::is_symlink(place));
}

TEST_F(DirectoryClaims, SurviveAnIndexThatIsMadeAnew) {
  one.store.reset();
  two.store.reset();
  fs::remove(dir.path() / "index.sqlite");
  TestStore anew(dir.path());
  EXPECT_TRUE(anew.entry("a").has_directory);
  EXPECT_FALSE(anew.entry("never heard of").has_directory);
}

// --- Who was given up, or whose driver has died ------------------------------------------------

TEST_F(DirectoryClaims, WhatIsStillExecutedIsNotGivenToOthers) {
  ExecutionLock left_behind(dir.path());
  left_behind.lock(a, std::chrono::milliseconds(0));
  for (TestStore* store : {&one, &two}) {
    EXPECT_EQ(claim(*store, "a"), Claim::orphaned);
    EXPECT_TRUE((*store)->is_executed(a));
  }
  EXPECT_EQ(claim(one, "b"), Claim::acquired);
  left_behind.unlock();
  EXPECT_FALSE(two->is_executed(a));
  EXPECT_EQ(claim(two, "a"), Claim::acquired);
}

// It is known by its id in the names of directories; of one that nobody was shown there are none.
TEST_F(DirectoryClaims, WhatNobodyWasShownIsNobodyElses) {
  ExecutionLock left_behind(dir.path());
  left_behind.lock(key_of("new"), std::chrono::milliseconds(0));
  EXPECT_EQ(claim(one, "new"), Claim::acquired);
  left_behind.unlock();
  left_behind.lock(key_of("shown"), std::chrono::milliseconds(0));
  (void)one->show_id(key_of("shown"), "Task");
  for (TestStore* store : {&one, &two}) EXPECT_EQ(claim(*store, "shown"), Claim::orphaned);
}

// --- A claim that outlasts its publication -----------------------------------------------------

TEST_F(DirectoryClaims, AKeptClaimEndsWhenItIsTold) {
  ASSERT_EQ(claim(one, "c"), Claim::acquired);
  publish_with_directory(one, key_of("c"), true);
  EXPECT_EQ(claim(two, "c"), Claim::held);
  one->end_claim(key_of("c"));
  EXPECT_EQ(claim(two, "c"), Claim::acquired);
}

}  // namespace
}  // namespace stook::detail
