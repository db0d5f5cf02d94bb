// Arguments that cannot be, and what a name may be.
#include <gtest/gtest.h>

#include "tests/support/temp_cache.h"

namespace {

using namespace stook;
using stook::test::TempCache;

struct Takes : Task<Takes, int(Json)> {
  explicit Takes(const Json&) {}
  int run_task() { return 1; }
};

TEST(Arguments, NestedTooDeepIsRefusedAndSaysWhose) {
  Json deep = Json::array({});
  for (int i = 0; i < 257; ++i) deep = Json::array({deep});
  try {
    (void)Takes::make(deep);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("Takes"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("256"), std::string::npos) << error.what();
  }
}

struct GivesJson : Task<GivesJson, Json()> {
  Json run_task() { return 1; }
};

TEST(Arguments, ElementsOfElementsHaveABound) {
  Future<Json> deep = GivesJson::make();
  for (int i = 0; i < 256; ++i) deep = deep["a"];
  EXPECT_THROW((void)deep["a"], InvalidArgument);
}

TEST(Arguments, MembersOrderDoesNotMatter) {
  EXPECT_EQ(Takes::make(Json{{"a", 1}, {"b", 2}}).key(),
            Takes::make(Json{{"b", 2}, {"a", 1}}).key());
  EXPECT_NE(Takes::make(1).key(), Takes::make(1.0).key());
  EXPECT_NE(Takes::make(Json{1, 2}).key(), Takes::make(Json{{"1", 2}}).key());
}

struct Old : Task<Old, int(int)> {
  static constexpr const char* task_alias = "evolving";
  explicit Old(int) {}
  int run_task() { return 1; }
};

TEST(Arguments, AliasNamesTheKey) { EXPECT_EQ(Old::make(1).task_name(), "evolving"); }

struct Extended : Task<Extended, int(int, Added<int, 0>)> {
  Extended(int, int) {}
  int run_task() { return 1; }
};
struct Plain : Task<Plain, int(int)> {
  explicit Plain(int) {}
  int run_task() { return 1; }
};

TEST(Arguments, AddedKeepsOldKeys) {
  EXPECT_EQ(Extended::make(1, 0).to_json(), Plain::make(1).to_json());
  EXPECT_NE(Extended::make(1, 2).key(), Extended::make(1, 0).key());
}

// A diamond passed on as an argument: the key stays small however deep it is.
struct Diamond : Task<Diamond, long(Future<long>, Future<long>)> {
  Future<long> left, right;
  Diamond(const Future<long>& a, const Future<long>& b) : left(a), right(b) {}
  long run_task() { return *left + *right; }
};

TEST(Arguments, DiamondsPassedOnStaySmall) {
  TempCache cache;
  Future<long> last = Const(1L);
  for (int i = 0; i < 40; ++i) last = Diamond::make(last, last);
  const auto outcome = last.run_graph();
  EXPECT_EQ(outcome.value, 1L << 40);
  EXPECT_EQ(outcome.stats.ran, 40u);
}

}  // namespace
