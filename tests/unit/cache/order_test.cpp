// What comes before what: who is killed, or comes in between, finds one or the other and no
// mixture.
#include <unistd.h>

#include <fstream>
#include <thread>

#include "cache/bundle_export.h"
#include "cache/frame.h"
#include "cache/layout.h"
#include "cache/maintain.h"
#include "cache/pack_store.h"
#include "cache/shared_state.h"
#include "tests/unit/cache/calls.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

// A claim ends when others can read what was published, not before.
TEST(Order, AClaimOutlastsTheWriting) {
  const TemporaryDirectory dir;
  TestStore one(dir.path()), two(dir.path());
  for (int i = 0; i < 20; ++i) {
    const std::string name = "key" + std::to_string(i);
    Entry entry = one.entry(name), theirs = two.entry(name);
    ASSERT_EQ(one->claim(key_of(name), entry), Claim::acquired);
    one.publish(name, "value");
    EXPECT_NE(two->claim(key_of(name), theirs), Claim::acquired) << i;
  }
}

// Others are not sent to where nothing is yet.
TEST(Order, WhatIsReadableIsThere) {
  const TemporaryDirectory dir;
  TestStore one(dir.path()), two(dir.path());
  one->make_readable(one.publish("first", "value"));
  ASSERT_EQ(two.state("first"), RecordState::fresh);
  int written = 0;
  const AtCalls looks([&](const std::string& call, const std::string& path) {
    if (call != "pwrite" || !path.ends_with(".pack")) return;
    ++written;
    (void)two.state("first");
  });
  for (int i = 0; i < 20; ++i) {  // the background may be quicker
    const std::string name = "key" + std::to_string(i);
    one->make_readable(one.publish(name, "value"));
    EXPECT_EQ(two.state(name), RecordState::fresh) << i;
  }
  EXPECT_GT(written, 0);
}

// What one has seen cleared nobody sees again: who clears has committed and not told it yet.
TEST(Order, WhatIsClearedIsClearedForAll) {
  const TemporaryDirectory dir;
  TestStore clears(dir.path()), remembers(dir.path());
  clears.publish("key", "value");
  clears->flush();
  ASSERT_EQ(remembers.state("key"), RecordState::fresh);
  auto& store = dynamic_cast<PackStore&>(*clears.store);
  store.indexer().exclusively([&](Indexer::Transaction& transaction) {
    const auto row = transaction.ingest.rows.find(key_of("key"));
    ASSERT_TRUE(row);
    transaction.ingest.rows.clear(row->entry.id, Doubt::cleared, row->seq + 1);
    store.shared().announce_change();
  });
  EXPECT_EQ(remembers.state("key"), RecordState::missing);
}

