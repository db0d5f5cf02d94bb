// Shapes of graphs: futures wherever they may lie, lists, dictionaries, elements, depth, cycles.
#include <gtest/gtest.h>

#include "tests/support/temp_cache.h"

namespace {

using namespace stook;
using stook::test::TempCache;
using stook::test::TempDirectory;

struct Number : Task<Number, long(long)> {
  const long n;
  explicit Number(long value) : n(value) {}
  long run_task() { return n; }
};

struct Sum : Task<Sum, long(int)> {
  FutureList<long> items;
  explicit Sum(int count) {
    for (int i = 0; i < count; ++i) items.push_back(Number::make(i));
  }
  long run_task() {
    long sum = 0;
    for (const long item : *items) sum += item;
    return sum;
  }
};

class Hidden : public Task<Hidden, long()> {
 public:
  Hidden() : inner_{Number::make(3), Number::make(4)} { maybe_ = Number::make(5); }
  long run_task() { return *inner_.first + *inner_.second + **maybe_ + **(array_.begin()); }

 private:
  struct Inner {
    Future<long> first, second;
  };
  Inner inner_;
  std::optional<Future<long>> maybe_;
  std::array<Future<long>, 1> array_{Number::make(6)};
};

TEST(Graph, MembersArePrivateNestedOptionalAndInArrays) {
  TempCache cache;
  const auto [value, stats] = Hidden::make().run_graph();
  EXPECT_EQ(value, 18);
  EXPECT_EQ(stats.ran, 5u);
}

TEST(Graph, FanIn) {
  TempCache cache;
  const auto [value, stats] = Sum::make(1000).run_graph();
  EXPECT_EQ(value, 499500);
  EXPECT_EQ(stats.ran, 1001u);
}

struct Undeclared : Task<Undeclared, long()> {
  std::vector<Future<long>> items{Number::make(1)};
  long run_task() { return *items.front(); }
};

TEST(Graph, FutureThatIsNoMemberNamesTheRemedy) {
  TempCache cache;
  try {
    (void)Undeclared::make().run_graph();
    FAIL();
  } catch (const TaskFailed& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("UndeclaredDependency"), std::string::npos) << text;
    EXPECT_NE(text.find("FutureList"), std::string::npos) << text;
  }
}

struct Loop : Task<Loop, long(int)> {
  Future<long> next;
  explicit Loop(int n) { next = make((n + 1) % 3); }
  long run_task() { return *next; }
};

TEST(Graph, CycleIsReportedWithItsPath) {
  TempCache cache;
  try {
    (void)Loop::make(0).run_graph();
    FAIL();
  } catch (const Cycle& error) {
    const std::string text = error.what();
    for (const char* name : {"Loop(0)", "Loop(1)", "Loop(2)"}) {
      EXPECT_NE(text.find(name), std::string::npos) << text;
    }
  }
}

struct Counted : Task<Counted, int(int)> {
  static inline int alive = 0;
  Future<int> next;
  explicit Counted(int n) {
    if (n == 3) throw std::runtime_error("no more");
    next = Counted::make(n + 1);
    ++alive;
  }
  ~Counted() { --alive; }
  int run_task() { return 0; }
};

TEST(Graph, WhatWasConstructedIsDestroyedWhenPlanningFails) {
  TempCache cache;
  EXPECT_THROW((void)Counted::make(0).run_graph(), ConstructionFailed);
  EXPECT_EQ(Counted::alive, 0);
}

struct Chain : Task<Chain, long(long)> {
  Future<long> next;
  explicit Chain(long n) { next = n == 0 ? Const(0L) : Future<long>(make(n - 1)); }
  long run_task() { return *next + 1; }
};

struct Linked : Task<Linked, long(Future<long>)> {
  Future<long> previous;
  explicit Linked(const Future<long>& from) : previous(from) {}
  long run_task() { return *previous + 1; }
};

