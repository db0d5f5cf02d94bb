// What a pack, an object or a job says of itself is believed within bounds only, whatever its
// checksum; and nothing is written that would be refused when it is read.
#include <fcntl.h>

#include <fstream>

#include "cache/compress.h"
#include "cache/frame.h"
#include "cache/maintain.h"
#include "cache/objects.h"
#include "cache/packs.h"
#include "cache/values.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

// Is the frame, its checksum in order, taken for one?
bool is_taken(const Frame& frame, std::string_view value = {}) {
  std::vector<std::byte> bytes;
  const ByteSpan piece = bytes_of(value);
  encode_frame(frame, {}, {&piece, 1}, 1, bytes);
  return decode_frame(bytes, 1).has_value();
}

TEST(Bounds, OfFrames) {
  Frame frame;
  EXPECT_TRUE(is_taken(frame));
  const std::string long_name(kMostClass + 1, 'n');
  frame.class_name = long_name;
  EXPECT_FALSE(is_taken(frame));
  frame.class_name = {};
  const std::string large(kMostInline + 1, 'v');
  frame.raw_bytes = frame.stored_bytes = large.size();
  EXPECT_FALSE(is_taken(frame, large)) << "that is an object's size";
  frame.raw_bytes = 4;
  frame.stored_bytes = 3;
  EXPECT_FALSE(is_taken(frame, "abc")) << "not compressed, and of two sizes";
  frame.compressed = true;
  EXPECT_TRUE(is_taken(frame, "abc"));
  frame.in_object = true;
  frame.stored_bytes = frame.raw_bytes = kMostRaw;
  EXPECT_TRUE(is_taken(frame));
  frame.raw_bytes = kMostRaw + 1;
  EXPECT_FALSE(is_taken(frame));
}

// The bytes of another pack's frame, in a value behind damage, are no record of this pack.
TEST(Bounds, AFrameOfAnotherPackIsNone) {
  Frame inner;
  inner.key = key_of("inner");
  std::vector<std::byte> stolen;
  encode_frame(inner, {}, {}, 1, stolen);
  EXPECT_TRUE(decode_frame(stolen, 1));
  EXPECT_FALSE(decode_frame(stolen, 2));
}

TEST(Bounds, OfWhatIsPublished) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  EXPECT_THROW(store.publish("a", "x", {}, std::string(kMostClass + 1, 'n')), InvalidArgument);
  EXPECT_EQ(store.publish("b", "x", {}, std::string(kMostClass, 'n')).state, RecordState::fresh);
}

TEST(Bounds, OfObjects) {
  const TemporaryDirectory dir;
  fs::create_directories(dir.path() / "objects");
  const Objects objects(dir.path() / "objects");
  EXPECT_THROW((void)objects.write({}, kMostRaw + 1, 0), CacheError);
  const std::string text(5'000, 'o');
  const ByteSpan piece = bytes_of(text);
  const StoredObject object = objects.write({&piece, 1}, text.size(), 0);
  EXPECT_TRUE(objects.read(object.name, text.size(), text.size(), false));
  EXPECT_FALSE(objects.read(object.name, text.size(), text.size() + 1, false));
  EXPECT_FALSE(objects.read(object.name, text.size() + 1, text.size() + 1, false));
}

TEST(Bounds, WhatDecompressesToAnotherSize) {
  const std::string text(1'000, 'c');
  const ByteSpan piece = bytes_of(text);
  std::vector<std::byte> small;
  ASSERT_TRUE(compress({&piece, 1}, text.size(), 3, small));
  std::vector<std::byte> to(text.size() + 1);
  EXPECT_FALSE(decompress(small, to));
  EXPECT_FALSE(decompress(small, std::span(to).first(text.size() - 1)));
  EXPECT_TRUE(decompress(small, std::span(to).first(text.size())));
}

TEST(Bounds, OfWhatAJobBrings) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  const Entry entry = store.publish("a", "value");
  store->make_readable(entry);
  ValueFiles values(dir.path());
  JobInput input;
  input.place = JobInput::Place::here;
  input.stored.bytes.resize(3);
  input.stored.raw_bytes = 4;
  EXPECT_FALSE(values.read(input, "text")) << "not compressed, and of two sizes";
  input.place = JobInput::Place::pack;
  input.pack = entry.pack;
  input.offset = entry.offset;
  input.digest = entry.digest;
  EXPECT_TRUE(values.read(input, "text"));
  input.digest = digest_of("another value");
  EXPECT_FALSE(values.read(input, "text")) << "another record is there";
}

TEST(Bounds, ARecordIsWhereTheIndexSaysOrNowhere) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  Entry a = store.publish("a", "value of a");
  a.offset = store.publish("b", "value of b").offset;
  store->flush();
  EXPECT_FALSE(store->read_value(a, "text"));
  EXPECT_FALSE(store->read_record(a));
}

TEST(Bounds, NothingIsReachedThroughALink) {
  const TemporaryDirectory dir;
  { TestStore(dir.path() / "c").publish("a", "value"); }
  const fs::path pack = dir.path() / "c" / "packs" / "0001.pack";
  fs::rename(pack, dir.path() / "elsewhere");
  fs::create_symlink(dir.path() / "elsewhere", pack);
  try {
    TestStore store(dir.path() / "c");
    EXPECT_EQ(store.value("a"), "");
  } catch (const CacheError& error) {
    EXPECT_NE(std::string(error.what()).find("symbolic"), std::string::npos) << error.what();
  }
  {  // nor where it comes when the names have been looked at
    fs::rename(dir.path() / "elsewhere", pack);
    TestStore store(dir.path() / "c");
    fs::rename(pack, dir.path() / "elsewhere");
    fs::create_symlink(dir.path() / "elsewhere", pack);
    EXPECT_EQ(store.value("a"), "");
    EXPECT_THROW((void)collect(*store.store), CacheError) << "it is no pack that can be left out";
  }
  fs::create_directory_symlink(dir.path() / "c", dir.path() / "link");
  try {
    TestStore store(dir.path() / "link");
    FAIL();
  } catch (const CacheError& error) {
    EXPECT_NE(std::string(error.what()).find("symbolic"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace stook::detail