// Whoever claims a key gets the id that it has, whatever other threads learn meanwhile.
TEST(Order, AClaimGivesTheIdThatIsThere) {
  const TemporaryDirectory dir;
  TestStore store(dir.path()), other(dir.path());
  const std::uint64_t id = store.publish("key", "value").id;
  other.publish("cleared", "value");
  store->flush();
  std::atomic<bool> over{false};
  std::thread changes([&] {
    for (int i = 0; i < 2'000; ++i) (void)other->clear(key_of("cleared"));
    over = true;
  });
  std::thread looks([&] {
    while (!over) (void)store.entry("another");
  });
  int wrong = 0;
  while (!over) {
    Entry entry;
    wrong += store->claim(key_of("key"), entry) == Claim::held || entry.id != id;
    store->release(key_of("key"));
  }
  changes.join();
  looks.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Order, AnIdThatWasShownIsKept) {
  const TemporaryDirectory dir;
  { TestStore first(dir.path()); }
  const fs::path told = dir.path() / "told";
  in_dying_process([&] {
    TestStore store(dir.path());
    store.publish("first", "value");  // what a pack begins with is written at once
    store->flush();
    (void)store->id_of(key_of("not shown"));
    const std::uint64_t id = store->id_of(key_of("shown"));
    store->expose_id(key_of("shown"), id, "Task");
    std::ofstream(told) << id;
    _exit(0);  // closing nothing
  });
  std::uint64_t id = 0;
  std::ifstream(told) >> id;
  TestStore store(dir.path());
  EXPECT_NE(store->id_of(key_of("another")), id);
  EXPECT_EQ(store->id_of(key_of("shown")), id);
}

// Two packs that no index has seen. The first speaks of a key that has no record; what it gets
// for an id must not be one that the second holds.
TEST(Order, IdsInTailsAreTakenBeforeOthersAreGiven) {
  const TemporaryDirectory dir, fresh;
  {
    TestStore store(dir.path());
    store.publish("down", "value", {{key_of("ghost"), digest_of("seen")}});
  }
  const std::uint64_t ghost = TestStore(dir.path()).entry("ghost").id;
  { TestStore empty(fresh.path()); }
  fs::copy_file(dir.path() / "packs" / "0001.pack", fresh.path() / "packs" / "0001.pack");
  // The second: the same cache's first record, of another key with the ghost's id.
  PackHeader header;
  header.salt = 9;
  std::vector<std::byte> bytes;
  encode_pack_header(header, bytes);
  Frame mark;  // what comes before it is brought in apart from what comes after it
  mark.kind = FrameKind::clear_key;
  mark.seq = 40;
  mark.key = key_of("nobody");
  encode_frame(mark, {}, {}, header.salt, bytes);
  Frame frame;
  frame.seq = 50;
  frame.key = key_of("other");
  frame.id = ghost;
  frame.class_name = "Task";
  frame.codec = "text";
  frame.digest = digest_of("");
  encode_frame(frame, {}, {}, header.salt, bytes);
  std::ofstream(fresh.path() / "packs" / "0002.pack", std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  TestStore store(fresh.path());
  EXPECT_EQ(store.entry("other").id, ghost);
  EXPECT_NE(store.entry("ghost").id, ghost);
  EXPECT_TRUE(store.warnings.empty()) << store.warnings.front();  // no conflict to be mended
}

// Neither is an id that another thread has given and publishes while an import begins: its row is
// not there yet.
TEST(Order, AnIdThatIsPublishedMeanwhileIsNotFree) {
  const TemporaryDirectory dir;
  StoreOptions options;
  options.durability_window = std::chrono::hours(1);
  TestStore store(dir.path(), options);
  const std::uint64_t id = store->id_of(key_of("given"));
  store.publish("before", "value");
  bool published = false;
  const AtCalls at([&](const std::string& call, const std::string& path) {
    if (call != "fdatasync" || !path.ends_with(".pack") || std::exchange(published, true)) return;
    EXPECT_EQ(store.publish("given", "value").id, id);
  });
  BundleIds ids(*store.store, 100);
  EXPECT_TRUE(published);
  EXPECT_FALSE(ids.take(id));
  EXPECT_TRUE(ids.take(100));
}

// Only damage can bring it about; two keys would share a task directory.
TEST(Order, AnIdBelongsToOneKey) {
  const TemporaryDirectory dir;
  { TestStore empty(dir.path()); }
  PackHeader header;
  header.salt = 9;
  std::vector<std::byte> bytes;
  encode_pack_header(header, bytes);
  for (const char* name : {"one", "two"}) {
    Frame frame;
    frame.seq = 50;
    frame.key = key_of(name);
    frame.id = 7;
    frame.class_name = "Task";
    frame.codec = "text";
    frame.digest = digest_of("");
    encode_frame(frame, {}, {}, header.salt, bytes);
  }
  std::ofstream(dir.path() / "packs" / "0001.pack", std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  fs::remove(dir.path() / "index.sqlite");
  TestStore store(dir.path());
  EXPECT_NE(store.entry("one").id, store.entry("two").id);
}

// What a living process is writing right now looks torn to whoever makes the index anew.
TEST(Order, WhatIsBeingWrittenIsNotDamage) {
  const TemporaryDirectory dir;
  TestStore one(dir.path()), two(dir.path());
  one->make_readable(one.publish("a", "value of a"));
  std::ofstream(dir.path() / "packs" / "0001.pack", std::ios::binary | std::ios::app)
      << "STKR, half of a record";
  reindex(*two.store);
  EXPECT_TRUE(two.warnings.empty()) << two.warnings[0];
  one->make_readable(one.publish("b", std::string(100'000, 'b')));  // over what was torn
  two->flush();
  EXPECT_EQ(two.state("b"), RecordState::fresh);
  two.store.reset();
  one.store.reset();
  EXPECT_EQ(TestStore(dir.path()).value("b"), std::string(100'000, 'b'));
}

TEST(Order, WhatOthersUsedTodayIsNotEvicted) {
  const TemporaryDirectory dir;
  { TestStore(dir.path()).publish("a", std::string(10'000, 'a')); }
  CollectOptions options;
  options.max_bytes = 0;
  TestStore one(dir.path());
  {
    TestStore two(dir.path());
    EXPECT_EQ(two.state("a"), RecordState::fresh);
    EXPECT_EQ(collect(*one.store, options).evicted, 0u);
  }
  EXPECT_EQ(collect(*one.store, options).evicted, 1u);
}

TEST(Order, ThreadsOfOneStoreTakeTurns) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      try {
        for (int i = 0; i < 100; ++i) {
          const std::string name = std::to_string(t) + " " + std::to_string(i);
          store.publish(name, "value");
          store->clear(key_of(name));
          if (store.state(name) != RecordState::missing) ++failures;
        }
      } catch (const std::exception&) { ++failures; }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

// A record is written, another process clears its key, a third thread of the first one hears of
// that, and only then is the record entered. A large one takes long to write: the clear finds room.
void clear_while_written(const std::function<void(TestStore&, const std::string&)>& clear) {
  const TemporaryDirectory dir;
  TestStore one(dir.path()), two(dir.path());
  const std::string arguments(8 << 20, 'a');
  for (int round = 0; round < 15; ++round) {
    const std::string name = "key" + std::to_string(round);
    one.publish(round % 3 == 0 ? "another key" : name, "value");  // so that it is new now and then
    one->flush();
    std::atomic<int> ready{0};
    std::atomic<bool> done{false};
    std::thread clearing([&] {
      for (++ready; ready < 3;) {}
      const auto later = std::chrono::steady_clock::now() + std::chrono::microseconds(500 * round);
      while (std::chrono::steady_clock::now() < later) {}
      clear(two, name);
    });
    std::thread looking([&] {
      for (++ready; !done;) (void)one.entry("another");
    });
    const ByteSpan piece = bytes_of("another value");
    Publication p;
    p.key = key_of(name);
    p.id = one->id_of(p.key);
    p.class_name = "Task";
    p.arguments = arguments;
    p.digest = digest_of("another value");
    p.codec = "text";
    p.value = {&piece, 1};
    for (++ready; ready < 3;) {}
    one->publish(p);
    clearing.join();
    done = true;
    looking.join();
    const RecordState before = one.state(name);
    two->flush();  // it brings in what the other has written
    one->flush();
    TestStore three(dir.path());
    ASSERT_EQ(before, three.state(name)) << round;
    ASSERT_EQ(one.state(name), three.state(name)) << round;
    ASSERT_EQ(two.state(name), three.state(name)) << round;
  }
}

TEST(Order, ARecordThatWasClearedWhileItWasWrittenIsNoAnswer) {
  clear_while_written([](TestStore& two, const std::string& name) { two->clear(key_of(name)); });
}

TEST(Order, ARecordWhoseClassWasClearedWhileItWasWrittenIsNoAnswer) {
  clear_while_written([](TestStore& two, const std::string&) { two->clear_class("Task"); });
}

// A sync that failed has dropped what it was to save: another one alone would not bring it back.
TEST(Order, WhatIsMadeDurableIsWrittenAgainFirst) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  store.publish("first", "value");
  Publication p;
  p.key = key_of("key");
  p.id = store->id_of(p.key);
  p.class_name = "Task";
  p.digest = digest_of("value");
  p.codec = "text";
  p.durable = true;
  failing_syncs = 1;
  EXPECT_THROW((void)store->publish(p), AcceptedError);
  std::vector<std::string> calls;
  const AtCalls at([&](const std::string& call, const std::string& path) {
    if (path.ends_with(".pack")) calls.push_back(call);
  });
  store->make_durable(store.entry("key"));
  ASSERT_GE(calls.size(), 2u);
  EXPECT_EQ(calls[calls.size() - 2], "pwrite");
  EXPECT_EQ(calls.back(), "fdatasync");
}

// A record that is found in a tail is overtaken meanwhile: what was known before it is no answer.
class OvertakenInTail : public testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  static void judge(const std::function<void(TestStore&)>& overtake) {
    const TemporaryDirectory dir;
    const auto publish = [](TestStore& writes) {
      writes->make_readable(writes.publish("key", "new"));
    };
    Another writes(dir.path(), {[](TestStore& other) {
                                  other.publish("key", "old");
                                  other->flush();
                                },
                                publish, overtake});
    writes.step();
    TestStore reads(dir.path());
    ASSERT_EQ(reads.entry("key").digest, digest_of("old"));
    writes.step();
    const auto [awaited, file] = GetParam();
    bool overtaken = false;
    const AtCalls meanwhile([&, awaited = std::string(awaited), file = file](
                                const std::string& call, const std::string& path) {
      if (overtaken || call != awaited || !path.ends_with(file)) return;
      overtaken = true;
      writes.step();
    });
    EXPECT_NE(reads.entry("key").digest, digest_of("old"));
    EXPECT_TRUE(overtaken);
  }
};

TEST_P(OvertakenInTail, ByAClear) {
  judge([](TestStore& writes) { writes->clear(key_of("key")); });
}

TEST_P(OvertakenInTail, ByAClearOfItsClass) {
  judge([](TestStore& writes) { writes->clear_class("Task"); });
}

TEST_P(OvertakenInTail, ByAPublication) {
  judge([](TestStore& writes) {
    writes.publish("key", "newest");
    writes->flush();
  });
}

// When its bytes are read, and when a moment of the index is chosen.
INSTANTIATE_TEST_SUITE_P(Order, OvertakenInTail,
                         testing::Values(std::pair("pread", ".pack"),
                                         std::pair("fcntl64", ".sqlite-shm")));

// What was cleared before others could read it is brought in by one of them: nobody there sees it.
TEST(Order, WhatWasOvertakenIsNotSeenWhileItIsBroughtIn) {
  const TemporaryDirectory dir;
  TestStore writes(dir.path()), clears(dir.path()), reads(dir.path());
  const auto name = [](int i) { return "key" + std::to_string(i); };
  writes.publish("first", "value");
  for (int i = 0; i < 100; i += 2) writes.publish(name(i), "value");  // others are new
  writes->flush();
  Entry last;
  for (int i = 0; i < 100; ++i) last = writes.publish(name(i), "another value");
  {
    const AtCalls between([&](const std::string& call, const std::string& path) {
      if (call == "pwrite" && path.ends_with(".pack")) clears->clear_class("Task");
    });
    writes->make_readable(last);
  }
  ASSERT_EQ(reads.state("first"), RecordState::missing);  // it has heard of all that
  int looks = 0, seen = 0;
  const AtCalls while_it_works([&](const std::string& call, const std::string&) {
    if (call == "pread64") seen += reads.state(name(looks++)) == RecordState::fresh;
  });
  reads->flush();
  EXPECT_GT(looks, 0);
  EXPECT_EQ(seen, 0);
}

// What only a tail has is dropped and read again whenever states change: other threads see it all
// the time.
TEST(Order, WhatIsReadAgainIsThereMeanwhile) {
  const TemporaryDirectory dir;
  TestStore looks(dir.path());
  in_dying_process([&] {
    TestStore writes(dir.path());
    for (int i = 0; i < 50; ++i) {
      writes->make_readable(writes.publish("key", std::to_string(i)));
    }
    _exit(0);  // closing nothing: the index has none of it
  });
  const Digest last = looks.entry("key").digest;
  ASSERT_EQ(last, digest_of("49"));
  std::atomic<int> wrong{0};
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!over) wrong += looks.entry("key").digest != last;
    });
  }
  for (int i = 0; i < 1'000; ++i) {
    dynamic_cast<PackStore&>(*looks.store).shared().announce_change();
    wrong += looks.entry("key").digest != last;
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// The index cannot know of the key yet, nor can who clears.
TEST(Order, AClearOfAClassReachesWhatIsNotYetWritten) {
  const TemporaryDirectory dir;
  TestStore one(dir.path()), two(dir.path());
  one.publish("first", "value");
  one->flush();
  for (int i = 0; i < 20; ++i) {
    const std::string name = "key" + std::to_string(i);
    const std::uint64_t id = one.publish(name, "value").id;
    two->clear_class("Task");
    ASSERT_EQ(one.state(name), RecordState::missing) << i;
    EXPECT_EQ(one.entry(name).doubt, Doubt::cleared);
    EXPECT_EQ(one->id_of(key_of(name)), id);
    one->flush();
    ASSERT_EQ(one.state(name), RecordState::missing) << i;
    EXPECT_EQ(two.entry(name).doubt, Doubt::cleared);
    EXPECT_EQ(two->id_of(key_of(name)), id);
  }
}

// Of several who make a cache at once the first one's number is everybody's.
TEST(Order, ACacheIsMadeOnce) {
  for (int round = 0; round < 30; ++round) {
    const TemporaryDirectory dir;
    std::vector<std::uint32_t> numbers(8);
    std::vector<std::thread> threads;
    std::atomic<int> ready{0};
    for (std::uint32_t& number : numbers) {
      threads.emplace_back([&] {
        ++ready;
        while (ready < 8) std::this_thread::yield();
        number = open_layout(dir.path(), "test").number;
      });
    }
    for (std::thread& thread : threads) thread.join();
    const std::uint32_t lasting = open_layout(dir.path(), "test").number;
    for (const std::uint32_t number : numbers) ASSERT_EQ(number, lasting) << round;
  }
}

// Another thread asks when the clear is about to reach the index.
TEST(Change, WhatIsClearedIsNotSeenAgainBeforeTheCommit) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  store.publish("key", "value");
  store.publish("down", "value", {store.seen("key")});
  store->flush();
  ASSERT_EQ(store.state("key"), RecordState::fresh);
  int asked = 0;
  {
    const AtCalls at([&](const std::string& call, const std::string& path) {
      if (!call.starts_with("pwrite") || !path.ends_with("-wal")) return;
      std::thread([&] {
        ++asked;
        EXPECT_EQ(store.state("key"), RecordState::missing);
        EXPECT_EQ(store.state("down"), RecordState::suspect);
      }).join();
    });
    (void)store->clear(key_of("key"));
  }
  EXPECT_GT(asked, 0);
  EXPECT_EQ(store.state("key"), RecordState::missing);
  store.publish("key", "another value");
  EXPECT_EQ(store.state("key"), RecordState::fresh);
  EXPECT_EQ(store.state("down"), RecordState::suspect);
}

// A synced record may have the same object, under the name that the new one takes.
TEST(Order, AnObjectIsSyncedBeforeItTakesTheNameOfAnother) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  const std::string large(3 << 20, 'x');
  store.publish("first", large);
  store->sync();
  std::vector<std::string> calls;
  {
    const AtCalls at([&](const std::string& call, const std::string& path) {
      if (fs::path(path).filename().string().starts_with("new-")) calls.push_back(call);
    });
    store.publish("second", large);
  }
  EXPECT_EQ(calls, (std::vector<std::string>{"fdatasync", "rename"}));
}

}  // namespace
}  // namespace stook::detail
