// A pack must never change by accident: tests/golden/pack-1.hex holds a header and a frame of each
// kind, a line each, in the bytes they were first written in. To write those of a new version:
//   STOOK_WRITE_GOLDEN=1 build/dev/tests/test_cache --gtest_filter='Golden.*'
#include <cstdlib>
#include <fstream>

#include "cache/frame.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

constexpr std::uint64_t kSalt = 0x0123456789abcdef;

std::filesystem::path golden_file() {
  const auto tests = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
  return tests / "golden" / ("pack-" + std::to_string(kPackVersion) + ".hex");
}

PackHeader header() { return {4711, kSalt, 1'700'000'000'000'000'001, "host", "build id"}; }

Frame frame_of_kind(FrameKind kind) {
  Frame frame;
  frame.kind = kind;
  frame.version = 3;
  frame.seq = 1000 + static_cast<std::uint64_t>(kind);
  frame.key = key_of("key");
  frame.id = 77;
  frame.digest = digest_of("digest");
  frame.directory = digest_of("directory");
  frame.started_ns = 1'700'000'000'000'000'002;
  frame.duration_ns = -3;
  frame.run = 0xfedcba9876543210;
  frame.class_name = "space::Class";
  frame.arguments = std::string_view("\0arguments", 10);
  frame.codec = "seq<i64>";
  return frame;
}

struct Golden {
  Frame frame;
  std::vector<UpstreamSeen> upstream;
  std::string_view value;
};

// Of each kind one; results with a value as it is, compressed, in an object, made of others.
std::vector<Golden> frames() {
  std::vector<Golden> all;
  for (std::uint8_t kind = 1; kind <= 7; ++kind) {
    all.push_back({frame_of_kind(static_cast<FrameKind>(kind)), {}, {}});
  }
  for (int i = 0; i < 3; ++i) all.push_back({frame_of_kind(FrameKind::result), {}, "the value"});
  for (Golden& golden : all) {
    golden.frame.raw_bytes = golden.frame.stored_bytes = golden.value.size();
  }
  all[8].frame.compressed = true;
  all[8].frame.raw_bytes = 1'000;
  all[9].upstream = {{key_of("up"), digest_of("seen")}, {key_of("above"), digest_of("too")}};
  all.push_back({frame_of_kind(FrameKind::result), {}, {}});
  all[10].frame.in_object = true;
  all[10].frame.object = hash_bytes("object");
  all[10].frame.raw_bytes = all[10].frame.stored_bytes = 2'000'000;
  return all;
}

std::string to_text(ByteSpan bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text += "0123456789abcdef"[std::to_integer<int>(byte) >> 4];
    text += "0123456789abcdef"[std::to_integer<int>(byte) & 15];
  }
  return text;
}

std::vector<std::byte> from_text(const std::string& text) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<std::string> written() {
  std::vector<std::vector<std::byte>> all(1);
  encode_pack_header(header(), all[0]);
  for (const Golden& golden : frames()) {
    const ByteSpan value = bytes_of(golden.value);
    encode_frame(golden.frame, golden.upstream, {&value, 1}, kSalt, all.emplace_back());
  }
  std::vector<std::string> lines;
  for (const auto& bytes : all) lines.push_back(to_text(bytes));
  return lines;
}

TEST(Golden, PacksAreWrittenAsTheyWere) {
  const std::vector<std::string> now = written();
  if (std::getenv("STOOK_WRITE_GOLDEN") != nullptr) {
    std::ofstream out(golden_file());
    for (const std::string& line : now) out << line << '\n';
  }
  std::ifstream in(golden_file());
  std::string line;
  for (std::size_t i = 0; i < now.size(); ++i) {
    ASSERT_TRUE(std::getline(in, line)) << golden_file();
    EXPECT_EQ(line, now[i]) << "line " << i + 1;
  }
  EXPECT_FALSE(std::getline(in, line));
}

TEST(Golden, PacksAreReadAsTheyWere) {
  std::ifstream in(golden_file());
  std::string line;
  ASSERT_TRUE(std::getline(in, line));
  const auto head = decode_pack_header(from_text(line));
  ASSERT_TRUE(head);
  EXPECT_EQ(head->process, 4711u);
  EXPECT_EQ(head->salt, kSalt);
  EXPECT_EQ(head->created_ns, header().created_ns);
  EXPECT_EQ(head->host, "host");
  EXPECT_EQ(head->build, "build id");
  for (const Golden& golden : frames()) {
    ASSERT_TRUE(std::getline(in, line));
    const std::vector<std::byte> bytes = from_text(line);
    const auto frame = decode_frame(bytes, kSalt);
    ASSERT_TRUE(frame);
    const Frame& truth = golden.frame;
    EXPECT_TRUE(frame->known);
    EXPECT_EQ(frame->kind, truth.kind);
    EXPECT_EQ(frame->version, truth.version);
    EXPECT_EQ(frame->seq, truth.seq);
    EXPECT_EQ(frame->key, truth.key);
    EXPECT_EQ(frame->id, truth.id);
    EXPECT_EQ(frame->digest, truth.digest);
    EXPECT_EQ(frame->directory, truth.directory);
    EXPECT_EQ(frame->started_ns, truth.started_ns);
    EXPECT_EQ(frame->duration_ns, truth.duration_ns);
    EXPECT_EQ(frame->run, truth.run);
    EXPECT_EQ(frame->class_name, truth.class_name);
    EXPECT_EQ(frame->arguments, truth.arguments);
    EXPECT_EQ(frame->codec, truth.codec);
    EXPECT_EQ(frame->compressed, truth.compressed);
    EXPECT_EQ(frame->in_object, truth.in_object);
    EXPECT_EQ(frame->object, truth.object);
    EXPECT_EQ(frame->raw_bytes, truth.raw_bytes);
    EXPECT_EQ(frame->stored_bytes, truth.stored_bytes);
    ASSERT_EQ(frame->upstream_count(), golden.upstream.size());
    for (std::size_t i = 0; i < golden.upstream.size(); ++i) {
      EXPECT_EQ(frame->upstream_at(i).key, golden.upstream[i].key);
      EXPECT_EQ(frame->upstream_at(i).digest, golden.upstream[i].digest);
    }
    const ByteSpan value = bytes_of(golden.value);
    EXPECT_TRUE(std::equal(frame->value.begin(), frame->value.end(), value.begin(), value.end()));
  }
}

}  // namespace
}  // namespace stook::detail
