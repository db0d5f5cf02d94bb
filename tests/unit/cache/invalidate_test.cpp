// Clearing, suspecting, confirming; and that what is derived from the packs alone agrees.
#include <fstream>

#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

// x (external) -> a -> b -> d, a -> c -> d, and e alone.
void publish_diamond(TestStore& store) {
  store.publish("x", "x1", {}, "stook::File", 0, RecordKind::external);
  store.publish("a", "a1", {store.seen("x")}, "A", 1);
  store.publish("b", "b1", {store.seen("a")}, "B");
  store.publish("c", "c1", {store.seen("a")}, "C");
  store.publish("d", "d1", {store.seen("b"), store.seen("c")}, "D");
  store.publish("e", "e1", {}, "E");
}

std::string states(TestStore& store) {
  std::string text;
  for (const char* name : {"x", "a", "b", "c", "d", "e"}) {
    const RecordState state = store.state(name);
    text += state == RecordState::fresh ? 'f' : state == RecordState::suspect ? 's' : 'm';
  }
  return text;
}

class Invalidate : public testing::Test {
 protected:
  // After every test the index is thrown away: what is derived anew is no less cautious than what
  // was there, and agrees where every suspect has been settled.
  std::string states_after_reindex() {
    store_.reset();
    std::filesystem::remove(dir_.path() / "index.sqlite");
    store_ = std::make_unique<TestStore>(dir_.path());
    return states(*store_);
  }
  void reopen() {
    store_.reset();
    store_ = std::make_unique<TestStore>(dir_.path());
  }
  void confirm(const char* name) {
    const Key key = key_of(name);
    (*store_)->confirm({&key, 1});
  }

  const TemporaryDirectory dir_;
  std::unique_ptr<TestStore> store_ = std::make_unique<TestStore>(dir_.path());
};

TEST_F(Invalidate, ClearMakesDependentsSuspect) {
  publish_diamond(*store_);
  const std::uint64_t id = store_->entry("a").id;
  const Invalidated done = (*store_)->clear(key_of("a"));
  EXPECT_EQ(done.removed, 1u);
  EXPECT_EQ(done.suspected, 3u);
  EXPECT_EQ(states(*store_), "fmsssf");
  const Entry a = store_->entry("a");
  EXPECT_EQ(a.doubt, Doubt::cleared);
  EXPECT_EQ(a.id, id);
  EXPECT_TRUE((*store_)->read_record(a)) << "kept for why";
  EXPECT_EQ(store_->entry("d").doubt, Doubt::upstream_cleared);
  EXPECT_EQ(store_->entry("d").cause, id);
  reopen();
  EXPECT_EQ(states(*store_), "fmsssf");
  EXPECT_EQ(states_after_reindex(), "fmsssf");
}

TEST_F(Invalidate, ClearOfTheUnknownDoesNothing) {
  publish_diamond(*store_);
  EXPECT_EQ((*store_)->clear(key_of("nobody")).removed, 0u);
  EXPECT_EQ((*store_)->clear_class("Nobody").removed, 0u);
  EXPECT_EQ(states(*store_), "ffffff");
}

TEST_F(Invalidate, ClearingAgainFindsNothing) {
  publish_diamond(*store_);
  (*store_)->clear(key_of("a"));
  const Invalidated again = (*store_)->clear(key_of("a"));
  EXPECT_EQ(again.removed, 0u);
  EXPECT_EQ(again.suspected, 0u);
}

TEST_F(Invalidate, ConfirmedAfterAnIdenticalResult) {
  publish_diamond(*store_);
  (*store_)->clear(key_of("a"));
  store_->publish("a", "a1", {store_->seen("x")}, "A", 1);
  EXPECT_EQ(states(*store_), "ffsssf");
  for (const char* name : {"b", "c", "d"}) confirm(name);
  EXPECT_EQ(states(*store_), "ffffff");
  (*store_)->flush();
  EXPECT_EQ(states(*store_), "ffffff");
  reopen();
  EXPECT_EQ(states(*store_), "ffffff");
  EXPECT_EQ(states_after_reindex(), "ffffff");
}

