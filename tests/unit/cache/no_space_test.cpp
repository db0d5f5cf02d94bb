// A disk without space: what is refused is not there, and what is there is not refused.
#include "tests/support/full_disk.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

using stook::test::FullDisk;

const std::string kLarge = stook::test::incompressible(200'000);  // written at once

TEST(NoSpace, ARecordIsAcceptedOrRefused) {
  const TemporaryDirectory dir;
  {
    TestStore store(dir.path());
    store.publish("a", "old");
    store->sync();
    {
      const FullDisk full;
      Entry accepted;
      ASSERT_NO_THROW(accepted = store.publish("a", kLarge));
      EXPECT_EQ(store.state("a"), RecordState::fresh);
      EXPECT_THROW(store->make_readable(accepted), CacheError);
      EXPECT_THROW(store->sync(), CacheError);
      EXPECT_THROW(store.publish("b", "small"), CacheError);
      EXPECT_EQ(store.state("b"), RecordState::missing);
    }
    store.publish("c", "small");
    store->sync();
    EXPECT_EQ(store.state("b"), RecordState::missing);
  }
  TestStore store(dir.path());
  EXPECT_TRUE(store.value("a") == kLarge);
  EXPECT_EQ(store.state("b"), RecordState::missing);
  EXPECT_EQ(store.value("c"), "small");
}

TEST(NoSpace, AskedToBeDurableItSaysThatItWasAccepted) {
  const TemporaryDirectory dir;
  StoreOptions options;
  options.durability_full = true;
  TestStore store(dir.path(), options);
  {
    const FullDisk full;
    try {
      store.publish("a", kLarge);
      ADD_FAILURE() << "it is not on the disk";
    } catch (const CacheError& error) { EXPECT_TRUE(is_accepted(error, key_of("a"))); }
    EXPECT_EQ(store.state("a"), RecordState::fresh);
    try {
      store.publish("b", "small");
      ADD_FAILURE() << "the record before it is not on the disk";
    } catch (const CacheError& error) { EXPECT_FALSE(is_accepted(error, key_of("b"))); }
    EXPECT_EQ(store.state("b"), RecordState::missing);
  }
  store.publish("b", "small");
  EXPECT_EQ(store.value("b"), "small");
  EXPECT_TRUE(store.value("a") == kLarge);
}

}  // namespace
}  // namespace stook::detail
