// Reading single records: what is read ahead must never be told from the record itself.
#include "cache/packs.h"

#include <fcntl.h>

#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

class PacksTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(dir_.path());
    encode_pack_header({1, kSalt, 2, "host", "build"}, bytes_);
    fd_ = os_open(packs_.path_of(1), O_CREAT | O_WRONLY);
    append(bytes_);
  }

  // The bytes of a record that holds its number `n` times over.
  [[nodiscard]] static std::vector<std::byte> record(int n) {
    const std::string name = std::to_string(n);
    std::string value;
    for (int i = 0; i < n; ++i) value += name;
    Frame frame;
    frame.key = key_of(name);
    frame.class_name = "Task";
    frame.codec = "text";
    frame.stored_bytes = frame.raw_bytes = value.size();
    const ByteSpan piece = bytes_of(value);
    std::vector<std::byte> bytes;
    encode_frame(frame, {}, {&piece, 1}, kSalt, bytes);
    return bytes;
  }

  std::uint64_t append(ByteSpan bytes) {
    const std::uint64_t at = end_;
    EXPECT_TRUE(os_pwrite(fd_.get(), bytes.data(), bytes.size(), at));
    end_ += bytes.size();
    return at;
  }

  [[nodiscard]] bool is_record(std::uint64_t at, int n) {
    const auto read = packs_.read(1, at, Packs::Part::front);
    return read && read->frame.key == key_of(std::to_string(n)) &&
           read->frame.value.size() == std::to_string(n).size() * static_cast<std::size_t>(n);
  }

  static constexpr std::uint64_t kSalt = 7;
  const TemporaryDirectory dir_;
  Packs packs_{dir_.path()};
  Fd fd_;
  std::uint64_t end_ = 0;

 private:
  std::vector<std::byte> bytes_;
};

TEST_F(PacksTest, RecordsAreReadInAnyOrder) {
  std::vector<std::uint64_t> places;
  for (int n = 0; n < 3000; ++n) places.push_back(append(record(n)));  // up to 12 KB each
  for (int n = 0; n < 3000; ++n) ASSERT_TRUE(is_record(places[n], n)) << n;
  for (int n = 2999; n >= 0; --n) ASSERT_TRUE(is_record(places[n], n)) << n;
  for (int i = 0; i < 3000; ++i) {
    const int n = i * 1999 % 3000;
    ASSERT_TRUE(is_record(places[n], n)) << n;
  }
}

TEST_F(PacksTest, ARecordThatWasHalfThereIsReadAgain) {
  std::vector<std::uint64_t> places;
  for (int n = 0; n < 100; ++n) {
    places.push_back(append(record(n)));
    const auto next = record(n + 1);
    // As a reader sees it while it is written: its length is there, its end is not.
    std::vector<std::byte> half = next;
    std::fill(half.begin() + static_cast<std::ptrdiff_t>(half.size() / 2), half.end(),
              std::byte{0});
    ASSERT_TRUE(os_pwrite(fd_.get(), half.data(), half.size(), end_));
    ASSERT_TRUE(is_record(places[n], n)) << n;
    ASSERT_FALSE(packs_.read(1, end_, Packs::Part::front));
    ASSERT_TRUE(os_pwrite(fd_.get(), next.data(), next.size(), end_));
    ASSERT_TRUE(is_record(end_, n + 1)) << n;
  }
}

TEST_F(PacksTest, APackThatWasRemovedIsNotReadFromMemory) {
  const std::uint64_t at = append(record(5));
  ASSERT_TRUE(is_record(at, 5));
  std::filesystem::remove(packs_.path_of(1));
  packs_.forget(1);
  EXPECT_FALSE(packs_.read(1, at, Packs::Part::front));
}

TEST_F(PacksTest, BeyondTheEndIsNothing) {
  const std::uint64_t at = append(record(5));
  ASSERT_TRUE(is_record(at, 5));
  EXPECT_EQ(
      packs_.read(1, end_, Packs::Part::front).reason(),
      "pack " + packs_.path_of(1).string() + " at " + std::to_string(end_) + ": nothing is there");
  const auto next = record(90);
  ASSERT_TRUE(os_pwrite(fd_.get(), next.data(), next.size() - 1, end_));
  EXPECT_FALSE(packs_.read(1, end_, Packs::Part::front));
  EXPECT_FALSE(packs_.read(1, end_ + 1, Packs::Part::front));
}

}  // namespace
}  // namespace stook::detail