TEST_F(Invalidate, AClearAfterTheProofBeatsTheConfirmation) {
  publish_diamond(*store_);
  (*store_)->clear(key_of("a"));
  confirm("b");  // was never proven: `a` is missing
  (*store_)->flush();
  EXPECT_EQ(store_->state("b"), RecordState::suspect);
}

TEST_F(Invalidate, AnotherResultMakesDependentsSuspect) {
  publish_diamond(*store_);
  store_->publish("a", "a2", {store_->seen("x")}, "A", 1);
  (*store_)->flush();
  EXPECT_EQ(states(*store_), "ffsssf");
  EXPECT_EQ(states_after_reindex(), "ffsssf");
}

TEST_F(Invalidate, ClassIsClearedWithItsDirectories) {
  publish_diamond(*store_);
  store_->publish("b2", "b1", {store_->seen("a")}, "B");
  const auto path = (*store_)->task_path("B", store_->entry("b").id);
  std::filesystem::create_directories(path / "data");
  std::ofstream(path / "data" / "file") << "x";
  const Invalidated done = (*store_)->clear_class("B");
  EXPECT_EQ(done.removed, 2u);
  EXPECT_EQ(done.suspected, 1u);
  EXPECT_EQ(states(*store_), "ffmfsf");
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_EQ(states_after_reindex(), "ffmfsf");
}

// Somebody may have made it a moment ago, and be about to make a task's directory in it.
TEST_F(Invalidate, TheDirectoryOfAClassStays) {
  publish_diamond(*store_);
  store_->publish("b2", "b1", {store_->seen("a")}, "B");
  const auto path = (*store_)->task_path("B", 99);
  std::filesystem::create_directories(path.parent_path());
  EXPECT_EQ((*store_)->clear_class("B").removed, 2u);
  std::error_code error;
  EXPECT_TRUE(std::filesystem::create_directory(path, error)) << error.message();
}

