#include <cmath>
#include <limits>
#include <random>

#include "stub_future.h"

#include <gtest/gtest.h>
#include <stook/canonical.hpp>

namespace stook {
namespace {

using test::canonical;
using test::message_of;
using test::StubFuture;

std::string operator""_b(const char* text, std::size_t size) { return {text, size}; }

TEST(Canonical, Bytes) {
  EXPECT_EQ(canonical(Json()), "n");
  EXPECT_EQ(canonical(false), "f");
  EXPECT_EQ(canonical(true), "t");
  EXPECT_EQ(canonical(5), "i\5\0\0\0\0\0\0\0"_b);
  EXPECT_EQ(canonical(-1), "i\xff\xff\xff\xff\xff\xff\xff\xff");
  EXPECT_EQ(canonical(UINT64_MAX), "u\xff\xff\xff\xff\xff\xff\xff\xff");
  EXPECT_EQ(canonical(1.0), "d\0\0\0\0\0\0\xf0\x3f"_b);
  EXPECT_EQ(canonical(std::string("ab")), "s\2\0\0\0ab"_b);
  EXPECT_EQ(canonical(Json{true, nullptr}), "a\2\0\0\0tn"_b);
  EXPECT_EQ(canonical(Json{{"b", true}, {"a", nullptr}}), "o\2\0\0\0\1\0\0\0an\1\0\0\0bt"_b);
  EXPECT_EQ(canonical(StubFuture<int>(2)), "k\xef\xcd\xab\x89\x67\x45\x23\x01\2\0\0\0\0\0\0\0"_b);
}

TEST(Canonical, SameValueSameBytes) {
  EXPECT_EQ(canonical(5), canonical(5L));
  EXPECT_EQ(canonical(5), canonical(5U));
  EXPECT_EQ(canonical(5), canonical(std::uint8_t{5}));
  EXPECT_EQ(canonical(0.5F), canonical(0.5));
  EXPECT_EQ(canonical(std::vector{1, 2}), canonical(std::array{1L, 2L}));
  EXPECT_EQ(canonical(std::tuple(1, 2)), canonical(Json{1, 2}));
  EXPECT_EQ(canonical(std::map<std::string, int>{{"a", 1}}), canonical(Json{{"a", 1}}));
}

TEST(Canonical, DifferentValuesDifferentBytes) {
  const std::vector<Json> values{nullptr,
                                 false,
                                 true,
                                 0,
                                 1,
                                 -1,
                                 0.0,
                                 -0.0,
                                 1.0,
                                 "",
                                 "0",
                                 "1",
                                 Json::array(),
                                 Json::object(),
                                 Json{1},
                                 Json{"a", 1},
                                 Json{{"a", 1}},
                                 Json{Json{"a", 1}, 2},
                                 Json::array({Json::array()}),
                                 "\xc3\xa9",
                                 "e\xcc\x81",
                                 9007199254740993,
                                 9007199254740992.0,
                                 Json{"ab", "c"},
                                 Json{"a", "bc"}};
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_NE(canonical(values[i]), canonical(values[j])) << values[i] << " " << values[j];
      EXPECT_NE(values[i], values[j]);
    }
  }
}

TEST(Canonical, RefusesWhatHasNoPlaceInAKey) {
  EXPECT_THROW(canonical(NAN), InvalidArgument);
  EXPECT_THROW(canonical(-INFINITY), InvalidArgument);
  EXPECT_THROW(canonical(std::numeric_limits<float>::infinity()), InvalidArgument);
  EXPECT_NE(message_of<InvalidArgument>([] { canonical(std::string("ab\xff")); }).find("offset 2"),
            std::string::npos);
  EXPECT_THROW(canonical(Json{{"\xc0\x80", 1}}), InvalidArgument);
  EXPECT_THROW(canonical(StubFuture<int>()), InvalidArgument);
}

