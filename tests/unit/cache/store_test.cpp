// Publishing, looking up, reading back, reopening: what a Store does on a good day.
#include <random>

#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

TEST(Store, AnswersNothingWhenEmpty) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  const Entry entry = store.entry("a");
  EXPECT_EQ(entry.state, RecordState::missing);
  EXPECT_EQ(entry.doubt, Doubt::never_ran);
  EXPECT_EQ(entry.id, 0u);
  EXPECT_TRUE(store.warnings.empty());
}

TEST(Store, ReadsBackWhatItPublished) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  const Entry published = store.publish("a", "value of a");
  EXPECT_EQ(published.state, RecordState::fresh);
  EXPECT_EQ(store.value("a"), "value of a");
  store->flush();
  EXPECT_EQ(store.value("a"), "value of a");
  const auto record = store->read_record(store.entry("a"));
  ASSERT_TRUE(record) << record.reason();
  EXPECT_EQ(record->class_name, "Task");
  EXPECT_EQ(record->arguments, "a");
  EXPECT_EQ(record->key, key_of("a"));
  EXPECT_EQ(record->raw_bytes, 10u);
  EXPECT_EQ(record->process, static_cast<std::uint64_t>(getpid()));
}

TEST(Store, RemembersAfterReopening) {
  const TemporaryDirectory dir;
  std::uint64_t id = 0;
  {
    TestStore store(dir.path());
    id = store.publish("a", "value of a").id;
  }
  TestStore store(dir.path());
  EXPECT_EQ(store.state("a"), RecordState::fresh);
  EXPECT_EQ(store.entry("a").id, id);
  EXPECT_EQ(store.value("a"), "value of a");
  EXPECT_TRUE(store.warnings.empty());
}

TEST(Store, ValuesOfEverySizeComeBack) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  std::mt19937_64 random(1);
  for (const std::size_t size :
       {0, 1, 255, 256, 257, 5000, 70000, 1 << 20, (1 << 20) + 1, 5 << 20}) {
    std::string same(size, 'x');
    std::string noise(size, ' ');
    for (char& c : noise) c = static_cast<char>(random());
    const std::string name = std::to_string(size);
    store.publish("same" + name, same);
    store.publish("noise" + name, noise);
    EXPECT_TRUE(store.value("same" + name) == same) << size << store.why;
    EXPECT_TRUE(store.value("noise" + name) == noise) << size << store.why;
  }
  EXPECT_TRUE(store.warnings.empty());
}

TEST(Store, ValueInPiecesIsOneValue) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  for (const std::size_t size : {10, 1000, 3'000'000}) {
    const std::string first(size, 'a'), second(size / 2, 'b');
    const ByteSpan pieces[] = {bytes_of(first), {}, bytes_of(second)};
    Publication p;
    const std::string name = "pieces" + std::to_string(size);
    p.key = key_of(name);
    p.id = store->id_of(p.key);
    p.class_name = "Task";
    p.codec = "text";
    p.digest = digest_of(name);
    p.value = pieces;
    store->publish(p);
    EXPECT_TRUE(store.value(name) == first + second);
  }
}

TEST(Store, AnotherCodecIsAMiss) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  store.publish("a", "value");
  EXPECT_FALSE(store->read_value(store.entry("a"), "f64"));
}

TEST(Store, IdsAreStableAndNeverGivenTwice) {
  const TemporaryDirectory dir;
  std::uint64_t a = 0, b = 0;
  {
    TestStore store(dir.path());
    a = store->id_of(key_of("a"));
    EXPECT_EQ(a, store->id_of(key_of("a")));
    store->expose_id(key_of("a"), a, "Task");
    b = store->id_of(key_of("b"));
    EXPECT_NE(a, b);
  }
  TestStore store(dir.path());
  const std::uint64_t c = store->id_of(key_of("c"));
  EXPECT_NE(c, a);
  EXPECT_NE(c, b);
  EXPECT_EQ(store->id_of(key_of("a")), a);
  EXPECT_EQ(store.state("a"), RecordState::missing);
}