TEST(Graph, ChainNeedsNoStack) {
  TempCache cache;
  EXPECT_EQ(Chain::make(20'000).run_graph().value, 20'001);
}

TEST(Graph, ChainThroughArgumentsNeedsNoStack) {
  TempCache cache;
  Future<long> last = Const(0L);
  for (int i = 0; i < 20'000; ++i) last = Linked::make(last);
  EXPECT_EQ(last.run_graph().value, 20'000);
}

struct Data {
  std::map<std::string, std::vector<int>> lists;
  std::tuple<int, std::string> pair;
};

struct Produce : Task<Produce, Data()> {
  Data run_task() { return {{{"hello", {1, 2, 3}}}, {7, "seven"}}; }
};

struct Consume : Task<Consume, std::string(std::string, int)> {
  Future<int> item, number;
  Future<std::string> text;
  Future<std::vector<int>> part;
  Consume(const std::string& name, int index) {
    const auto data = Produce::make();
    item = data.member<&Data::lists>()[name][index];
    number = data.member<&Data::pair>().get<0>();
    text = data.member<&Data::pair>().get<1>();
    part = data.member<&Data::lists>()[name].slice(1, 3);
  }
  std::string run_task() {
    return std::to_string(*item) + std::to_string(*number) + *text + std::to_string(part->size());
  }
};

TEST(Graph, ElementsOfResults) {
  TempCache cache;
  const auto [value, stats] = Consume::make("hello", 1).run_graph();
  EXPECT_EQ(value, "27seven2");
  EXPECT_EQ(stats.ran, 2u);
  EXPECT_EQ(Consume::make("hello", -1).run_graph().value, "37seven2");
}

struct LongNames : Task<LongNames, std::map<std::string, int>()> {
  static std::string name(char last) { return std::string(2000, 'x') + last; }
  std::map<std::string, int> run_task() { return {{name('a'), 1}, {name('b'), 2}}; }
};

struct TakesOne : Task<TakesOne, int(Future<int>)> {
  const Future<int> one;
  explicit TakesOne(Future<int> given) : one(std::move(given)) {}
  int run_task() { return *one; }
};

struct TakesLongNames : Task<TakesLongNames, std::string()> {
  Future<int> a = TakesOne::make(LongNames::make()[LongNames::name('a')]);
  Future<int> b = TakesOne::make(LongNames::make()[LongNames::name('b')]);
  std::string run_task() { return std::to_string(*a) + std::to_string(*b); }
};

// Their texts are cut where they are shown.
TEST(Graph, KeysOfMapsThatDifferAtTheirEndAreTwo) {
  TempCache cache;
  EXPECT_EQ(TakesLongNames::make().run_graph().value, "12");
}

// Keys of elements are parts of arguments: these are as they always were.
TEST(Graph, ElementsKeepTheirKeys) {
  const auto map = Const(std::map<std::string, int>{{"hello", 1}});
  EXPECT_EQ(to_hex(map["hello"].key()), "cc4658b3fe1a36d70109d3a68bd93e90");
  EXPECT_EQ(to_hex(map[std::string(998, 'x')].key()), "4dd31f68ca78536866401f299a9aad8c");
  const auto numbered = Const(std::map<int, int>{{7, 1}});
  EXPECT_EQ(to_hex(numbered[7].key()), "e01551e59074802085f259934b5134a3");
}

TEST(Graph, MissingElementFailsTheDownstreamTaskAndNamesTheKey) {
  TempCache cache;
  try {
    (void)Consume::make("nobody", 1).run_graph();
    FAIL();
  } catch (const TaskFailed& error) {
    ASSERT_EQ(error.failures().size(), 1u);
    EXPECT_NE(error.failures()[0].class_name.find("Consume"), std::string::npos);
    EXPECT_NE(error.failures()[0].cause.find("nobody"), std::string::npos)
        << error.failures()[0].cause;
  }
}

struct FromJson : Task<FromJson, long(int, std::string, Json)> {
  Future<long> upstream;
  FromJson(int, const std::string&, const Json& json)
      : upstream(json.at("baz").get<Future<long>>()) {}
  long run_task() { return *upstream; }
};

TEST(Graph, FuturesInsideJsonArguments) {
  TempCache cache;
  const auto upstream = Number::make(42);
  const auto task = FromJson::make(1, "foo", Json{{"baz", upstream}, {"other", {1, 2, 3}}});
  EXPECT_EQ(task.run_graph().value, 42);
  EXPECT_NE(task.key(),
            FromJson::make(1, "foo", Json{{"baz", Number::make(43)}, {"other", {1, 2, 3}}}).key());
}

struct DictSum : Task<DictSum, long(std::map<int, long>, std::vector<int>)> {
  FutureDict<std::string, long> items;
  DictSum(const std::map<int, long>& numbers, const std::vector<int>&) {
    for (const auto& [name, number] : numbers) {
      items.insert(std::to_string(name), Number::make(number));
    }
  }
  long run_task() {
    long sum = 0;
    for (const auto& [name, item] : *items) sum += item + std::stol(name);
    return sum;
  }
};

TEST(Graph, DictionariesOfFuturesAndJsonParameters) {
  TempCache cache;
  EXPECT_EQ(DictSum::make({{1, 10}, {2, 20}}, {1, 2}).run_graph().value, 33);
}

long add(const long& a, long b) { return a + b; }
long total(std::vector<long> items) {
  long sum = 0;
  for (const long item : items) sum += item;
  return sum;
}

TEST(Graph, PlainFunctions) {
  TempCache cache;
  const auto sum = call<&add>(Number::make(40), 2L);
  EXPECT_EQ(sum.run_graph().value, 42);
  EXPECT_EQ(sum.task_name(), "(anonymous namespace)::add");
  std::vector<Future<long>> many{sum, Number::make(1)};
  const auto [value, stats] = call<&total>(many).run_graph();
  EXPECT_EQ(value, 43);
  EXPECT_EQ(stats.cached, 1u);
}

TEST(Graph, SeveralRootsAreOneGraph) {
  TempCache cache;
  const auto a = Sum::make(3);
  const auto b = Number::make(2);
  const Stats stats = run_graphs({a, b});
  EXPECT_EQ(stats.ran, 4u);
  EXPECT_EQ(a.get_result(), 3);
  EXPECT_EQ(b.get_result(), 2);
}

TEST(Graph, CompositesAreRoots) {
  TempCache cache;
  FutureList<long> list{Number::make(1), Number::make(2)};
  EXPECT_EQ(list.run_graph().value, (std::vector<long>{1, 2}));
  EXPECT_EQ(*list[1], 2);
}

}  // namespace

namespace {

constexpr int million = 1'000'000;

struct Middle : Task<Middle, int(int)> {
  Future<long> source = Number::make(1);
  explicit Middle(int) {}
  int run_task() { return static_cast<int>(*source); }
};
struct Fan : Task<Fan, long(int)> {
  FutureList<int> all;
  explicit Fan(int count) {
    all.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) all.push_back(Middle::make(i));
  }
  long run_task() { return static_cast<long>(all->size()); }
};

TEST(Depth, FanOutAndFanInOfAMillion) {
  TempCache cache;
  const auto task = Fan::make(million);
  const auto [value, stats] = task.run_graph();
  EXPECT_EQ(value, million);
  EXPECT_EQ(stats.ran, million + 2u);
  EXPECT_EQ(Number::make(1).clear_task(), million + 1u);
}

TEST(Depth, ChainOfAMillion) {
  TempCache cache;
  const auto task = Chain::make(million - 1);
  EXPECT_EQ(task.run_graph().value, million);
  EXPECT_EQ(Chain::make(0).clear_task(), million - 1u);
  const auto stats = task.run_graph().stats;
  EXPECT_EQ(stats.ran, 1u);
  EXPECT_EQ(stats.unchanged, million - 1u);
}

}  // namespace
