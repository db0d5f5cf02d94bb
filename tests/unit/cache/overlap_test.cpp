// Several processes whose publications, clears, versions and deaths overlap: nothing that one of
// them has made doubtful is answered as fresh by another.
#include <unistd.h>

#include <fstream>
#include <future>

#include "cache/maintain.h"
#include "cache/pack_store.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

// As a task that uses its directory: returns that.
fs::path make_directory(TestStore& store, const std::string& name, const std::string& content,
                        std::uint64_t id) {
  store->expose_id(key_of(name), id, "Task");
  const fs::path data = store->task_path("Task", id) / "data";
  fs::create_directories(data);
  std::ofstream(data / "file", std::ios::trunc) << content;
  return data;
}

Entry publish_with_directory(TestStore& store, const std::string& name, std::string_view value,
                             std::uint64_t id) {
  const ByteSpan piece = bytes_of(value);
  Publication p;
  p.key = key_of(name);
  p.id = id;
  p.class_name = "Task";
  p.arguments = name;
  p.digest = digest_of(value);
  p.directory = digest_of("its directory");
  p.codec = "text";
  p.value = {&piece, 1};
  return store->publish(p);
}

std::string content_of(const fs::path& file) {
  std::string text;
  std::ifstream(file) >> text;
  return text;
}

// --- Tails of several packs that no index has seen -------------------------------------------

// The lower pack speaks of a key whose record is in the higher one.
TEST(Overlap, TailsOfTheDeadKeepTheirIds) {
  const TemporaryDirectory dir;
  { TestStore(dir.path()).publish("old", "v"); }
  in_dying_process([&] {
    TestStore one(dir.path()), two(dir.path()), three(dir.path());
    dynamic_cast<PackStore&>(*three.store).shared().lock();  // nobody commits from here on
    one->make_readable(one.publish("first", "v"));           // it has the lower pack
    const std::uint64_t id = two->id_of(key_of("K"));
    (void)make_directory(two, "K", "content", id);
    two->make_readable(publish_with_directory(two, "K", "value", id));
    one->make_readable(one.publish("D", "v", {one.seen("K")}));
    _exit(0);
  });
  TestStore store(dir.path());
  const Entry entry = store.entry("K");
  EXPECT_EQ(entry.state, RecordState::fresh);
  EXPECT_EQ(store.state("D"), RecordState::fresh);
  EXPECT_EQ(content_of(store->task_path("Task", entry.id) / "data" / "file"), "content");
}

// The lower pack has the mark of the clear, the higher one what it cleared; the index has lost
// both.
TEST(Overlap, AClearOutlivesTheIndexThatKnewOfIt) {
  const TemporaryDirectory dir;
  { TestStore(dir.path()).publish("old", "v"); }
  in_dying_process([&] {
    TestStore one(dir.path()), two(dir.path());
    one.publish("first", "v");
    one->sync();
    const std::uint64_t id = two->id_of(key_of("K"));
    (void)make_directory(two, "K", "content", id);
    (void)publish_with_directory(two, "K", "value", id);
    two.publish("D", "v", {two.seen("K")});
    two->flush();
    one->clear(key_of("K"));
    _exit(0);
  });
  for (const char* suffix : {"-wal", "-shm"}) {  // as a power failure may take it
    fs::remove(dir.path() / (std::string("index.sqlite") + suffix));
  }
  TestStore store(dir.path());
  EXPECT_EQ(store.state("K"), RecordState::missing);
  EXPECT_NE(store.state("D"), RecordState::fresh);
}

// --- An index that is damaged in use ---------------------------------------------------------

void damage_index(const fs::path& cache) {
  const auto size = fs::file_size(cache / "index.sqlite");
  std::fstream file(cache / "index.sqlite", std::ios::in | std::ios::out | std::ios::binary);
  file << std::string(size, 'x');
}

TEST(Overlap, ARebuiltIndexNamesTheDirectoryOfTheLastResult) {
  const TemporaryDirectory dir;
  {
    TestStore store(dir.path());
    store.publish("other", "v");
    const std::uint64_t id = store->id_of(key_of("K"));
    (void)make_directory(store, "K", "first", id);
    (void)publish_with_directory(store, "K", "first", id);
  }
  {
    TestStore store(dir.path());
    damage_index(dir.path());
    Entry entry = store.entry("K");
    ASSERT_EQ(store->claim(key_of("K"), entry), Claim::acquired);
    (void)make_directory(store, "K", "second", entry.id);
    (void)publish_with_directory(store, "K", "second", entry.id);
  }
  TestStore store(dir.path());
  EXPECT_EQ(store.value("K"), "second");
  EXPECT_EQ(content_of(store->task_path("Task", store.entry("K").id) / "data" / "file"), "second");
}

