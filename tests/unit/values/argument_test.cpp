#include <deque>
#include <list>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "stub_future.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <stook/canonical.hpp>

namespace stook {
namespace {

using test::canonical;
using test::message_of;
using test::StubFuture;
using test::StubRef;

enum class Mode : std::uint8_t { fast = 1, slow = 200 };

struct Point {
  double x = 0, y = 0;
  bool operator==(const Point&) const = default;
};

struct Train {
  double lr = 0.1;
  int epochs = 10;
  std::string data = "train.csv";
  std::vector<Point> path;
  Mode mode = Mode::fast;
  std::optional<int> seed;
  char tag[4] = "abc";
  int grid[2][2] = {{1, 2}, {3, 4}};
};

struct Later : Point {};  // not plain

namespace outside {
struct Config {
  int depth = 3;
  std::string name = "n";
  bool operator==(const Config&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Config, depth, name)
enum class Shade { dark, light };
NLOHMANN_JSON_SERIALIZE_ENUM(Shade, {{Shade::dark, "dark"}, {Shade::light, "light"}})
struct Holder {
  Json json;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE(Holder, json)
};
}  // namespace outside

template <class T> T again(const T& value) { return Json::from(value).template get<T>(); }

template <class T> void expect_again(const T& value, std::string_view text) {
  EXPECT_EQ(Json::from(value).dump(), text);
  EXPECT_EQ(again(value), value);
  EXPECT_EQ(test::canonical(again(value)), test::canonical(value));
}

TEST(Argument, RoundTrips) {
  expect_again(true, "true");
  expect_again(-5, "-5");
  expect_again(UINT64_MAX, "18446744073709551615");
  expect_again(INT64_MIN, "-9223372036854775808");
  expect_again('a', "97");
  expect_again(1.0, "1.0");
  expect_again(0.25F, "0.25");
  expect_again(0.5L, "0.5");
  expect_again(Mode::slow, "200");
  expect_again(std::string("x"), "\"x\"");
  expect_again(std::filesystem::path("/a/b"), "\"/a/b\"");
  expect_again(std::vector<int>{1, 2}, "[1,2]");
  expect_again(std::vector<bool>{true}, "[true]");
  expect_again(std::list<std::string>{"a"}, "[\"a\"]");
  expect_again(std::deque<int>{}, "[]");
  expect_again(std::array<int, 2>{1, 2}, "[1,2]");
  expect_again(std::array<int, 0>{}, "[]");
  expect_again(std::set<std::string>{"b", "a"}, R"(["a","b"])");
  expect_again(std::map<std::string, int>{{"b", 1}, {"a", 2}}, R"({"a":2,"b":1})");
  expect_again(std::map<int, int>{{2, 1}, {1, 2}}, "[[1,2],[2,1]]");
  expect_again(std::pair<int, std::string>{1, "a"}, "[1,\"a\"]");
  expect_again(std::tuple<>{}, "[]");
  expect_again(std::tuple<int, bool>{1, true}, "[1,true]");
  expect_again(std::optional<int>(), "null");
  expect_again(std::optional<int>(3), "3");
  expect_again(std::variant<int, std::string>("a"), "[1,\"a\"]");
  expect_again(std::variant<std::monostate, int>(), "[0,null]");
  expect_again(Point{1, 2}, R"({"x":1.0,"y":2.0})");
  expect_again(Json{1, {{"a", 2}}}, R"([1,{"a":2}])");
  expect_again(outside::Config{}, R"({"depth":3,"name":"n"})");
  expect_again(outside::Shade::light, "\"light\"");
  expect_again(nlohmann::json{{"a", 1}}, R"({"a":1})");
}

TEST(Argument, UnorderedContainersHaveOneOrder) {
  std::unordered_set<int> forward, backward;
  std::unordered_map<std::string, int> ab, ba;
  std::unordered_map<int, std::string> numbered_up, numbered_down;
  for (int i = 0; i < 1000; ++i) {
    forward.insert(i);
    backward.insert(999 - i);
    ab[std::to_string(i)] = i;
    ba[std::to_string(999 - i)] = 999 - i;
    numbered_up[i] = "x";
    numbered_down[999 - i] = "x";
  }
  forward.rehash(10000);
  EXPECT_EQ(canonical(forward), canonical(backward));
  EXPECT_EQ(canonical(ab), canonical(ba));
  EXPECT_EQ(canonical(ab), canonical(std::map<std::string, int>(ab.begin(), ab.end())));
  EXPECT_EQ(canonical(numbered_up), canonical(numbered_down));
  EXPECT_EQ(canonical(forward), canonical(std::set<int>(forward.begin(), forward.end())));
  EXPECT_EQ(again(forward), forward);
  EXPECT_EQ(again(numbered_up), numbered_up);
}

TEST(Argument, MapsWithAnotherOrderAreStillObjects) {
  const std::map<std::string, int, std::greater<>> map{{"a", 1}, {"b", 2}};
  EXPECT_EQ(canonical(map), canonical(Json{{"a", 1}, {"b", 2}}));
}

TEST(Argument, Aggregates) {
  Train train;
  train.path = {{1, 2}};
  const Json json = Json::from(train);
  EXPECT_EQ(json.dump(),
            R"({"data":"train.csv","epochs":10,"grid":[[1,2],[3,4]],"lr":0.1,"mode":1,)"
            R"("path":[{"x":1.0,"y":2.0}],"seed":null,"tag":"abc"})");
  EXPECT_EQ(Json::from(json.get<Train>()), json);
  const auto partial = Json{{"epochs", 3}, {"tag", "x"}}.get<Train>();
  EXPECT_EQ(partial.epochs, 3);
  EXPECT_EQ(partial.lr, 0.1);
  EXPECT_STREQ(partial.tag, "x");
}

TEST(Argument, ErrorsSayWhere) {
  const auto train_error = [](const Json& json) {
    return message_of<InvalidArgument>([&] { (void)Argument<Train>::decode(json, ""); });
  };
  EXPECT_EQ(train_error(Json{{"lrr", 1}}),
            "unknown argument 'lrr'; did you mean 'lr'? known: lr, epochs, data, path, mode, seed, "
            "tag, grid");
  EXPECT_EQ(train_error(Json{{"zzzzzzzz", 1}}),
            "unknown argument 'zzzzzzzz'; known: lr, epochs, data, path, mode, seed, tag, grid");
  EXPECT_EQ(train_error(Json{{"epochs", 1.5}}), "epochs: expected an integer, found a number 1.5");
  EXPECT_EQ(train_error(Json{{"path", Json{{{"x", 1}}, {{"x", "a"}}}}}),
            "path[1].x: expected a number, found a string \"a\"");
  EXPECT_EQ(train_error(Json{{"mode", 256}}),
            "mode: expected an integer from 0 to 255, found an integer 256");
  EXPECT_EQ(train_error(Json{{"tag", "toolong"}}),
            "tag: expected at most 4 characters, none NUL, found a string \"toolong\"");
  EXPECT_EQ(train_error(Json{{"grid", Json{Json{1, 2}, Json{3}}}}),
            "grid[1]: expected an array of 2, found an array of 1");
  EXPECT_EQ(train_error(3), "Json: expected an object, found an integer 3");
  EXPECT_EQ(message_of<InvalidArgument>([] {
              (void)Argument<outside::Config>::decode(Json{{"depth", "x"}, {"name", ""}}, "c");
            }),
            "c: [json.exception.type_error.302] type must be number, but is string");
}

TEST(Argument, RangesAreChecked) {
  EXPECT_EQ(Json(127).get<std::int8_t>(), 127);
  EXPECT_THROW((void)Json(128).get<std::int8_t>(), InvalidArgument);
  EXPECT_THROW((void)Json(-129).get<std::int8_t>(), InvalidArgument);
  EXPECT_THROW((void)Json(-1).get<std::uint64_t>(), InvalidArgument);
  EXPECT_THROW((void)Json(UINT64_MAX).get<std::int64_t>(), InvalidArgument);
  EXPECT_EQ(Json(UINT64_MAX).get<std::uint64_t>(), UINT64_MAX);
  EXPECT_THROW((void)Json(1.0).get<int>(), InvalidArgument);
  EXPECT_EQ(Json(1).get<double>(), 1.0);
  EXPECT_THROW((void)Json(1e300).get<float>(), InvalidArgument);
  EXPECT_THROW((void)Json(1).get<bool>(), InvalidArgument);
  EXPECT_THROW((void)(Json{2, 0}.get<std::variant<int, bool>>()), InvalidArgument);
  EXPECT_THROW((void)(Json{1, 1}.get<std::set<int>>()), InvalidArgument);
  EXPECT_THROW((void)(Json{Json{1, 1}, Json{1, 2}}.get<std::map<int, int>>()), InvalidArgument);
  EXPECT_THROW(canonical(0.1L), InvalidArgument);
}

struct WithFutures {
  StubFuture<long> one;
  std::vector<StubFuture<long>> many;
  std::map<std::string, StubFuture<long>> named;
  std::optional<StubFuture<long>> maybe;
  int n = 3;
};

TEST(Argument, Futures) {
  const StubRef<long> ref(1);
  WithFutures value;
  value.one = ref;
  value.many = {StubFuture<long>(2), ref};
  value.named["k"] = ref;
  const Json json = Json::from(value);
  EXPECT_EQ(json["many"][1].future_spec().get(), ref.spec().get());
  const auto back = json.get<WithFutures>();
  EXPECT_EQ(back.one.spec().get(), ref.spec().get());
  EXPECT_EQ(back.many.size(), 2U);
  EXPECT_FALSE(back.maybe.has_value());
  EXPECT_EQ(message_of<InvalidArgument>([] {
              (void)Json{{"n", 1}}.get<WithFutures>();
            }),
            "missing argument 'one'");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)json["one"].get<StubFuture<int>>(); }),
            "the future is one of long");
  EXPECT_THROW((void)Json(1).get<StubFuture<long>>(), InvalidArgument);
}