TEST_F(Invalidate, ClearRemovesTheTaskDirectory) {
  publish_diamond(*store_);
  const auto path = (*store_)->task_path("A", store_->entry("a").id);
  std::filesystem::create_directories(path);
  (*store_)->clear(key_of("a"));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(Invalidate, ExternalThatChanged) {
  publish_diamond(*store_);
  EXPECT_EQ((*store_)->update_external(key_of("x"), "stat2", digest_of("x1")).suspected, 0u);
  EXPECT_EQ(states(*store_), "ffffff");
  EXPECT_EQ((*store_)->externals().at(0).fingerprint, "stat2");
  EXPECT_EQ((*store_)->update_external(key_of("x"), "stat3", digest_of("x2")).suspected, 4u);
  EXPECT_EQ(states(*store_), "fssssf");
  EXPECT_EQ(store_->entry("a").doubt, Doubt::upstream_changed);
  EXPECT_EQ((*store_)->externals().at(0).digest, digest_of("x2"));
  EXPECT_EQ(states_after_reindex(), "fssssf");
  EXPECT_EQ((*store_)->externals().at(0).fingerprint, "stat3");
}

TEST_F(Invalidate, VersionsThatDiffer) {
  publish_diamond(*store_);
  const ClassVersion same[] = {{"A", 1}, {"B", 0}, {"Unknown", 7}};
  EXPECT_EQ((*store_)->check_versions(same).suspected, 0u);
  const ClassVersion other[] = {{"A", 2}};
  EXPECT_EQ((*store_)->check_versions(other).suspected, 3u);
  EXPECT_EQ(states(*store_), "ffsssf");
  EXPECT_EQ(store_->entry("b").doubt, Doubt::version_changed);
  EXPECT_EQ((*store_)->check_versions(other).suspected, 0u);
}

TEST_F(Invalidate, DamagedLeavesDependentsAlone) {
  publish_diamond(*store_);
  (*store_)->mark_damaged(key_of("b"), store_->entry("b"), "a test says so");
  EXPECT_EQ(states(*store_), "ffmfff");
  EXPECT_EQ(store_->entry("b").doubt, Doubt::damaged);
  EXPECT_EQ(store_->warnings.size(), 1u);
  store_->publish("b", "b1", {store_->seen("a")}, "B");
  EXPECT_EQ(states(*store_), "ffffff");
}

TEST_F(Invalidate, WhatWasMadeOfClearedInputsIsSuspect) {
  publish_diamond(*store_);
  const std::vector<UpstreamSeen> old = {store_->seen("a")};
  (*store_)->clear(key_of("a"));
  store_->publish("late", "l1", old, "L");
  (*store_)->flush();
  EXPECT_EQ(store_->state("late"), RecordState::suspect);
  EXPECT_EQ(store_->entry("late").cause, store_->entry("a").id);
}

TEST_F(Invalidate, WhatWasMadeOfReplacedInputsIsSuspect) {
  publish_diamond(*store_);
  const std::vector<UpstreamSeen> old = {store_->seen("a")};
  store_->publish("a", "a2", {store_->seen("x")}, "A", 1);
  store_->publish("late", "l1", old, "L");
  (*store_)->flush();
  EXPECT_EQ(store_->state("late"), RecordState::suspect);
}

TEST_F(Invalidate, ConstantsNeedNoRecord) {
  const Key constant = key_of("const");
  store_->publish("a", "a1", {{constant, Digest{constant}}});
  (*store_)->flush();
  EXPECT_EQ(store_->state("a"), RecordState::fresh);
  EXPECT_EQ(store_->entry("const").id, 0u) << "it has got no row";
  store_.reset();
  std::filesystem::remove(dir_.path() / "index.sqlite");
  store_ = std::make_unique<TestStore>(dir_.path());
  EXPECT_EQ(store_->state("a"), RecordState::fresh);
  EXPECT_EQ(store_->entry("const").id, 0u);
}

TEST_F(Invalidate, StaleEdgesGoWithTheRecord) {
  publish_diamond(*store_);
  (*store_)->clear(key_of("d"));
  store_->publish("d", "d2", {store_->seen("e")}, "D");
  (*store_)->clear(key_of("a"));
  EXPECT_EQ(states(*store_), "fmssff");
  (*store_)->clear(key_of("e"));
  EXPECT_EQ(store_->state("d"), RecordState::suspect);
}

TEST_F(Invalidate, TransientsPassItOn) {
  store_->publish("a", "a1");
  store_->publish("t", "t1", {store_->seen("a")}, "T", 0, RecordKind::transient);
  store_->publish("b", "b1", {store_->seen("t")});
  (*store_)->flush();
  EXPECT_EQ(store_->state("b"), RecordState::fresh);
  EXPECT_EQ((*store_)->clear(key_of("a")).suspected, 1u);
  EXPECT_EQ(store_->state("b"), RecordState::suspect);
  EXPECT_EQ(store_->entry("t").doubt, Doubt::upstream_cleared);
  store_->publish("a", "a1");
  store_->publish("t", "t1", {store_->seen("a")}, "T", 0, RecordKind::transient);
  confirm("b");
  (*store_)->flush();
  EXPECT_EQ(store_->state("b"), RecordState::fresh);
}

TEST_F(Invalidate, ALongChainIsNoRecursion) {
  constexpr int kLength = 30'000;
  store_->publish("0", "zero");
  for (int i = 1; i < kLength; ++i) {
    store_->publish(std::to_string(i), "v", {store_->seen(std::to_string(i - 1))});
  }
  EXPECT_EQ((*store_)->clear(key_of("0")).suspected, kLength - 1u);
  EXPECT_EQ(store_->state(std::to_string(kLength - 1)), RecordState::suspect);
  store_->publish("0", "zero");
  (*store_)->flush();
  store_.reset();
  std::filesystem::remove(dir_.path() / "index.sqlite");
  store_ = std::make_unique<TestStore>(dir_.path());
  EXPECT_EQ(store_->state(std::to_string(kLength - 1)), RecordState::fresh);
}

// What was recorded of the input cannot be read: that it changed is known all the same.
TEST_F(Invalidate, AnExternalChangeIsNoticedThoughItsRecordIsDamaged) {
  const Entry input =
      store_->publish("input", "content 1", {}, "stook::File", 0, RecordKind::external);
  store_->publish("made", "value", {store_->seen("input")});
  (*store_)->flush();
  store_.reset();
  {
    std::fstream pack(dir_.path() / "packs" / "0001.pack",
                      std::ios::in | std::ios::out | std::ios::binary);
    pack.seekp(static_cast<std::streamoff>(input.offset + 40));
    pack.put('x');
  }
  store_ = std::make_unique<TestStore>(dir_.path());
  ASSERT_FALSE((*store_)->read_record(store_->entry("input")));
  const Digest changed = digest_of("content 2");
  EXPECT_EQ((*store_)->update_external(key_of("input"), "stat2", changed).suspected, 1u);
  EXPECT_EQ(store_->state("made"), RecordState::suspect);
  EXPECT_EQ(store_->entry("input").digest, changed);
  const auto record = (*store_)->read_record(store_->entry("input"));
  ASSERT_TRUE(record);
  EXPECT_EQ(record->class_name, "stook::File");
  EXPECT_EQ(record->arguments, "input");
  EXPECT_EQ((*store_)->externals().at(0).fingerprint, "stat2");
}

TEST_F(Invalidate, TwoStoresOnOneDirectorySeeEachOther) {
  TestStore other(dir_.path());
  publish_diamond(*store_);
  (*store_)->flush();
  EXPECT_EQ(states(other), "ffffff");
  other->clear(key_of("a"));
  EXPECT_EQ(states(*store_), "fmsssf");
  store_->publish("a", "a1", {store_->seen("x")}, "A", 1);
  (*store_)->flush();
  EXPECT_EQ(states(other), "ffsssf");
  const Key b = key_of("b");
  other->confirm({&b, 1});
  other->flush();
  EXPECT_EQ(states(*store_), "fffssf");
  EXPECT_EQ(other.entry("b").id, store_->entry("b").id);
}

TEST_F(Invalidate, RacingPublicationOfAnotherProcessIsSuspect) {
  TestStore other(dir_.path());
  store_->publish("a", "a1");
  (*store_)->flush();
  const std::vector<UpstreamSeen> old = {other.seen("a")};
  (*store_)->clear(key_of("a"));
  other.publish("late", "l1", old);
  other->flush();
  EXPECT_EQ(other.state("late"), RecordState::suspect);
  EXPECT_EQ(store_->state("late"), RecordState::suspect);
}

// A record that was begun before a clear and written after it is older than the clear, whoever
// reads it first: the index, or a process that reads the tail of its pack.
TEST(Tails, ARecordOlderThanAClearDoesNotAnswer) {
  const TemporaryDirectory dir;
  TestStore publisher(dir.path()), clearer(dir.path()), reader(dir.path());
  publisher.publish("key", "first");
  publisher.publish("class", "first", {}, "Cleared");
  publisher->flush();
  for (const char* const name : {"key", "class", "new"}) {
    publisher.publish(name, "second", {}, std::string_view(name) == "key" ? "Task" : "Cleared");
  }
  clearer->clear(key_of("key"));
  clearer->clear_class("Cleared");
  publisher->make_readable(publisher.entry("new"));
  for (const char* const name : {"key", "class", "new"}) {
    const RecordState seen = reader.state(name);
    publisher->flush();
    TestStore other(dir.path());
    EXPECT_EQ(seen, other.state(name)) << name;
    EXPECT_EQ(seen, RecordState::missing) << name;
  }
}

}  // namespace
}  // namespace stook::detail
