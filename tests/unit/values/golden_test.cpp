// Keys must never change by accident: golden_keys.txt holds some 200 values, one a line:
//
//   JSON text <TAB> canonical bytes in hex, "-" where they are over 64 <TAB> XXH3-128 of them
//
// To write the file anew after a deliberate change of the format, which makes all caches stale:
//   STOOK_WRITE_GOLDEN=1 build/dev/tests/test_values --gtest_filter='Golden.*'
#include <cstdlib>
#include <fstream>

#include "src/hash.h"
#include "stub_future.h"

#include <gtest/gtest.h>

namespace stook {
namespace {

const std::filesystem::path golden_file =
    std::filesystem::path(__FILE__).parent_path() / "golden_keys.txt";

void add_numbers(std::vector<Json>& values) {
  for (const std::int64_t n : std::initializer_list<std::int64_t>{0,
                                                                  1,
                                                                  -1,
                                                                  2,
                                                                  5,
                                                                  10,
                                                                  100,
                                                                  127,
                                                                  128,
                                                                  -128,
                                                                  255,
                                                                  256,
                                                                  32767,
                                                                  65535,
                                                                  65536,
                                                                  2147483647,
                                                                  -2147483648LL,
                                                                  4294967295LL,
                                                                  4294967296LL,
                                                                  9007199254740991LL,
                                                                  9007199254740992LL,
                                                                  9007199254740993LL,
                                                                  INT64_MAX,
                                                                  INT64_MIN,
                                                                  INT64_MIN + 1}) {
    values.emplace_back(n);
  }
  for (const std::uint64_t n : {std::uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 1})
    values.emplace_back(n);
  for (const double d : {0.0,
                         -0.0,
                         1.0,
                         -1.0,
                         0.1,
                         0.2,
                         0.3,
                         0.1 + 0.2,
                         0.5,
                         1.5,
                         2.0,
                         10.0,
                         1e15,
                         1e16,
                         1e17,
                         1e21,
                         1e22,
                         1e23,
                         1e100,
                         1e308,
                         -1e308,
                         1.7976931348623157e308,
                         2.2250738585072014e-308,
                         5e-324,
                         -5e-324,
                         4.9406564584124654e-320,
                         9007199254740992.0,
                         9007199254740993.0,
                         3.141592653589793,
                         2.718281828459045,
                         1.0 / 3,
                         2.0 / 3,
                         123456.789,
                         1e-5,
                         1e-7,
                         6.02214076e23}) {
    values.emplace_back(d);
  }
  for (const float f : {0.1F, 3.14F, 1e-45F, 3.4028235e38F}) values.emplace_back(f);
}

void add_texts(std::vector<Json>& values) {
  using namespace std::string_literals;
  for (const std::string& text : {""s,
                                  "a"s,
                                  "b"s,
                                  "ab"s,
                                  "A"s,
                                  " "s,
                                  "0"s,
                                  "1"s,
                                  "true"s,
                                  "null"s,
                                  "foo"s,
                                  "\0"s,
                                  "a\0b"s,
                                  "\n"s,
                                  "\t\r\b\f"s,
                                  "\""s,
                                  "\\"s,
                                  "/"s,
                                  "\x7f"s,
                                  "\x01\x1f"s,
                                  "\xc3\xa9"s /* NFC */,
                                  "e\xcc\x81"s /* NFD */,
                                  "\xc3\x85"s,
                                  "A\xcc\x8a"s,
                                  "\xe2\x84\xab"s /* Angstrom sign */,
                                  "\xc3\x9f"s,
                                  "\xc2\x80"s,
                                  "\xdf\xbf"s,
                                  "\xe0\xa0\x80"s,
                                  "\xe2\x82\xac"s,
                                  "\xed\x9f\xbf"s,
                                  "\xee\x80\x80"s,
                                  "\xef\xbf\xbd"s,
                                  "\xef\xbf\xbf"s,
                                  "\xf0\x90\x80\x80"s,
                                  "\xf0\x9f\x98\x80"s,
                                  "\xf4\x8f\xbf\xbf"s,
                                  "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"s,
                                  "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d"s,
                                  "\xef\xbb\xbf bom"s,
                                  "data.csv"s,
                                  "/a/b/c"s,
                                  std::string(7, 'x'),
                                  std::string(8, 'x'),
                                  std::string(255, 'x'),
                                  std::string(256, 'x'),
                                  std::string(257, 'x'),
                                  std::string(4096, 'y')}) {
    values.emplace_back(text);
  }
}

void add_structures(std::vector<Json>& values) {
  const Json none = Json::array(), empty = Json::object();
  const std::vector<Json> more{
      nullptr,
      false,
      true,
      none,
      empty,
      Json::array({none}),
      Json::array({empty}),
      Json::object({{"", none}}),
      Json::object({{"", empty}}),
      Json::array({none, none}),
      Json{1},
      Json{1.0},
      Json{"1"},
      Json{nullptr},
      Json{1, 2},
      Json{2, 1},
      Json{1, 2, 3},
      Json{Json{1, 2}, 3},
      Json{1, Json{2, 3}},
      Json{"ab", "c"},
      Json{"a", "bc"},
      Json{"", ""},
      Json{""},
      Json{{"a", 1}},
      Json{{"a", 1.0}},
      Json{{"a", "1"}},
      Json{{"a", nullptr}},
      Json{{"a", none}},
      Json{{"a", empty}},
      Json{{"a", 1}, {"b", 2}},
      Json{{"b", 1}, {"a", 2}},
      Json{{"a", {{"b", {{"c", 1}}}}}},
      Json::array({"a", 1}),
      Json::array({Json::array({"a", 1})}),
      Json{{"", 1}},
      Json{{"\xc3\xa9", 1}},
      Json{{"e\xcc\x81", 1}},
      Json{{"\xc3\xa9", 1}, {"e\xcc\x81", 2}},
      Json{{"Z", 1}, {"a", 2}, {"_", 3}},
      Json{{"10", 1}, {"9", 2}},
      Json{{"a", 1}, {"aa", 2}, {"aaa", 3}},
      Json{{"\xf0\x9f\x98\x80", 1}, {"\xef\xbf\xbf", 2}} /* not the order of UTF-16 */,
      Json{{"n", 60}, {"k", 30}},
      Json{60, 30},
      Json{100, 50},
      Json{1, "foo", Json{{"baz", 1}, {"other", {1, 2, 3}}}},
      Json{{"lr", 0.1}, {"epochs", 10}, {"data", "train.csv"}},
      Json{0.0, -0.0},
      Json{true, false, nullptr},
      Json{9007199254740993, 9007199254740992.0},
      Json{INT64_MAX, UINT64_MAX}};
  values.insert(values.end(), more.begin(), more.end());
  for (const int depth : {2, 10, 100, 256}) {
    Json array = Json::array(), object = Json::object();
    for (int i = 1; i < depth; ++i) {
      array = Json::array({array});
      object = Json::object({{"k", object}});
    }
    values.push_back(array);
    values.push_back(object);
  }
  for (const int size : {10, 100, 1000}) {
    Json array = Json::array(), object = Json::object();
    for (int i = 0; i < size; ++i) {
      array.push_back(i);
      object["key" + std::to_string(i)] = i;
    }
    values.push_back(array);
    values.push_back(object);
  }
}

void add_futures(std::vector<Json>& values) {
  const Json future = test::StubFuture<int>(1);
  const std::vector<Json> more{future,
                               test::StubFuture<int>(2),
                               Json::array({future}),
                               Json::array({future, 1}),
                               Json{{"baz", future}, {"other", {1, 2, 3}}},
                               Json{{"a", {future, future}}},
                               Json::future(Key{})};
  values.insert(values.end(), more.begin(), more.end());
}

void add_random(std::vector<Json>& values, std::size_t total) {
  std::uint64_t state = 1;
  while (values.size() < total) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    values.push_back(Json{{"i", static_cast<std::int64_t>(state)},
                          {"d", std::ldexp(static_cast<double>(state >> 11), -53)},
                          {"s", to_hex(detail::hash_bytes(&state, sizeof state))}});
  }
}

std::vector<Json> golden_values() {
  std::vector<Json> values;
  add_numbers(values);
  add_texts(values);
  add_structures(values);
  add_futures(values);
  add_random(values, 200);
  return values;
}

std::string hex(std::string_view bytes) {
  if (bytes.size() > 64) return "-";
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += digits[static_cast<unsigned char>(c) >> 4];
    text += digits[c & 15];
  }
  return text;
}

