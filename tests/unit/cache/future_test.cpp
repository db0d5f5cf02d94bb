// What a later version of stook wrote is refused or missed, with a message that names both
// versions; and nothing of it is deleted, moved or written over.
#include <fcntl.h>

#include <fstream>

#include "cache/bundle.h"
#include "cache/database.h"
#include "cache/frame.h"
#include "cache/maintain.h"
#include "cache/schema.h"
#include "cache/shared_state.h"
#include "src/os.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

using Files = std::map<std::string, std::string>;

// All that a later version has left: what is in packs and objects, by name.
Files read_files(const fs::path& cache) {
  Files files;
  for (const char* folder : {"packs", "objects", "tasks"}) {
    for (const auto& entry : fs::recursive_directory_iterator(cache / folder)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      files[fs::relative(entry.path(), cache)] = {std::istreambuf_iterator<char>(in), {}};
    }
  }
  return files;
}

void expect_kept(const fs::path& cache, const Files& before) {
  const Files now = read_files(cache);
  for (const auto& [name, bytes] : before) {
    ASSERT_TRUE(now.contains(name)) << name << " is gone";
    EXPECT_TRUE(now.at(name) == bytes) << name << " has changed";
  }
}

bool is_said(const std::vector<std::string>& warnings, const std::string& a, const std::string& b) {
  for (const std::string& warning : warnings) {
    if (warning.find(a) != std::string::npos && warning.find(b) != std::string::npos) return true;
  }
  return false;
}