TEST(Overlap, WithoutAnIndexPublishingGoesOn) {
  const TemporaryDirectory dir;
  { TestStore(dir.path()).publish("old", "v"); }
  TestStore one(dir.path());
  damage_index(dir.path());
  auto two = std::make_shared<TestStore>(dir.path());
  auto published = std::make_shared<std::promise<void>>();
  std::future<void> done = published->get_future();
  std::thread([two, published] {           // left behind where it hangs
    const std::vector<Key> keys(400'000);  // as long a queue as is allowed
    (*two)->confirm(keys);
    two->publish("K", "value");
    published->set_value();
  })
      .detach();
  ASSERT_EQ(done.wait_for(std::chrono::seconds(60)), std::future_status::ready);
}

// --- Versions --------------------------------------------------------------------------------

TEST(Overlap, ARunOfTheOldProgramIsNoAnswerForTheNewOne) {
  const TemporaryDirectory dir;
  const ClassVersion first{"K", 1}, second{"K", 2};
  TestStore older(dir.path()), newer(dir.path());
  older.publish("K of 1", "value", {}, "K", 1);
  older->flush();
  older->check_versions({&first, 1});  // its run begins
  newer->check_versions({&second, 1});
  older.publish("D", "made of K of 1", {older.seen("K of 1")}, "D");
  older->flush();
  newer->check_versions({&second, 1});
  EXPECT_EQ(newer.state("D"), RecordState::suspect);
}

// A transaction looks twice at what others have written, and may have doubted it in between.
TEST(Overlap, WhatIsReadAgainStaysDoubted) {
  const TemporaryDirectory dir;
  const TestStore store(dir.path());
  View& view = dynamic_cast<PackStore&>(*store.store).view();
  Item item;
  item.key = key_of("K");
  item.id = 1;
  item.seq = 5;
  item.digest = digest_of("value");
  view.record(item);
  Entry entry = entry_of(item);
  entry.state = RecordState::suspect;
  view.correct_state(item.key, entry, item.seq);
  view.record(item);
  bool settled = false;
  ASSERT_TRUE(view.peek(item.key, entry, settled));
  EXPECT_EQ(entry.state, RecordState::suspect);
}

// Until a transaction is committed others, and other threads, read what was before it.
TEST(Overlap, WhatIsReadWhileStatesMoveIsNoGroundForOthers) {
  const TemporaryDirectory dir;
  { TestStore(dir.path()).publish("K", "value"); }
  TestStore store(dir.path());
  View& view = dynamic_cast<PackStore&>(*store.store).view();
  Entry entry;
  view.correct_state(key_of("another"), entry, 1);
  EXPECT_EQ(store.state("K"), RecordState::fresh);
  bool settled = false;
  EXPECT_FALSE(view.peek(key_of("K"), entry, settled));
}

// The packs do not say which versions the programs have that are under way.
TEST(Overlap, AReindexKeepsTheDoubtOfAnotherVersion) {
  const TemporaryDirectory dir;
  const ClassVersion second{"K", 2};
  TestStore runs(dir.path()), tidies(dir.path());
  runs.publish("K of 1", "value", {}, "K", 1);
  runs.publish("D", "made of K of 1", {runs.seen("K of 1")}, "D");
  runs->flush();
  runs->check_versions({&second, 1});  // its run begins
  reindex(*tidies.store);
  EXPECT_EQ(runs.state("D"), RecordState::suspect);
  EXPECT_EQ(runs.state("K of 1"), RecordState::fresh);
}

// Others show what they write before the index knows of it.
TEST(Overlap, WhatAnotherVersionHasJustWrittenIsDoubted) {
  const TemporaryDirectory dir;
  const ClassVersion second{"K", 2};
  TestStore older(dir.path()), newer(dir.path());
  newer.publish("K of 2", "value", {}, "K", 2);
  newer->flush();
  newer->check_versions({&second, 1});
  older.publish("K of 1", "value", {}, "K", 1);
  older->make_readable(older.publish("D", "made of K of 1", {older.seen("K of 1")}, "D"));
  newer->check_versions({&second, 1});
  EXPECT_EQ(newer.state("D"), RecordState::suspect);
}

// --- Clears ----------------------------------------------------------------------------------

// What is being executed owns its directory.
TEST(Overlap, AClearLeavesTheDirectoryOfWhatIsBeingExecuted) {
  const TemporaryDirectory dir;
  TestStore runs(dir.path()), clears(dir.path());
  Entry entry = runs.entry("K");
  ASSERT_EQ(runs->claim(key_of("K"), entry), Claim::acquired);
  const fs::path data = make_directory(runs, "K", "content", entry.id);
  clears->clear_class("Task");
  EXPECT_TRUE(fs::exists(data / "file"));
  (void)publish_with_directory(runs, "K", "value", entry.id);
  runs->flush();
  EXPECT_EQ(runs.state("K"), RecordState::fresh);  // it is newer than the clear
  EXPECT_TRUE(fs::exists(data / "file"));
  clears->clear(key_of("K"));
  EXPECT_FALSE(fs::exists(data));
}

// It is asked before the clear is there, and before the index has what was made of it.
TEST(Overlap, WhatWasMadeOfTheClearedDoesNotAnswerBeforeItIsIndexed) {
  const TemporaryDirectory dir;
  TestStore runs(dir.path()), clears(dir.path());
  runs.publish("K", "value");
  runs.publish("other", "value");
  runs->flush();
  const std::vector<UpstreamSeen> seen = {runs.seen("K")}, others = {runs.seen("other")};
  clears->clear(key_of("K"));
  TestStore asks(dir.path());
  dynamic_cast<PackStore&>(*clears.store).shared().lock();  // nobody commits from here on
  runs.publish("D", "value", seen);
  runs.publish("E", "value", {runs.seen("D")});
  runs->make_readable(runs.publish("F", "value", others));
  EXPECT_EQ(asks.state("D"), RecordState::suspect);
  EXPECT_EQ(asks.state("E"), RecordState::suspect);
  EXPECT_EQ(asks.state("F"), RecordState::fresh);
  dynamic_cast<PackStore&>(*clears.store).shared().unlock();
}

}  // namespace
}  // namespace stook::detail