std::string golden_line(const Json& value) {
  const std::string bytes = test::canonical(value);
  return value.dump() + "\t" + hex(bytes) + "\t" + to_hex(detail::hash_bytes(bytes));
}

TEST(Golden, KeysAreWhatTheyWere) {
  const std::vector<Json> values = golden_values();
  if (std::getenv("STOOK_WRITE_GOLDEN") != nullptr) {
    std::ofstream out(golden_file);
    for (const Json& value : values) out << golden_line(value) << "\n";
  }
  std::ifstream in(golden_file);
  std::string line;
  for (const Json& value : values) {
    ASSERT_TRUE(std::getline(in, line)) << golden_file << " is shorter than the list of values";
    EXPECT_EQ(golden_line(value), line);
  }
  EXPECT_FALSE(std::getline(in, line));
  EXPECT_GE(values.size(), 200U);
}

TEST(Golden, TheTextAloneGivesTheKey) {
  std::ifstream in(golden_file);
  std::string line;
  int read = 0;
  while (std::getline(in, line)) {
    if (line.find("$future") != std::string::npos) continue;
    EXPECT_EQ(golden_line(Json::parse(line.substr(0, line.find('\t')))), line);
    ++read;
  }
  EXPECT_GT(read, 190);
}

}  // namespace
}  // namespace stook
