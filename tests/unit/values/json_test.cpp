#include <cmath>
#include <deque>
#include <limits>
#include <set>
#include <sstream>
#include <unordered_map>

#include "stub_future.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <stook/json.hpp>

namespace stook {
namespace {

using test::message_of;
using test::StubFuture;
using test::StubRef;

TEST(Json, ScalarsHaveTheirKind) {
  EXPECT_TRUE(Json().is_null());
  EXPECT_TRUE(Json(nullptr).is_null());
  EXPECT_TRUE(Json(true).is_boolean());
  EXPECT_EQ(Json(5).kind(), Json::Kind::integer);
  EXPECT_EQ(Json(5U).kind(), Json::Kind::integer);
  EXPECT_EQ(Json(std::numeric_limits<std::uint64_t>::max()).kind(), Json::Kind::unsigned_integer);
  EXPECT_EQ(Json(static_cast<std::uint64_t>(INT64_MAX)).kind(), Json::Kind::integer);
  EXPECT_TRUE(Json(1.5F).is_number_float());
  EXPECT_TRUE(Json("x").is_string());
  EXPECT_TRUE(Json(std::string_view("x")).is_string());
  EXPECT_TRUE(Json(std::filesystem::path("/a/b")).is_string());
}

TEST(Json, BracedListsAreObjectsOrArrays) {
  const Json object{{"baz", 1}, {"other", {1, 2, 3}}};
  EXPECT_EQ(object.dump(), R"({"baz":1,"other":[1,2,3]})");
  EXPECT_EQ((Json{1, 2, 3}).dump(), "[1,2,3]");
  EXPECT_EQ((Json{1, "two", nullptr, false, 2.0}).dump(), R"([1,"two",null,false,2.0])");
  EXPECT_EQ((Json{{"a", "b"}}).dump(), R"({"a":"b"})");
  EXPECT_EQ((Json{"a", "b"}).dump(), R"(["a","b"])");
  EXPECT_EQ((Json{{1, 2}, {3, 4}}).dump(), "[[1,2],[3,4]]");
  EXPECT_EQ((Json{{"a", {{"b", {{"c", 1}}}}}}).dump(), R"({"a":{"b":{"c":1}}})");
  EXPECT_EQ(Json::array({{"a", 1}}).dump(), R"([["a",1]])");
  EXPECT_EQ(Json::array().dump(), "[]");
  EXPECT_EQ(Json::object().dump(), "{}");
  EXPECT_THROW(Json::object({1, 2}), InvalidArgument);
  EXPECT_THROW((Json{{"a", 1}, {"a", 2}}), InvalidArgument);
  const Json copy = object;
  EXPECT_EQ(copy, object);
  EXPECT_EQ(Json(object), object);
}

TEST(Json, ContainersConvert) {
  EXPECT_EQ(Json(std::vector<int>{1, 2}).dump(), "[1,2]");
  EXPECT_EQ(Json(std::vector<bool>{true, false}).dump(), "[true,false]");
  EXPECT_EQ(Json(std::vector<std::vector<std::string>>{{"a"}, {}}).dump(), R"([["a"],[]])");
  EXPECT_EQ(Json(std::map<std::string, int>{{"b", 1}, {"a", 2}}).dump(), R"({"a":2,"b":1})");
  EXPECT_EQ(Json(std::unordered_map<std::string, double>{{"b", 1}}).dump(), R"({"b":1.0})");
  EXPECT_EQ(Json(std::set<int>{3, 1}).dump(), "[1,3]");
  EXPECT_EQ(Json(std::deque<Json>{1, "a"}).dump(), R"([1,"a"])");
  EXPECT_EQ(Json(std::array<int, 2>{1, 2}).dump(), "[1,2]");
  EXPECT_EQ(Json(std::optional<int>()).dump(), "null");
  EXPECT_EQ(Json(std::optional<int>(3)).dump(), "3");
}

TEST(Json, TakesOnlyWhatItCan) {
  struct Opaque {};
  static_assert(!std::is_convertible_v<Opaque, Json>);
  static_assert(!std::is_convertible_v<std::vector<Opaque>, Json>);
  static_assert(!std::is_convertible_v<int*, Json>);
  static_assert(std::is_convertible_v<std::vector<std::vector<int>>, Json>);
  static_assert(std::is_nothrow_move_constructible_v<Json>);
}

TEST(Json, FuturesAtAnyDepth) {
  const StubRef<long> future(7);
  const Json json{{"baz", future},
                  {"list", {1, future}},
                  {"map", std::map<std::string, StubFuture<long>>{{"k", future}}}};
  EXPECT_TRUE(json["baz"].is_future());
  EXPECT_TRUE(json["list"][1].is_future());
  EXPECT_EQ(json["map"]["k"], json["baz"]);
  EXPECT_EQ(json["baz"].dump(), R"({"$future":"0123456789abcdef0000000000000007"})");
  EXPECT_EQ(json["baz"].future_spec().get(), future.spec().get());
  EXPECT_THROW(Json(StubFuture<int>()), InvalidArgument);
  EXPECT_EQ(Json::future(test::StubSpec::make_key(7)), json["baz"]);
  EXPECT_FALSE(Json::future(test::StubSpec::make_key(7)).future_spec());
}

TEST(Json, Access) {
  Json json{{"a", 1}, {"b", {10, 20}}};
  EXPECT_TRUE(json.contains("a"));
  EXPECT_FALSE(json.contains("z"));
  EXPECT_EQ(json["b"][0], 10);
  EXPECT_EQ(json["b"].at(1U), 20);
  EXPECT_EQ(json.size(), 2U);
  json["c"]["d"] = "new";
  EXPECT_EQ(json["c"].dump(), R"({"d":"new"})");
  json["b"].push_back(30);
  EXPECT_EQ(json["b"].size(), 3U);
  EXPECT_EQ(json.value("a", 5), 1);
  EXPECT_EQ(json.value("zz", 5), 5);
  EXPECT_EQ(json.value("zz", "text"), "text");
  EXPECT_EQ(json["b"].get<std::vector<long>>(), (std::vector<long>{10, 20, 30}));
  json.erase("c");
  EXPECT_FALSE(json.contains("c"));
  std::string keys;
  for (const auto& [key, value] : json.items()) keys += key;
  EXPECT_EQ(keys, "ab");
  int sum = 0;
  for (const Json& element : json["b"]) sum += element.get<int>();
  EXPECT_EQ(sum, 60);
}

TEST(Json, AccessErrorsSayWhatIsThere) {
  const Json json{{"alpha", 1}, {"beta", 2}};
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)json["gamma"]; }),
            "Json: no member 'gamma'; there are: 'alpha' 'beta'");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)json[3]; }),
            "Json: no element 3 in an object of 2");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)Json{1}[-1]; }),
            "Json: no element -1 in an array of 1");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)Json("x").get<int>(); }),
            "Json: expected an integer, found a string \"x\"");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)Json(5)["a"]; }),
            "Json: no member 'a': this is an integer 5");
}

