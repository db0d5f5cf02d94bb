// What two processes do to one cache at the same time without knowing it of each other.
#include "cache/maintain.h"
#include "cache/pack_store.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

// As a run does that looks at an input: the id is taken before the file is read.
void publish_input(TestStore& store, std::uint64_t id) {
  Publication input;
  input.key = key_of("input");
  input.id = id;
  input.kind = RecordKind::external;
  input.class_name = "File";
  input.arguments = "input";
  input.digest = digest_of("content");
  input.codec = "stamp";
  (void)store->publish(input);
}

struct Apart : testing::Test {
  const TemporaryDirectory dir;
  TestStore one{dir.path()}, two{dir.path()};

  // Whoever clears the input finds what was made of it.
  void expect_found(const char* name) {
    one->flush();
    two->flush();
    ASSERT_EQ(one.state(name), RecordState::fresh);
    (void)one->clear(key_of("input"));
    EXPECT_EQ(one.state(name), RecordState::suspect);
    EXPECT_EQ(two.state(name), RecordState::suspect);
  }
};

TEST_F(Apart, AnInputThatAnotherHasBroughtIn) {
  const std::uint64_t first = one->id_of(key_of("input")), second = two->id_of(key_of("input"));
  ASSERT_NE(first, second);
  publish_input(one, first);
  one->flush();
  publish_input(two, second);
  two->make_readable(two.entry("input"));
  one->flush();  // brings in what two has written
  two.publish("made", "value", {two.seen("input")});
  expect_found("made");
}

TEST_F(Apart, AnInputOfWhichAnotherIsBroughtInFirst) {
  const std::uint64_t first = one->id_of(key_of("input")), second = two->id_of(key_of("input"));
  publish_input(one, first);
  publish_input(two, second);
  two.publish("made", "value", {two.seen("input")});
  two->make_readable(two.entry("made"));
  one->flush();
  expect_found("made");
}

TEST_F(Apart, AnInputThatIsBroughtInAfterWhatAnotherMadeOfIt) {
  const std::uint64_t first = one->id_of(key_of("input")), second = two->id_of(key_of("input"));
  publish_input(one, first);
  one.publish("made", "value", {one.seen("input")});
  one->flush();
  publish_input(two, second);
  one.publish("later", "value", {one.seen("input")});
  one->make_readable(one.entry("later"));
  two->flush();
  two.publish("last", "value", {two.seen("input")});
  expect_found("later");
  EXPECT_EQ(two.state("made"), RecordState::suspect);
  EXPECT_EQ(two.state("last"), RecordState::suspect);
}

// A user asks for the directory of a task that another process executes.
TEST_F(Apart, TheIdIsThatOfWhoExecutes) {
  const Key key = key_of("task");
  Entry entry;
  ASSERT_EQ(one->claim(key, entry), Claim::acquired);
  EXPECT_EQ(two->show_id(key, "Task"), entry.id);
  EXPECT_EQ(one->show_id(key, "Task"), entry.id);
  one.publish("task", "value");
  EXPECT_EQ(two.entry("task").id, entry.id);
}

TEST_F(Apart, TheIdIsWhatWasShownBeforeTheExecution) {
  const Key key = key_of("task");
  (void)one->id_of(key);
  const std::uint64_t shown = two->show_id(key, "Task");
  Entry entry;
  ASSERT_EQ(one->claim(key, entry), Claim::acquired);
  EXPECT_EQ(entry.id, shown);
}

// What was thought of and not shown is not the id when somebody else has begun.
TEST_F(Apart, TheIdOfAnAttemptThatShowedNothingIsForgotten) {
  const Key key = key_of("task");
  Entry first, second;
  ASSERT_EQ(one->claim(key, first), Claim::acquired);
  one->release(key);
  ASSERT_EQ(two->claim(key, second), Claim::acquired);
  EXPECT_EQ(one->show_id(key, "Task"), second.id);
  EXPECT_EQ(two->show_id(key, "Task"), second.id);
  two.publish("task", "value");
  two->make_readable(two.entry("task"));
  EXPECT_EQ(one.entry("task").id, second.id);
}

// An id is written down after the class was cleared, by who does not know the key: that is no
// result.
TEST(Rebuilt, AnIdAfterAClearIsNoRecord) {
  const TemporaryDirectory dir;
  {
    TestStore clears(dir.path()), shows(dir.path());
    const std::uint64_t id = clears.publish("key", "value").id;
    clears->clear_class("Task");
    clears->flush();
    shows->expose_id(key_of("key"), id, "Task");
    shows->flush();
    ASSERT_EQ(shows.state("key"), RecordState::missing);
  }
  std::filesystem::remove(dir.path() / "index.sqlite");
  EXPECT_EQ(TestStore(dir.path()).state("key"), RecordState::missing);
}

// Nothing is known of its last use then; it is not for collect() to take all of it.
TEST(Rebuilt, WhatIsThereWasUsedToday) {
  const TemporaryDirectory dir;
  { TestStore(dir.path()).publish("key", "value"); }
  std::filesystem::remove(dir.path() / "index.sqlite");
  TestStore store(dir.path());
  CollectOptions old;
  old.older_than_days = 30;
  EXPECT_EQ(collect(*store.store, old).evicted, 0u);
}

// Another process has computed again what was damaged, before this one met the damage.
TEST_F(Apart, DamageOfARecordThatWasReplaced) {
  one.publish("key", "damaged");
  one->flush();
  const Entry damaged = two.entry("key");
  one.publish("key", "good");
  one->flush();
  two->mark_damaged(key_of("key"), damaged, "a test says so");
  EXPECT_EQ(one.value("key"), "good") << one.why;
  EXPECT_EQ(two.value("key"), "good") << two.why;
  EXPECT_TRUE(two.warnings.empty());
  two->mark_damaged(key_of("key"), two.entry("key"), "a test says so");
  EXPECT_EQ(one.state("key"), RecordState::missing);
}

// A change that fails leaves no opinion behind: another process decides meanwhile.
TEST_F(Apart, WhatWasCorrectedByAChangeThatFailed) {
  one.publish("up", "value");
  one.publish("down", "value", {one.seen("up")});
  one->flush();
  ASSERT_EQ(one.state("down"), RecordState::fresh);
  auto& store = dynamic_cast<PackStore&>(*one.store);
  EXPECT_THROW(store.indexer().exclusively([&](Indexer::Transaction& transaction) {
    Item item;
    item.kind = ItemKind::cleared_key;
    item.key = key_of("up");
    item.seq = store.shared().take_seq();
    Batch batch;
    batch.items.push_back(item);
    transaction.ingest.apply(batch, batch.items, transaction.outcome);
    throw CacheError("there is no space");
  }),
               CacheError);
  EXPECT_EQ(one.state("down"), RecordState::fresh);
  two.publish("up", "value");
  two->flush();
  two.publish("down", "another", {two.seen("up")});
  two->flush();
  EXPECT_EQ(one.state("up"), RecordState::fresh);
  EXPECT_EQ(one.entry("down").digest, digest_of("another"));
}

}  // namespace
}  // namespace stook::detail
