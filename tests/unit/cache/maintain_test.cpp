// Looking after a cache; and that the fake in memory behaves as the real one does.
#include "cache/maintain.h"

#include <fstream>
#include <random>

#include "tests/support/memory_store.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

std::string noise(std::size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string text(size, ' ');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

TEST(Maintain, ReindexOfAnOpenStoreChangesNothing) {
  const TemporaryDirectory dir;
  TestStore store(dir.path()), other(dir.path());
  store.publish("a", "a1");
  store.publish("b", "b1", {store.seen("a")});
  other.publish("c", "c1", {other.seen("a")});
  other->flush();
  store->clear(key_of("a"));
  store.publish("a", "a1");
  reindex(*store.store);
  store.publish("d", "d1", {store.seen("c")});
  for (TestStore* each : {&store, &other}) {
    EXPECT_EQ(each->state("a"), RecordState::fresh);
    EXPECT_EQ(each->value("b"), "b1");
    EXPECT_EQ(each->value("c"), "c1");
  }
  EXPECT_TRUE(store.warnings.empty());
}

TEST(Maintain, StatsCountWhatIsThere) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  store.publish("a", "a1", {}, "A");
  store.publish("b", noise(2 << 20, 1), {store.seen("a")}, "B");
  store->clear(key_of("a"));
  const CacheStats now = stats(*store.store);
  EXPECT_EQ(now.records, 2u);
  EXPECT_EQ(now.fresh, 0u);
  EXPECT_EQ(now.suspect, 1u);
  EXPECT_GT(now.by_class.at("B").bytes, 2u << 20);
  EXPECT_GT(now.bytes, 2u << 20);
  EXPECT_EQ(now.by_class.at("A").records, 0u);
  EXPECT_EQ(now.by_class.at("A").executions, 1u);
}

TEST(Maintain, VerifyFindsAndRepairs) {
  const TemporaryDirectory dir;
  {
    TestStore store(dir.path());
    store.publish("a", noise(2 << 20, 1));
    store.publish("b", noise(500, 2));
    store.publish("c", "c");
    EXPECT_TRUE(verify(*store.store).good());
  }
  for (const auto& entry : fs::recursive_directory_iterator(dir.path() / "objects")) {
    if (entry.is_regular_file()) fs::resize_file(entry.path(), 17);
  }
  TestStore store(dir.path());
  const VerifyReport report = verify(*store.store, true);
  EXPECT_EQ(report.defects.size(), 1u);
  EXPECT_EQ(report.rows, 3u);
  EXPECT_EQ(store.state("a"), RecordState::missing);
  EXPECT_EQ(store.value("c"), "c");
  EXPECT_TRUE(verify(*store.store).good());
}

