// Whatever happens to the files: a miss or the right value, never an exception, never a wrong one.
#include <fcntl.h>

#include <fstream>

#include "cache/database.h"
#include "cache/frame.h"
#include "cache/page_check.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

const std::map<std::string, std::string> kValues = {
    {"a", "value of a"}, {"b", std::string(700, 'b') + "end"}, {"c", ""}, {"d", "dd"}};

void publish_some(const fs::path& path) {
  TestStore store(path);
  for (const auto& [name, value] : kValues) store.publish(name, value);
  store.publish("e", "made of a", {store.seen("a")});
}

fs::path only_pack(const fs::path& dir) {
  for (const auto& entry : fs::directory_iterator(dir / "packs")) return entry.path();
  return {};
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// How many values come back; each that does is right.
int right_values(TestStore& store) {
  int count = 0;
  for (const auto& [name, value] : kValues) {
    if (store.state(name) != RecordState::fresh) continue;
    store.why.clear();
    const std::string got = store.value(name);
    if (!store.why.empty()) continue;
    EXPECT_EQ(got, value);
    ++count;
  }
  return count;
}

TEST(Damage, EveryFlippedByteOfAPack) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  const fs::path pack = only_pack(dir.path());
  const std::string good = read_file(pack);
  ASSERT_LT(good.size(), 3000u);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
    write_file(pack, bad);
    TestStore store(dir.path());
    // Of five frames one is hit; in the file header all are lost.
    EXPECT_GE(right_values(store), at < 100 ? 0 : 3) << at;
  }
}

TEST(Damage, EveryFlippedByteOfAPackWithoutAnIndex) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  const fs::path pack = only_pack(dir.path());
  const std::string good = read_file(pack);
  for (std::size_t at = 0; at < good.size(); at += 3) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
    write_file(pack, bad);
    fs::remove(dir.path() / "index.sqlite");
    TestStore store(dir.path());
    EXPECT_GE(right_values(store), at < 100 ? 0 : 3) << at;
    EXPECT_FALSE(store.warnings.empty());
    if (store.state("a") == RecordState::missing) {
      EXPECT_NE(store.state("e"), RecordState::fresh) << at;
    }
  }
}

TEST(Damage, EveryLengthOfATornTail) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  const fs::path pack = only_pack(dir.path());
  const std::string good = read_file(pack);
  int before = -1;
  for (std::size_t size = 0; size < good.size(); size += 7) {
    write_file(pack, good.substr(0, size));
    fs::remove(dir.path() / "index.sqlite");
    TestStore store(dir.path());
    const int now = right_values(store);
    EXPECT_GE(now, before);
    before = now;
  }
}

TEST(Damage, UnindexedTailIsBroughtInByTheNextOne) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  const std::string pack = read_file(only_pack(dir.path()));
  // The same packs under an index that has seen none of them.
  const TemporaryDirectory fresh;
  { TestStore empty(fresh.path()); }
  write_file(fresh.path() / "packs" / "0007.pack", pack);
  TestStore store(fresh.path());
  EXPECT_EQ(right_values(store), 4);
  EXPECT_EQ(store.state("e"), RecordState::fresh);
  store.publish("f", "new");
  EXPECT_TRUE(fs::exists(fresh.path() / "packs" / "0008.pack"));
}

// Of a process that was killed before it wrote; its number is taken.
TEST(Damage, EmptyPackWithoutAnIndex) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  write_file(dir.path() / "packs" / "0002.pack", "");
  fs::remove(dir.path() / "index.sqlite");
  TestStore store(dir.path());
  store.publish("f", "new");
  EXPECT_EQ(store.value("f"), "new");
  EXPECT_EQ(right_values(store), 4);
}

TEST(Damage, MissingPackIsAMiss) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  fs::remove(only_pack(dir.path()));
  TestStore store(dir.path());
  EXPECT_EQ(right_values(store), 0);
  store.publish("a", "again");
  EXPECT_EQ(store.value("a"), "again");
}

TEST(Damage, ObjectsGoneTruncatedOrFlipped) {
  const TemporaryDirectory dir;
  const std::string large(3 << 20, 'L');
  TestStore store(dir.path());
  const auto object = [&] {
    for (const auto& entry : fs::recursive_directory_iterator(dir.path() / "objects")) {
      if (entry.is_regular_file()) return entry.path();
    }
    return fs::path();
  };
  store.publish("large", large);
  const std::string good = read_file(object());
  const fs::path path = object();
  std::string bad = good;
  bad[bad.size() / 2] ^= 4;
  for (const std::string& bytes :
       {bad, good.substr(0, good.size() - 1), std::string(), good + "x"}) {
    write_file(path, bytes);
    EXPECT_EQ(store.value("large"), "");
    EXPECT_NE(store.why.find("object"), std::string::npos);
  }
  fs::remove(path);
  EXPECT_EQ(store.value("large"), "");
  store.publish("large", large);
  EXPECT_TRUE(store.value("large") == large);
}