struct Before {
  int n = 1;
};
struct After {
  Added<std::string, Literal("adam")> optimizer;
  int n = 1;
  Added<int, 0> warmup;
  Added<double, Literal("0.5")> momentum;
  Added<double, 0> decay;
};

TEST(Argument, AddedKeepsOldKeys) {
  EXPECT_EQ(canonical(After{}), canonical(Before{}));
  After after{.optimizer = "sgd", .n = 1, .warmup = 5, .momentum = 0.25, .decay = {}};
  EXPECT_EQ(Json::from(after).dump(), R"({"momentum":0.25,"n":1,"optimizer":"sgd","warmup":5})");
  const auto back = Json::from(after).get<After>();
  EXPECT_EQ(back.optimizer, after.optimizer);
  EXPECT_EQ(back.warmup + 1, 6);
  EXPECT_EQ((Json{{"n", 1}}.get<After>().momentum), 0.5);
  after = After{};
  after.decay = -0.0;
  EXPECT_NE(canonical(after), canonical(Before{}));
  EXPECT_TRUE((Argument<Added<int, 7>>::is_neutral(7)));
}

TEST(Argument, JsonInsideNlohmannTypes) {
  const outside::Holder holder{Json{1, 2}};
  EXPECT_EQ(Json::from(holder).dump(), R"({"json":[1,2]})");
  EXPECT_EQ(again(holder).json, holder.json);
}

TEST(Argument, Views) {
  EXPECT_EQ(canonical(std::string_view("ab")), canonical(std::string("ab")));
  const char* text = "ab";
  EXPECT_EQ(canonical(text), canonical(std::string("ab")));
  const Json json("ab");
  EXPECT_EQ(Argument<std::string_view>::decode(json, "x"), "ab");
}

struct Opaque {
  ~Opaque() {}
  int* pointer = nullptr;

 private:
  [[maybe_unused]] int hidden_ = 0;
};

TEST(Argument, TheConceptKnowsWhatCanBeOne) {
  static_assert(!IsArgument<Opaque>);
  static_assert(!IsArgument<std::vector<Opaque>>);
  static_assert(!IsArgument<std::map<std::string, std::optional<Opaque>>>);
  static_assert(!IsArgument<std::optional<std::optional<int>>>);
  static_assert(!IsArgument<Later>);
  static_assert(!IsArgument<int*>);
  static_assert(IsArgument<const Train&>);
  static_assert(IsArgument<std::map<std::string, std::vector<StubFuture<int>>>>);
}

}  // namespace
}  // namespace stook