TEST(Json, MovesOutOfItself) {
  Json json{{"a", {1, 2}}};
  json = std::move(json["a"]);
  EXPECT_EQ(json.dump(), "[1,2]");
  json = json[0];
  EXPECT_EQ(json, 1);
}

TEST(Json, EqualityIsThatOfKeys) {
  EXPECT_NE(Json(1), Json(1.0));
  EXPECT_NE(Json(0.0), Json(-0.0));
  EXPECT_EQ(Json(5), Json(std::uint8_t{5}));
  EXPECT_NE(Json::array(), Json::object());
  EXPECT_NE(Json(), Json(false));
  EXPECT_NE((Json{{"a", 1}}), (Json{{"b", 1}}));
}

TEST(Json, DumpsNumbersShortest) {
  EXPECT_EQ(Json(1.0).dump(), "1.0");
  EXPECT_EQ(Json(0.1).dump(), "0.1");
  EXPECT_EQ(Json(-0.0).dump(), "-0.0");
  EXPECT_EQ(Json(1e308).dump(), "1e+308");
  EXPECT_EQ(Json(5e-324).dump(), "5e-324");
  EXPECT_EQ(Json(INT64_MIN).dump(), "-9223372036854775808");
  EXPECT_EQ(Json(UINT64_MAX).dump(), "18446744073709551615");
  EXPECT_THROW((void)Json(NAN).dump(), InvalidArgument);
  EXPECT_THROW((void)Json(INFINITY).dump(), InvalidArgument);
}