void write_pack(const fs::path& path, const std::vector<std::byte>& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

std::vector<std::byte> read_pack(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const ByteSpan bytes = bytes_of(text);
  return {bytes.begin(), bytes.end()};
}

// Gives the header, or the frame, that ends at `end` the check that belongs to it.
void seal(std::vector<std::byte>& bytes, std::size_t begin, std::size_t end, std::uint64_t salt) {
  Hash128 hash = hash_bytes(bytes.data() + begin, end - begin - kCheckBytes);
  hash.low ^= salt;
  std::memcpy(bytes.data() + end - kCheckBytes, &hash.high, 8);
  std::memcpy(bytes.data() + end - 8, &hash.low, 8);
}

void publish_twice(const fs::path& cache) {
  { TestStore(cache).publish("old", "of today"); }
  TestStore store(cache);
  store.publish("later", "of tomorrow");
  store.publish("later large", std::string(2 << 20, 'L'));
}

// The second pack becomes one of version 2.
void make_pack_later(const fs::path& cache) {
  const fs::path pack = cache / "packs" / "0002.pack";
  std::vector<std::byte> bytes = read_pack(pack);
  const PackHeader header = decode_pack_header(bytes).value();
  bytes[8] = std::byte{2};
  seal(bytes, 0, header.length, header.salt);
  write_pack(pack, bytes);
}

// Another program has the cache open, does all it can, and makes it smaller.
void use_and_collect(const fs::path& cache, std::vector<std::string>& warnings) {
  TestStore store(cache);
  store.publish("new", "of today");
  store->clear(key_of("new"));
  reindex(*store.store);
  CollectOptions options;
  options.max_bytes = 0;
  collect(*store.store, options);
  collect(*store.store, options);
  warnings = store.warnings;
}

TEST(Future, AFormatIsRefused) {
  const TemporaryDirectory dir;
  publish_twice(dir.path());
  std::ofstream(dir.path() / "FORMAT") << "stook cache 2, created by tomorrow\n";
  const Files before = read_files(dir.path());
  try {
    TestStore store(dir.path());
    FAIL();
  } catch (const CacheError& error) {
    EXPECT_TRUE(is_said({error.what()}, "stook cache 2", "stook cache 1")) << error.what();
  }
  expect_kept(dir.path(), before);
}

TEST(Future, APackIsMissedAndKept) {
  const TemporaryDirectory dir;
  publish_twice(dir.path());
  make_pack_later(dir.path());
  const Files before = read_files(dir.path());
  for (const bool with_index : {true, false}) {
    if (!with_index) fs::remove(dir.path() / "index.sqlite");
    TestStore store(dir.path());
    EXPECT_EQ(store.value("later"), "");
    if (with_index) { EXPECT_TRUE(is_said({store.why}, "version 2", "version 1")) << store.why; }
    EXPECT_EQ(store.value("old"), "of today");
    EXPECT_TRUE(with_index || is_said(store.warnings, "version 2", "version 1"));
  }
  std::vector<std::string> warnings;
  use_and_collect(dir.path(), warnings);
  { TestStore again(dir.path()); }
  for (const auto& [name, bytes] : before) {
    if (name != "packs/0001.pack") expect_kept(dir.path(), {{name, bytes}});
  }
}

// The program that can read it finds it, though another has been there.
TEST(Future, APackIsBroughtInByItsOwnVersion) {
  const TemporaryDirectory dir;
  publish_twice(dir.path());
  const fs::path pack = dir.path() / "packs" / "0002.pack";
  const std::vector<std::byte> good = read_pack(pack);
  make_pack_later(dir.path());
  fs::remove(dir.path() / "index.sqlite");
  std::vector<std::string> warnings;
  use_and_collect(dir.path(), warnings);
  write_pack(pack, good);
  TestStore store(dir.path());
  EXPECT_EQ(store.value("later"), "of tomorrow") << store.why;
  EXPECT_EQ(store.value("later large").size(), 2u << 20) << store.why;
}

// A damaged header is damage, whatever version it seems to be of.
TEST(Future, AFlippedVersionIsDamage) {
  const TemporaryDirectory dir;
  publish_twice(dir.path());
  const fs::path pack = dir.path() / "packs" / "0002.pack";
  std::vector<std::byte> bytes = read_pack(pack);
  bytes[8] = std::byte{3};
  EXPECT_EQ(other_pack_version(bytes), 0u);
  write_pack(pack, bytes);
  TestStore store(dir.path());
  EXPECT_EQ(store.value("later"), "");
  EXPECT_NE(store.why.find("damaged"), std::string::npos) << store.why;
}

// What is at `at` in the second pack's first frame becomes what no version has yet.
void make_frame_later(const fs::path& cache, std::size_t at, std::byte value) {
  const fs::path pack = cache / "packs" / "0002.pack";
  std::vector<std::byte> bytes = read_pack(pack);
  const PackHeader header = decode_pack_header(bytes).value();
  const std::size_t begin = header.length;
  const std::size_t length = frame_length(ByteSpan(bytes).subspan(begin)).value();
  bytes[begin + at] = value;
  seal(bytes, begin, begin + length, header.salt);
  write_pack(pack, bytes);
}

TEST(Future, AFrameIsMissedAndKept) {
  for (const auto& [at, value] : {std::pair{4u, std::byte{8}}, std::pair{5u, std::byte{4}}}) {
    const TemporaryDirectory dir;
    publish_twice(dir.path());
    make_frame_later(dir.path(), at, value);
    const Files before = read_files(dir.path());
    {
      TestStore store(dir.path());
      EXPECT_EQ(store.value("later"), "");
      EXPECT_NE(store.why.find("later version"), std::string::npos) << store.why;
      EXPECT_EQ(store.value("later large").size(), 2u << 20) << store.why;
    }
    fs::remove(dir.path() / "index.sqlite");
    std::vector<std::string> warnings;
    {
      TestStore store(dir.path());
      EXPECT_TRUE(is_said(store.warnings, "later version", "version 1"));
      EXPECT_EQ(store.state("later"), RecordState::missing);
      EXPECT_EQ(store.value("later large").size(), 2u << 20) << store.why;
    }
    use_and_collect(dir.path(), warnings);
    { TestStore again(dir.path()); }
    for (const auto& [name, bytes] : before) {
      if (name != "packs/0001.pack") expect_kept(dir.path(), {{name, bytes}});
    }
  }
}

// What it means is not known, and what it is made of not checked: nothing of it is taken.
TEST(Future, ABundleWithSuchARecordIsRefused) {
  const std::pair<std::size_t, std::byte> changes[] = {
      {4, std::byte{0}}, {4, std::byte{8}}, {5, std::byte{4}}};
  for (const auto& [at, value] : changes) {
    const TemporaryDirectory dir;
    fs::create_directories(dir.path());
    PackHeader header;
    header.salt = 9;
    OwnedFrame record;
    record.pack = std::make_shared<const OpenPack>(OpenPack{Fd(), header});
    record.frame.id = 1;
    record.frame.key = key_of("key");
    record.frame.class_name = "Task";
    record.frame.codec = "text";
    encode_frame(record.frame, {}, {}, header.salt, record.bytes);
    record.bytes[at] = value;
    seal(record.bytes, 0, record.bytes.size(), header.salt);
    const Fd bundle = os_open(dir.path() / "bundle", O_CREAT | O_EXCL | O_RDWR);
    BundleWriter writer(bundle.get(), "bundle", {1, 0, 10'000});
    writer.add(record);
    writer.finish();
    ASSERT_EQ(lseek(bundle.get(), 0, SEEK_SET), 0);
    BundleReader reader(bundle.get(), "bundle", {});
    BundleRecord read;
    try {
      (void)reader.next(read);
      ADD_FAILURE() << "taken: byte " << at << " is " << static_cast<int>(value);
    } catch (const CacheError& error) {
      EXPECT_TRUE(is_said({error.what()}, "later version", "version 1")) << error.what();
    }
  }
}

std::string version_text(std::int64_t version) { return "version " + std::to_string(version); }

void set_version(Database& index, std::int64_t version) {
  index.execute(("PRAGMA user_version=" + std::to_string(version)).c_str());
}

TEST(Future, AnIndexIsMadeAnewAtRest) {
  const TemporaryDirectory dir;
  publish_twice(dir.path());
  {
    Database index(dir.path() / "index.sqlite", Database::Mode::write);
    set_version(index, kSchemaVersion + 1);
  }
  TestStore store(dir.path());
  EXPECT_EQ(store.value("old"), "of today");
  EXPECT_EQ(store.value("later"), "of tomorrow");
  EXPECT_TRUE(
      is_said(store.warnings, version_text(kSchemaVersion + 1), version_text(kSchemaVersion)));
}

TEST(Future, AnIndexInUseIsRefused) {
  const TemporaryDirectory dir;
  publish_twice(dir.path());
  TestStore one(dir.path());
  EXPECT_EQ(one.value("old"), "of today");
  Database index(dir.path() / "index.sqlite", Database::Mode::write);
  set_version(index, kSchemaVersion + 1);
  try {
    TestStore two(dir.path());
    FAIL();
  } catch (const CacheError& error) {
    EXPECT_TRUE(
        is_said({error.what()}, version_text(kSchemaVersion + 1), version_text(kSchemaVersion)))
        << error.what();
  }
  EXPECT_EQ(index.query_integer("SELECT count(*) FROM records"), 3);
}

TEST(Future, SharedMemoryInUseIsRefused) {
  const TemporaryDirectory dir;
  TestStore one(dir.path());
  const Fd claims = os_open(dir.path() / ".claims", O_RDWR);
  const std::string later = "STKSHM04";
  ASSERT_TRUE(os_pwrite(claims.get(), later.data(), later.size(), 0));
  try {
    TestStore two(dir.path());
    FAIL();
  } catch (const CacheError& error) {
    EXPECT_TRUE(is_said({error.what()}, "STKSHM04", "STKSHM03")) << error.what();
  }
}

}  // namespace
}  // namespace stook::detail
