// What cannot be read for want of a descriptor is no damage: nothing is given up for it.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/maintain.h"
#include "cache/pack_store.h"
#include "tests/support/no_descriptors.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

using test::NoDescriptors;

const std::string kLarge(2 << 20, 'L');

void publish_some(const std::filesystem::path& path) {
  TestStore store(path);
  store.publish("a", "value of a");
  store.publish("large", kLarge);
  store.publish("cleared", "x");
  store->clear(key_of("cleared"));
}

void expect_all(const std::filesystem::path& path) {
  TestStore store(path);
  EXPECT_EQ(store.value("a"), "value of a");
  EXPECT_TRUE(store.value("large") == kLarge);
  EXPECT_EQ(store.state("cleared"), RecordState::missing);
}

TEST(NoDescriptors, CollectRemovesNothingThatIsNeeded) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  {
    TestStore store(dir.path());
    ASSERT_EQ(store.state("a"), RecordState::fresh);
    const NoDescriptors none;
    EXPECT_THROW(collect(*store.store), CacheError);
  }
  expect_all(dir.path());
}

TEST(NoDescriptors, ReindexLeavesTheIndexAsItIs) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  {
    TestStore store(dir.path());
    ASSERT_EQ(store.state("a"), RecordState::fresh);
    const NoDescriptors none;
    EXPECT_THROW(reindex(*store.store), CacheError);
  }
  expect_all(dir.path());
}

TEST(NoDescriptors, OpeningFailsAndLosesNothing) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  {
    const NoDescriptors none;
    EXPECT_THROW(TestStore{dir.path()}, CacheError);
  }
  expect_all(dir.path());
}

// A record whose pack was not open yet, a value in a file of its own, and what the index is asked.
TEST(NoDescriptors, WhatCannotBeReadIsNotGivenUp) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  {
    TestStore store(dir.path());
    const Entry a = store.entry("a"), large = store.entry("large");
    const NoDescriptors none;
    EXPECT_THROW((void)store->read_record(a), CacheError);
    EXPECT_THROW((void)store->read_value(a, "text"), CacheError);
    EXPECT_THROW((void)store->read_value(large, "text"), CacheError);
    EXPECT_THROW((void)verify(*store.store, true), CacheError);
  }
  {
    TestStore store(dir.path());
    ASSERT_EQ(store.value("a"), "value of a");  // its pack is open now
    const Entry large = store.entry("large");
    const NoDescriptors none;
    EXPECT_THROW((void)store->read_value(large, "text"), CacheError);
  }
  expect_all(dir.path());
}

// What the index cannot be asked for is not to be executed again.
TEST(NoDescriptors, AnIndexThatCannotBeOpenedIsNoMiss) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  {
    TestStore store(dir.path());
    dynamic_cast<PackStore&>(*store.store).view().disconnect();
    const NoDescriptors none;
    EXPECT_THROW((void)store.entry("a"), CacheError);
    EXPECT_THROW((void)store->id_of(key_of("a")), CacheError);
    Entry entry;
    EXPECT_THROW((void)store->claim(key_of("a"), entry), CacheError);
  }
  expect_all(dir.path());
}

// Whoever is not told of the inputs would take what was made of their old content for fresh.
TEST(NoDescriptors, AnIndexThatIsGoneHasNoEmptyListOfInputs) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  {
    TestStore store(dir.path());
    ASSERT_EQ(store.state("a"), RecordState::fresh);
    dynamic_cast<PackStore&>(*store.store).view().disconnect();
    std::filesystem::remove(dir.path() / "index.sqlite");
    EXPECT_THROW((void)store->externals(), CacheError);
    EXPECT_THROW((void)store->check_versions({}), CacheError);
  }
  expect_all(dir.path());
}

// Results that come faster than they are synced wait, each as an open file.
TEST(NoDescriptors, LargeResultsDoNotUseThemUp) {
  const TemporaryDirectory dir;
  StoreOptions options;
  options.durability_window = std::chrono::hours(1);
  TestStore store(dir.path(), options);
  const std::string large((1 << 20) + 1, 'L');
  const NoDescriptors few(150);
  for (int i = 0; i < 200; ++i) {
    ASSERT_NO_THROW(store.publish(std::to_string(i), large + std::to_string(i))) << i;
  }
}

// Who cannot look at what others wrote claims nothing: nobody would give it up.
TEST(NoDescriptors, AClaimThatFailsIsNone) {
  const TemporaryDirectory dir;
  TestStore one(dir.path()), two(dir.path());
  Entry entry = one.entry("a");
  two->make_readable(two.publish("b", "value"));
  {
    const NoDescriptors none;
    EXPECT_THROW((void)one->claim(key_of("a"), entry), CacheError);
  }
  EXPECT_EQ(one->claim(key_of("a"), entry), Claim::acquired);
}

// The memory that processes share is a file: on a full disk a page without a block would be a
// SIGBUS when it is first touched.
TEST(Shared, MemoryOfAllHasItsBlocks) {
  const TemporaryDirectory dir;
  const TestStore store(dir.path());
  struct stat status = {};
  ASSERT_EQ(stat((dir.path() / ".claims").c_str(), &status), 0);
  EXPECT_GE(status.st_blocks * 512, status.st_size);
}

bool is_null_device(int fd) {
  struct stat is {};
  struct stat null {};
  return fstat(fd, &is) == 0 && stat("/dev/null", &null) == 0 && is.st_rdev == null.st_rdev;
}

// Else what is printed would be written into a file of the cache.
TEST(NoDescriptors, NoFileOfTheCacheStandsForAClosedStream) {
  const TemporaryDirectory dir;
  const pid_t child = fork();
  if (child == 0) {
    for (const int stream : {0, 1, 2}) close(stream);
    const TestStore store(dir.path());
    _exit(is_null_device(0) && is_null_device(1) && is_null_device(2) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace stook::detail