TEST(Store, TransientsAndExternalsKeepNoValue) {
  const TemporaryDirectory dir;
  for (int round = 0; round < 2; ++round) {
    TestStore store(dir.path());
    if (round == 0) {
      store.publish("t", "digest", {}, "Task", 0, RecordKind::transient);
      store.publish("x", "content", {}, "stook::File", 0, RecordKind::external);
    }
    EXPECT_EQ(store.state("t"), RecordState::missing);
    EXPECT_EQ(store.entry("t").doubt, Doubt::not_kept);
    EXPECT_EQ(store.entry("t").digest, digest_of("digest"));
    EXPECT_EQ(store.state("x"), RecordState::fresh);
    EXPECT_FALSE(store->read_value(store.entry("x"), "text"));
    const auto externals = store->externals();
    ASSERT_EQ(externals.size(), 1u);
    EXPECT_EQ(externals[0].class_name, "stook::File");
    EXPECT_EQ(externals[0].arguments, "x");
    EXPECT_EQ(externals[0].fingerprint, "text");
    EXPECT_EQ(externals[0].digest, digest_of("content"));
  }
}

TEST(Store, HistoryAndForEachGoByClass) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  store.publish("a", "1", {}, "One");
  store.publish("b", "2", {}, "Two");
  store.publish("c", "3", {}, "Two");
  store.publish("a", "1", {}, "One");
  std::map<std::string, ClassHistory> by_name;
  for (auto& h : store->history()) by_name[h.name] = h;
  EXPECT_EQ(by_name["One"].records, 2u);
  EXPECT_EQ(by_name["Two"].records, 2u);
  EXPECT_NEAR(by_name["Two"].seconds, 3.0, 1e-6);
  const auto count = [&](std::string_view pattern) {
    std::size_t n = 0;
    store->for_each(pattern, [&](const Key&, const Entry&) { return ++n, true; });
    return n;
  };
  EXPECT_EQ(count(""), 3u);
  EXPECT_EQ(count("Tw*"), 2u);
  EXPECT_EQ(count("None"), 0u);
  std::size_t stopped = 0;
  store->for_each("", [&](const Key&, const Entry&) { return ++stopped, false; });
  EXPECT_EQ(stopped, 1u);
}

TEST(Store, ARecordMayHaveVeryManyUpstreams) {
  constexpr std::size_t kCount = 1'000'000;
  const TemporaryDirectory dir;
  std::vector<UpstreamSeen> upstream(kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    upstream[i] = {Key{hash_bytes(&i, sizeof i)}, digest_of("seen")};
  }
  TestStore store(dir.path());
  store.publish("wide", "value", upstream);
  EXPECT_EQ(store.value("wide"), "value");
  const auto record = store->read_record(store.entry("wide"));
  ASSERT_TRUE(record) << record.reason();
  EXPECT_EQ(record->upstream.size(), kCount);
  EXPECT_EQ(record->upstream.back().key, upstream.back().key);
  store->flush();
  EXPECT_EQ(store.state("wide"), RecordState::suspect) << "nobody has heard of its upstreams";
}

TEST(Store, AHundredThousandSurviveReopening) {
  const TemporaryDirectory dir;
  constexpr int kCount = 100'000;
  {
    TestStore store(dir.path());
    for (int i = 0; i < kCount; ++i) {
      const std::string name = "k" + std::to_string(i);
      std::vector<UpstreamSeen> upstream;
      if (i > 0) upstream.push_back(store.seen("k" + std::to_string(i - 1)));
      store.publish(name, name, upstream);
    }
  }
  TestStore store(dir.path());
  std::vector<Key> keys;
  for (int i = 0; i < kCount; ++i) keys.push_back(key_of("k" + std::to_string(i)));
  std::vector<Entry> entries(keys.size());
  store->lookup(keys, entries);
  for (int i = 0; i < kCount; ++i) {
    ASSERT_EQ(entries[i].state, RecordState::fresh) << i;
    ASSERT_EQ(entries[i].digest, digest_of("k" + std::to_string(i)));
  }
  EXPECT_EQ(store.value("k99999"), "k99999");
  EXPECT_TRUE(store.warnings.empty());
}

// A child that was forked and ends as programs do destroys what it has of the parent's.
TEST(Forked, EndingLeavesTheParentAlone) {
  const TemporaryDirectory dir;
  TestStore store(dir.path()), other(dir.path());
  store.publish("first", "value");
  store->flush();
  Entry entry, theirs;
  ASSERT_EQ(store->claim(key_of("second"), entry), Claim::acquired);
  in_dying_process([&] { store.store.reset(); });
  EXPECT_EQ(other->claim(key_of("second"), theirs), Claim::held);
  store.publish("second", "value");
  store->flush();
  EXPECT_EQ(other.value("second"), "value") << other.why;
  EXPECT_TRUE(store.warnings.empty());
}

}  // namespace
}  // namespace stook::detail
