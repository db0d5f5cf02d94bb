#include "src/shown.h"

#include <gtest/gtest.h>

#include <string>

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

TEST(Shown, LeavesTextAsItIs) {
  for (const char* text : {"", "a b", "two\nlines\tand a tab", "Grüße, 世界 😀", "\\x1b"}) {
    EXPECT_EQ(shown(text), text);
  }
}

TEST(Shown, EscapesWhatATerminalObeys) {
  EXPECT_EQ(shown("\x1b[31m\r\a\x7f"), "\\x1b[31m\\x0d\\x07\\x7f");
  EXPECT_EQ(shown("\xc2\x9b"
                  "2J"),
            "\\u009b2J");
  EXPECT_EQ(shown(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(Shown, EscapesWhatAReaderDoesNotSee) {
  EXPECT_EQ(shown("a\u202eb\u2066c\u200f\ufeff\u2028"), "a\\u202eb\\u2066c\\u200f\\ufeff\\u2028");
}

TEST(Shown, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(shown("a\xff\xc3"), "a\\xff\\xc3");
  EXPECT_EQ(shown("\xed\xa0\x80z"), "\\xed\\xa0\\x80z");
}

TEST(Shown, ShortenedKeepsBothEndsAndWholeCharacters) {
  EXPECT_EQ(shortened("short", 5), "short");
  EXPECT_EQ(shortened("0123456789", 8), "0123 ... 4 bytes more ... 89");
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "ü";
  for (std::size_t limit = 1; limit < 60; ++limit) {
    EXPECT_EQ(shown(shortened(umlauts, limit)), shortened(umlauts, limit)) << limit;
  }
}

TEST(Shown, NamesAreOneLineThatIsSeen) {
  EXPECT_TRUE(is_name("ns::(anonymous namespace)::Task<int, 3>"));
  EXPECT_TRUE(is_name("größe; $(x) </script>"));
  for (const char* bad : {"", "two\nlines", "a\tb", "\x1b[1m", "\xff", "a\u202e"}) {
    EXPECT_FALSE(is_name(bad)) << shown(bad);
  }
}

TEST(Shown, AZeroByteIsRefusedByName) {
  EXPECT_NO_THROW(refuse_zero_byte("fine", "a word"));
  try {
    refuse_zero_byte(std::string_view("ab\0c", 4), "a word");
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_STREQ(error.what(),
                 R"(a word holds a zero byte, where it would end: "ab" is before it)");
  }
}

}  // namespace
}  // namespace stook::detail