TEST(Damage, IndexThatIsNotADatabaseIsRebuilt) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  write_file(dir.path() / "index.sqlite", std::string(20'000, 'x'));
  TestStore store(dir.path());
  EXPECT_EQ(right_values(store), 4);
  EXPECT_FALSE(store.warnings.empty());
}

TEST(Damage, EveryPageOfTheIndexOverwritten) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  const std::string good = read_file(dir.path() / "index.sqlite");
  for (std::size_t page = 0; page < good.size(); page += 4096) {
    std::string bad = good;
    for (std::size_t i = page; i < page + 4096; ++i) bad[i] = static_cast<char>(i * 31);
    fs::remove(dir.path() / "index.sqlite-wal");
    fs::remove(dir.path() / "index.sqlite-shm");
    write_file(dir.path() / "index.sqlite", bad);
    {
      TestStore store(dir.path());
      right_values(store);
    }
    // It may have taken one opening to find out; then it is whole again.
    TestStore store(dir.path());
    right_values(store);
  }
}

// Nothing is synced while an index is made, and none is used of which a table is not there: nobody
// is to meet that in the middle of his run.
TEST(Damage, AnIndexOfWhichAPageNeverCameIsMadeAnew) {
  for (const std::string table : {"records", "keys", "edges", "externals", "classes", "packs"}) {
    SCOPED_TRACE(table);
    const TemporaryDirectory dir;
    { TestStore(dir.path()).publish("key", "value"); }
    const auto index = dir.path() / "index.sqlite";
    std::int64_t page = 0;
    {
      Database database(index, Database::Mode::write);
      const std::string sql = "SELECT rootpage FROM sqlite_schema WHERE name='" + table + "'";
      page = database.query_integer(sql.c_str());
    }
    std::fstream file(index, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp((page - 1) * kPageBytes) << std::string(kPageBytes, '\0') << std::flush;
    TestStore store(dir.path());
    EXPECT_NO_THROW((void)store->externals());
    EXPECT_EQ(store.value("key"), "value");
  }
}

TEST(Damage, HostilePacksAreRefused) {
  PackHeader header;
  header.salt = 42;
  std::vector<std::byte> pack;
  encode_pack_header(header, pack);
  const std::size_t start = pack.size();
  Frame frame;
  frame.raw_bytes = frame.stored_bytes = 3;
  const ByteSpan value = bytes_of("abc");
  encode_frame(frame, {}, {&value, 1}, 42, pack);
  const auto bytes = ByteSpan(pack).subspan(start);
  ASSERT_TRUE(decode_frame(bytes, 42));
  EXPECT_FALSE(decode_frame(bytes, 43));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_frame(bytes.first(size), 42));
  }
  // Lengths of every size, whatever their checksum: nothing is read or allocated beyond the buffer.
  for (const std::size_t at : {4, 5, 6, 8, 12, 16, 24, 124}) {
    for (const int byte : {0, 1, 0x7f, 0x80, 0xff}) {
      std::vector<std::byte> hostile(bytes.begin(), bytes.end());
      for (std::size_t i = at; i < std::min<std::size_t>(at + 8, 128); ++i) {
        hostile[i] = static_cast<std::byte>(byte);
        (void)decode_frame(hostile, 42);
        const auto length = frame_length(hostile);
        if (length) { EXPECT_LE(*length, std::uint64_t{1} << 33); }
      }
    }
  }
}

TEST(Damage, AZstdBombIsRefused) {
  Frame frame;
  frame.in_object = true;
  frame.stored_bytes = 100;
  frame.raw_bytes = kMostRaw;
  std::vector<std::byte> bytes;
  encode_frame(frame, {}, {}, 1, bytes);
  EXPECT_FALSE(decode_frame(bytes, 1));
}

TEST(Damage, WhatCannotBeACacheIsRefused) {
  const TemporaryDirectory dir;
  fs::create_directories(dir.path());
  write_file(dir.path() / "file", "x");
  EXPECT_THROW((void)open_store(dir.path() / "file"), CacheError);
  fs::create_directory_symlink(dir.path(), dir.path() / "link");
  EXPECT_THROW((void)open_store(dir.path() / "link"), CacheError);
  { TestStore store(dir.path() / "c"); }
  EXPECT_EQ(fs::status(dir.path() / "c").permissions(), fs::perms::owner_all);
  write_file(dir.path() / "c" / "FORMAT", "stook cache 99, created by tomorrow\n");
  try {
    (void)open_store(dir.path() / "c");
    FAIL();
  } catch (const CacheError& error) {
    EXPECT_NE(std::string(error.what()).find("stook cache 99"), std::string::npos);
  }
}

}  // namespace
}  // namespace stook::detail
