#include <memory>
#include <set>
#include <tuple>
#include <unordered_map>
#include <variant>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <stook/canonical.hpp>
#include <stook/reflect.hpp>

namespace stook {
namespace {

struct Inner {
  int a;
  float b;
};
struct NoDefault {
  explicit NoDefault(int) {}
};
enum class Color { red };
template <class T> struct Both {
  T first_one;
  T second;
};

struct Wide {
  double lr = 0.1;
  int epochs;
  std::string name;
  char tag[6];
  Inner inner;
  std::vector<Inner> list;
  std::map<std::string, int> map;
  std::optional<Inner> maybe;
  const char* text;
  Inner pair_of[2];
  int triple[3];
  Color color;
  std::variant<int, std::string> either;
  std::variant<int> only;
  std::unique_ptr<Inner> owned;
  nlohmann::json document;
  Both<std::string> both;
  bool flag;
  long double wide;
  std::pair<int, int> couple;
  Json json;
  std::filesystem::path path;
  std::tuple<int, std::string> tuple;
  std::array<int, 3> array;
  int grid[2][2];
  std::vector<bool> bits;
  std::unordered_map<int, Wide*> graph;
  Added<int, 0> added;
  std::shared_ptr<int> shared;
  unsigned char byte_;
  int x30, x31, x32, last_one;
};

struct Tree {
  int value;
  std::vector<Tree> kids;
  std::unique_ptr<Tree> next;
};
struct Strict {
  int a;
  NoDefault b;
  int c;
  NoDefault d;
  std::string e;
};
struct Empty {};
struct HasEmpty {
  Empty empty;
  int z;
};
struct Base {
  int x;
};
struct Derived : Base {
  int y;
};
struct EmptyDerived : Empty {
  int y;
};
struct Chars {
  char text[300];
  int y;
};
struct OnlyChars {
  char text[6];
};
struct One {
  std::vector<std::string> only;
};
struct Constructed {
  Constructed() {}
  int a;
};
class Private {
  [[maybe_unused]] int a;

 public:
  int b;
};

template <class T> std::string names() {
  std::string text;
  for (const std::string_view name : field_names<T>()) text += std::string(name) + " ";
  return text;
}

TEST(Reflect, NamesOfEveryKindOfField) {
  EXPECT_EQ(names<Wide>(),
            "lr epochs name tag inner list map maybe text pair_of triple color either only owned "
            "document both flag wide couple json path tuple array grid bits graph added shared "
            "byte_ x30 x31 x32 last_one ");
  EXPECT_EQ(field_count<Wide>, 34U);
}

TEST(Reflect, Shapes) {
  EXPECT_EQ(names<Tree>(), "value kids next ");
  EXPECT_EQ(names<Strict>(), "a b c d e ");
  EXPECT_EQ(names<Empty>(), "");
  EXPECT_EQ(names<HasEmpty>(), "empty z ");
  EXPECT_EQ(names<Chars>(), "text y ");
  EXPECT_EQ(names<OnlyChars>(), "text ");
  EXPECT_EQ(names<One>(), "only ");
  EXPECT_EQ(names<Both<Both<int>>>(), "first_one second ");
  struct Local {
    int alpha, beta;
  };
  EXPECT_EQ(names<Local>(), "alpha beta ");
}

TEST(Reflect, OnlyPlainAggregates) {
  static_assert(!Reflectable<Derived>);
  static_assert(!Reflectable<EmptyDerived>);
  static_assert(!Reflectable<Constructed>);
  static_assert(!Reflectable<Private>);
  static_assert(!Reflectable<std::string>);
  static_assert(!Reflectable<std::array<int, 3>>);
  static_assert(!Reflectable<int>);
  static_assert(!Reflectable<int[3]>);
  static_assert(!Reflectable<std::vector<int>>);
}

TEST(Reflect, WalksFields) {
  Inner inner{1, 2.5F};
  for_each_field(inner, [](auto& field) { field += 1; });
  EXPECT_EQ(inner.a, 2);
  EXPECT_EQ(inner.b, 3.5F);
  const Inner constant{4, 5};
  EXPECT_EQ(visit_fields(constant, [](const auto&... fields) { return sizeof...(fields); }), 2U);
}

TEST(Reflect, TypeNames) {
  EXPECT_EQ(type_name<int>(), "int");
  EXPECT_EQ(type_name<Json>(), "stook::Json");
  EXPECT_EQ((type_name<std::pair<int, Json>>()), "std::pair<int, stook::Json>");
}

}  // namespace
}  // namespace stook