TEST(Maintain, CollectEvictsAndRewrites) {
  const TemporaryDirectory dir;
  {
    TestStore store(dir.path());
    for (int i = 0; i < 20; ++i) store.publish("k" + std::to_string(i), noise(10'000, i));
    store.publish("large", noise(3 << 20, 99));
    store.publish("end", "made of k0", {store.seen("k0")}, "Kept");
  }
  {
    TestStore store(dir.path());
    EXPECT_EQ(collect(*store.store).evicted, 0u);
    CollectOptions options;
    options.max_bytes = 0;
    options.keep_classes = {"Kept"};
    options.dry_run = true;
    EXPECT_EQ(collect(*store.store, options).evicted, 21u);
    EXPECT_EQ(store.state("k0"), RecordState::fresh);
    options.dry_run = false;
    const CollectReport report = collect(*store.store, options);
    EXPECT_EQ(report.evicted, 21u);
    EXPECT_EQ(report.packs_rewritten, 1u);
    EXPECT_EQ(report.objects_removed, 1u);
    EXPECT_LT(report.bytes_after, 20'000u);
    EXPECT_GT(report.bytes_before, 3u << 20);
  }
  for (int round = 0; round < 2; ++round) {
    TestStore store(dir.path());
    EXPECT_EQ(store.state("k0"), RecordState::missing);
    EXPECT_EQ(store.entry("k0").doubt, Doubt::not_kept);
    EXPECT_EQ(store.state("end"), RecordState::fresh);
    EXPECT_EQ(store.value("end"), "made of k0");
    EXPECT_TRUE(verify(*store.store).good());
    EXPECT_TRUE(store.warnings.empty());
    store.store.reset();
    fs::remove(dir.path() / "index.sqlite");  // the second time it is derived from the packs
  }
}

TEST(Maintain, CollectDropsWhatWasReplacedAndCleared) {
  const TemporaryDirectory dir;
  std::uint64_t id = 0;
  {
    TestStore store(dir.path());
    for (int i = 0; i < 50; ++i) store.publish("a", noise(10'000, i));
    id = store.publish("b", noise(10'000, 1)).id;
    store->clear(key_of("b"));
  }
  TestStore store(dir.path());
  TestStore reader(dir.path());
  const Entry before = reader.entry("a");
  EXPECT_LT(collect(*store.store).bytes_after, 12'000u);
  EXPECT_TRUE(reader->read_value(before, "text")) << "the old pack stays while others read";
  EXPECT_EQ(store.value("a"), noise(10'000, 49));
  EXPECT_EQ(reader.value("a"), noise(10'000, 49));
  reindex(*store.store);
  EXPECT_EQ(store.state("b"), RecordState::missing);
  EXPECT_EQ(store.entry("b").id, id);
  EXPECT_EQ(store.value("a"), noise(10'000, 49));
  reader.store.reset();
  store.store.reset();
  TestStore again(dir.path());
  EXPECT_EQ(again.value("a"), noise(10'000, 49));
}

// What is fresh was made of what is there now, all the way up.
void expect_consistent(TestStore& store, int keys) {
  for (int i = 0; i < keys; ++i) {
    const std::string name = "k" + std::to_string(i);
    if (store.state(name) != RecordState::fresh) continue;
    const auto record = store->read_record(store.entry(name));
    ASSERT_TRUE(record) << record.reason();
    for (const UpstreamSeen& seen : record->upstream) {
      Entry up;
      store->lookup({&seen.key, 1}, {&up, 1});
      EXPECT_EQ(up.digest, seen.digest);
      EXPECT_TRUE(up.state == RecordState::fresh || up.doubt == Doubt::not_kept);
    }
  }
}

// Random publications, clears and confirmations: real and fake must agree on every state where the
// index is brought up to date after each; where many go in one batch, what is fresh is consistent.
class Agreement : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Batches, Agreement, testing::Bool());

TEST_P(Agreement, TheFakeAgreesWithTheRealOne) {
  constexpr int kKeys = 12;
  const bool batches = GetParam();
  for (unsigned seed = 1; seed <= 10; ++seed) {
    const TemporaryDirectory dir;
    TestStore real(dir.path());
    TestStore fake(std::make_unique<MemoryStore>());
    std::mt19937 random(seed);
    const auto name = [](unsigned i) { return "k" + std::to_string(i); };
    for (int step = 0; step < 120; ++step) {
      const unsigned k = random() % kKeys;
      const Key key = key_of(name(k));
      const std::string type = "Class" + std::to_string(k % 3);
      const unsigned what = random() % 10;
      if (what < 6) {
        std::vector<unsigned> ups;
        for (unsigned u = 0; u < k; ++u) {
          if (random() % 3 == 0) ups.push_back(u);
        }
        const std::string value = "v" + std::to_string(random() % 2);
        const RecordKind kind = k % 5 == 4 ? RecordKind::transient : RecordKind::result;
        for (TestStore* store : {&real, &fake}) {
          std::vector<UpstreamSeen> seen;
          for (const unsigned u : ups) seen.push_back(store->seen(name(u)));
          store->publish(name(k), value, seen, type, 0, kind);
        }
      } else if (what < 8) {
        for (TestStore* store : {&real, &fake}) (*store)->confirm({&key, 1});
      } else {
        const Invalidated a = what == 8 ? real->clear(key) : real->clear_class(type);
        const Invalidated b = what == 8 ? fake->clear(key) : fake->clear_class(type);
        if (!batches) {
          EXPECT_EQ(a.removed, b.removed) << seed << ' ' << step;
          EXPECT_EQ(a.suspected, b.suspected) << seed << ' ' << step;
        }
      }
      if (batches && random() % 4 != 0) continue;
      real->flush();
      expect_consistent(real, kKeys);
      if (batches) continue;
      for (unsigned i = 0; i < kKeys; ++i) {
        const Entry a = real.entry(name(i)), b = fake.entry(name(i));
        ASSERT_EQ(static_cast<int>(a.state), static_cast<int>(b.state))
            << seed << ' ' << step << ' ' << i;
        if (a.pack != 0) { ASSERT_EQ(a.digest, b.digest) << seed << ' ' << step; }
      }
    }
  }
}

}  // namespace
}  // namespace stook::detail