TEST(Json, DumpsText) {
  EXPECT_EQ(Json("a\"b\\c\n\t\x01\x7f/\xc3\xa9").dump(),
            "\"a\\\"b\\\\c\\n\\t\\u0001\\u007f/\xc3\xa9\"");
  EXPECT_EQ((Json{{"a", {1, 2}}, {"b", Json::object()}}).dump(2),
            "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}");
  std::ostringstream out;
  out << Json{1, 2};
  EXPECT_EQ(out.str(), "[1,2]");
}

TEST(Json, Parses) {
  const Json json =
      Json::parse(R"( {"a": [1, -2, 3.5, "x\u00e9\ud83d\ude00", true, null], "b": {}} )");
  EXPECT_EQ(json.dump(), "{\"a\":[1,-2,3.5,\"x\xc3\xa9\xf0\x9f\x98\x80\",true,null],\"b\":{}}");
  EXPECT_EQ(Json::parse("1.0"), Json(1.0));
  EXPECT_EQ(Json::parse("-0.0"), Json(-0.0));
  EXPECT_EQ(Json::parse("18446744073709551615"), Json(UINT64_MAX));
  EXPECT_TRUE(Json::parse(R"({"$future":"0123456789abcdef0000000000000007"})").is_object());
}

TEST(Json, RefusesBadText) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[1,]",
                           "{\"a\":1,\"a\":2}",
                           "1 2",
                           "01",
                           "nul",
                           "NaN",
                           "Infinity",
                           "1e999",
                           "18446744073709551616",
                           "-9223372036854775809",
                           "\"\xff\"",
                           "\"\xed\xa0\x80\"",
                           "'a'",
                           "{a:1}",
                           "\"\\ud800\"",
                           "[1",
                           "]",
                           "// c\n1"}) {
    EXPECT_THROW((void)Json::parse(text), InvalidArgument) << text;
  }
  EXPECT_NE(message_of<InvalidArgument>([] { (void)Json::parse("[1,"); }).find("JSON: parse error"),
            std::string::npos);
}

TEST(Json, DepthIsBounded) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(Json::parse(nested(256)).dump(), nested(256));
  EXPECT_THROW((void)Json::parse(nested(257)), InvalidArgument);
  EXPECT_THROW((void)Json::parse(std::string(10'000'000, '[')), InvalidArgument);
}

TEST(Json, DeepValuesDoNotOverflowTheStack) {
  Json deep;
  for (int i = 0; i < 300'000; ++i) {
    Json outer = i % 2 == 0 ? Json::array() : Json::object();
    if (i % 2 == 0) {
      outer.push_back(std::move(deep));
    } else {
      outer["k"] = std::move(deep);
    }
    deep = std::move(outer);
  }
  const Json copy = deep;
  EXPECT_TRUE(copy == deep);
  EXPECT_THROW((void)deep.dump(), InvalidArgument);
}

// Compiles on both compilers, const and not: that is the test.
TEST(Json, NlohmannBothWays) {
  nlohmann::json document = {{"a", {1, 2.5, "x"}}, {"n", nullptr}, {"u", UINT64_MAX}};
  const nlohmann::json constant = document;
  Json a = constant, b = document, c(constant), d(document), e = nlohmann::json(3);
  a = constant;
  a = document;
  e = nlohmann::json(4);
  EXPECT_EQ(e, 4);
  EXPECT_EQ(a, b);
  EXPECT_EQ(c, d);
  EXPECT_TRUE(a == constant && constant == a);
  EXPECT_EQ(a.dump(), constant.dump());
  nlohmann::json back = a;
  EXPECT_EQ(back, document);
  EXPECT_EQ(constant.get<Json>(), a);
  const Json mixed{{"doc", document}, {"constant", constant}};
  EXPECT_EQ(mixed["doc"], a);
  EXPECT_THROW((void)Json(nlohmann::json::binary({1, 2})), InvalidArgument);
}

}  // namespace
}  // namespace stook