TEST(Canonical, Utf8) {
  for (const std::string good :
       {"", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xf4\x8f\xbf\xbf", "abcdefgh\xc2\x80"}) {
    EXPECT_EQ(detail::valid_utf8_prefix(good), good.size()) << good;
  }
  for (const std::string bad :
       {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xf0\x9f\x98",
        "\xff", "\xfe"}) {
    EXPECT_EQ(detail::valid_utf8_prefix(bad), 0U);
    EXPECT_EQ(detail::valid_utf8_prefix("0123456789" + bad + "tail"), 10U);
  }
  EXPECT_EQ(detail::valid_utf8_prefix("a\0b"_b), 3U);
}

TEST(Canonical, DepthIsBounded) {
  Json deep;
  for (int i = 0; i < 256; ++i) deep = Json::array({std::move(deep)});
  EXPECT_EQ(canonical_to_json(canonical(deep)), deep);
  deep = Json::array({std::move(deep)});
  EXPECT_THROW(canonical(deep), InvalidArgument);
  std::string bytes;
  for (int i = 0; i < 1'000'000; ++i) bytes += "a\1\0\0\0"_b;
  EXPECT_THROW((void)canonical_to_json(bytes), CacheError);
}

TEST(Canonical, MembersMustBeInOrder) {
  CanonicalWriter writer;
  writer.begin_object(3);
  writer.member("b");
  writer.begin_object(1);
  writer.member("a");
  writer.null();
  writer.end_object();
  EXPECT_THROW(writer.member("a"), InvalidArgument);
  EXPECT_THROW(writer.member("b"), InvalidArgument);
  writer.member("ba");
}

TEST(Canonical, GrowsAndClears) {
  CanonicalWriter writer;
  const std::string text(10000, 'x');
  writer.begin_array(100);
  for (int i = 0; i < 100; ++i) writer.string(text);
  writer.end_array();
  EXPECT_EQ(writer.size(), 5U + 100U * 10005U);
  EXPECT_EQ(canonical_to_json(writer.bytes())[99], text);
  writer.clear();
  writer.boolean(true);
  EXPECT_EQ(writer.bytes(), "t");
}

TEST(Canonical, CollectsAndResolvesFutures) {
  const StubFuture<long> a(1), b(2);
  CanonicalWriter writer;
  std::vector<detail::SpecPtr> futures;
  writer.set_futures(&futures);
  encode_argument(writer, Json{a, {{"x", b}}, a});
  ASSERT_EQ(futures.size(), 3U);
  EXPECT_EQ(futures[1].get(), b.spec().get());
  const Json resolved = detail::canonical_to_json_with(writer.bytes(), futures);
  EXPECT_EQ(resolved[1]["x"].future_spec().get(), b.spec().get());
  const Json bare = canonical_to_json(writer.bytes());
  EXPECT_EQ(bare, resolved);
  EXPECT_FALSE(bare[0].future_spec());
  EXPECT_EQ(canonical(bare), writer.bytes());
  EXPECT_THROW((void)bare[0].get<StubFuture<long>>(), InvalidArgument);
}

TEST(Canonical, MalformedBytes) {
  for (const std::string& bytes :
       {""_b, "x"_b, "i\1\0"_b, "nn"_b, "s\5\0\0\0ab"_b, "s\1\0\0\0\xff"_b, "a\xff\xff\xff\xff"_b,
        "o\1\0\0\0"_b, "o\2\0\0\0\1\0\0\0bn\1\0\0\0an"_b, "o\2\0\0\0\1\0\0\0an\1\0\0\0an"_b,
        "u\1\0\0\0\0\0\0\0"_b, "d\0\0\0\0\0\0\xf0\x7f"_b, "d\0\0\0\0\0\0\xf8\x7f"_b, "k\0\0\0"_b,
        "\0"_b, "a\1\0\0\0"_b}) {
    EXPECT_THROW((void)canonical_to_json(bytes), CacheError);
    EXPECT_EQ(canonical_to_text(bytes)[0], '<');
  }
}

TEST(Canonical, TextIsAbbreviated) {
  EXPECT_EQ(canonical_to_text(canonical(Json{1, "a"})), R"([1,"a"])");
  EXPECT_EQ(canonical_to_text(canonical(Json(std::string(500, 'x'))), 20), "\"xxxxxxxxxxxxxxxx...");
  std::string accents;
  for (int i = 0; i < 50; ++i) accents += "\xc3\xa9";
  for (std::size_t limit = 0; limit < 30; ++limit) {
    const std::string text = canonical_to_text(canonical(accents), limit);
    EXPECT_EQ(detail::valid_utf8_prefix(text), text.size());
  }
}

// --- Properties over random values -----------------------------------------------------------

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  Json value(int depth = 0) {
    switch (below(depth > 4 ? 7 : 9)) {
      case 0: return nullptr;
      case 1: return below(2) == 0;
      case 2: return static_cast<std::int64_t>(random_()) >> below(64);
      case 3: return random_() | (std::uint64_t{1} << 63);
      case 4: return number();
      case 5: return text();
      case 6: return Json::future(test::StubSpec::make_key(random_()));
      case 7: return array(depth);
      default: return object(depth);
    }
  }
  std::uint64_t below(std::uint64_t n) { return random_() % n; }

 private:
  double number() {
    for (;;) {
      const double d = std::bit_cast<double>(random_());
      if (std::isfinite(d)) return d;
    }
  }
  std::string text() {
    static const char* const parts[] = {"a",  "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                        "\"", "\n"};
    std::string out;
    for (std::uint64_t n = below(20); n > 0; --n) out += parts[below(6)];
    return out;
  }
  Json array(int depth) {
    Json out = Json::array();
    for (std::uint64_t n = below(5); n > 0; --n) out.push_back(value(depth + 1));
    return out;
  }
  Json object(int depth) {
    Json out = Json::object();
    for (std::uint64_t n = below(5); n > 0; --n) out[text()] = value(depth + 1);
    return out;
  }
  std::mt19937_64 random_;
};

TEST(CanonicalProperty, RoundTrips) {
  Generator generator(1);
  for (int i = 0; i < 3000; ++i) {
    const Json value = generator.value();
    const std::string bytes = canonical(value);
    EXPECT_EQ(canonical_to_json(bytes), value);
    EXPECT_EQ(canonical(canonical_to_json(bytes)), bytes);
    if (bytes.find('k') == std::string::npos) {
      EXPECT_EQ(Json::parse(value.dump()), value);
      EXPECT_EQ(Json::parse(value.dump(3)), value);
    }
  }
}

// Whatever is read is the canonical form of what was read: no two byte strings are one value.
TEST(CanonicalProperty, DamagedBytesAreRefusedOrAnotherValue) {
  Generator generator(2);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = canonical(generator.value());
    for (std::uint64_t n = 1 + generator.below(3); n > 0; --n) {
      bytes[generator.below(bytes.size())] = static_cast<char>(generator.below(256));
    }
    if (generator.below(3) == 0) bytes.resize(generator.below(bytes.size() + 1));
    try {
      EXPECT_EQ(canonical(canonical_to_json(bytes)), bytes);
    } catch (const CacheError&) {}
  }
}

}  // namespace
}  // namespace stook
