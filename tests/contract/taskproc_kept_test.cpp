// Lines A of the taskproc table in tests/README.md: what its users rely on. Those no other test
// says already.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <iostream>
#include <mutex>
#include <set>
#include <thread>

#include "runtime/run.h"
#include "runtime/select.h"
#include "src/store.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

namespace taskproc {
namespace {

using namespace stook;
using stook::test::TempCache;
using stook::test::TempDirectory;
namespace fs = std::filesystem;
using stook::test::contains;
using stook::test::failures_of;
using stook::test::read;
using stook::test::write;

template <class T> const std::string& name_of() { return detail::class_info<T>().name; }

// Tasks stay inside until two are, or until the witness has run. So what must not overlap is
// caught when it does, and what has to wait is proven to wait while others start: no clocks.
class Room {
 public:
  void stay() {
    std::unique_lock lock(mutex_);
    most_ = std::max(most_, ++inside_);
    changed_.notify_all();
    changed_.wait(lock, [this] { return most_ > 1 || witnessed_; });
    --inside_;
  }
  void witness() {
    const std::lock_guard lock(mutex_);
    witnessed_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] int most() const { return most_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
  int most_ = 0;
  bool witnessed_ = false;
};
Room* room = nullptr;

struct Witness : Task<Witness, int()> {
  int run_task() {
    room->witness();
    return 0;
  }
};
struct Plain : Task<Plain, int(int)> {
  explicit Plain(int) {}
  int run_task() { return room->stay(), 1; }
};
struct UsesA : Task<UsesA, int(int)> {
  static constexpr auto task_label = "a";
  explicit UsesA(int) {}
  int run_task() { return room->stay(), 1; }
};
struct UsesB : Task<UsesB, int(int)> {
  static constexpr auto task_label = "b";
  explicit UsesB(int) {}
  int run_task() { return room->stay(), 1; }
};
struct UsesBoth : Task<UsesBoth, int(int)> {
  static constexpr std::array task_labels{"a", "b"};
  explicit UsesBoth(int) {}
  int run_task() { return room->stay(), 1; }
};
// A longer path to the end: what it needs starts before the witness.
struct Then : Task<Then, int(Future<int>)> {
  Future<int> first;
  explicit Then(const Future<int>& task) : first(task) {}
  int run_task() { return *first; }
};
struct Party : Task<Party, int(std::vector<Future<int>>)> {
  FutureList<int> all;
  explicit Party(const std::vector<Future<int>>& tasks) {
    for (const auto& task : tasks) all.push_back(Then::make(task));
    all.push_back(Witness::make());
  }
  int run_task() {
    int sum = 0;
    for (const int value : *all) sum += value;
    return sum;
  }
};

TEST(TaskprocKept, Line02_RateLimitCanNameAClass) {
  TempCache cache;
  Room own;
  room = &own;
  const auto party = Party::make({Plain::make(1), Plain::make(2)});
  const auto outcome = party.run_graph({.rate_limits = {{name_of<Plain>(), 1}}, .jobs = 2});
  EXPECT_EQ(outcome.value, 2);
  EXPECT_EQ(own.most(), 1);
}

template <int Level> struct Text : Task<Text<Level>, std::string(int)> {
  static constexpr int task_compress_level = Level;
  explicit Text(int) {}
  std::string run_task() { return std::string(100'000, 'x'); }
};

bool packs_hold(const fs::path& cache, const std::string& text) {
  for (const auto& pack : fs::directory_iterator(cache / "packs")) {
    if (contains(read(pack.path()), text)) return true;
  }
  return false;
}

TEST(TaskprocKept, Line03_LevelZeroStoresUncompressed) {
  const std::string text(100'000, 'x');
  TempCache raw;
  (void)Text<0>::make(1).run_graph();
  raw.close();
  EXPECT_TRUE(packs_hold(raw.root(), text));
  TempCache packed;
  (void)Text<3>::make(1).run_graph();
  packed.close();
  EXPECT_FALSE(packs_hold(packed.root(), text));
}

struct Fails : Task<Fails, int(int)> {
  explicit Fails(int) {}
  int run_task() { throw std::runtime_error("told to fail"); }
};

TEST(TaskprocKept, Line04_ErrorNamesTheId) {
  TempCache cache;
  const auto task = Fails::make(4);
  try {
    (void)task.run_graph();
    FAIL();
  } catch (const TaskFailed& error) {
    EXPECT_EQ(error.failures().at(0).id, task.task_id());
    const std::string text = error.what();
    EXPECT_TRUE(contains(text, "(id " + std::to_string(task.task_id()) + ")")) << text;
  }
}

struct Writes : Task<Writes, fs::path(int)> {
  const int n;
  explicit Writes(int number) : n(number) {}
  fs::path run_task() {
    EXPECT_TRUE(fs::is_directory(task_directory()));
    EXPECT_TRUE(fs::is_empty(task_directory()));
    write(task_directory() / "out", std::to_string(n));
    return task_directory() / "out";
  }
};
struct Reads : Task<Reads, std::string()> {
  Future<fs::path> one = Writes::make(1), two = Writes::make(2);
  std::string run_task() { return read(*one) + read(*two); }
};

TEST(TaskprocKept, Line05_ClearTakesTheDirectoriesOfWhatIsClearedOnly) {
  TempCache cache;
  const fs::path one = Writes::make(1).task_directory() / "out";
  const fs::path two = Writes::make(2).task_directory() / "out";
  EXPECT_EQ(Reads::make().run_graph().value, "12");
  Reads::clear_all_tasks();
  EXPECT_TRUE(fs::exists(one) && fs::exists(two));
  Writes::make(1).clear_task();
  EXPECT_FALSE(fs::exists(one));
  EXPECT_TRUE(fs::exists(two));
  EXPECT_EQ(Reads::make().run_graph().value, "12");
  Writes::clear_all_tasks();
  EXPECT_FALSE(fs::exists(one) || fs::exists(two));
  const auto again = Reads::make().run_graph();
  EXPECT_EQ(again.value, "12");
  EXPECT_EQ(again.stats.by_class.at(name_of<Writes>()).ran, 2u);
  EXPECT_TRUE(fs::exists(one) && fs::exists(two));
}

struct Parameters
    : Task<Parameters, std::string(std::vector<int>, std::map<int, std::string>, int)> {
  std::string text;
  Parameters(const std::vector<int>& list, const std::map<int, std::string>& map, int number) {
    for (const int item : list) text += std::to_string(item) + ",";
    for (const auto& [key, value] : map) text += std::to_string(key) + value;
    text += ";" + std::to_string(number);
  }
  std::string run_task() { return text; }
};

TEST(TaskprocKept, Line06_JsonParametersArriveAsGiven) {
  TempCache cache;
  const auto task = Parameters::make({3, 1, 2}, {{10, "ten"}, {-2, "two"}}, -7);
  EXPECT_EQ(task.run_graph().value, "3,1,2,-2two10ten;-7");
  // Built again from the JSON it is shown as, it is the same task.
  EXPECT_EQ(detail::class_info<Parameters>().from_json(task.to_json())->key, task.key());
}

struct Source : Task<Source, Json()> {
  Json run_task() { return Json::parse(R"({"hello": [{"a": 1}, {"a": 2}, "text"]})"); }
};
struct Words : Task<Words, std::vector<std::string>()> {
  std::vector<std::string> run_task() { return {"zero", "one", "two", "three"}; }
};
struct Picks : Task<Picks, std::string(std::string, int)> {
  Future<Json> element;
  Future<std::vector<std::string>> slice = Words::make().slice(1, 3);
  Picks(const std::string& key, int index) : element(Source::make()[key][index]) {}
  std::string run_task() { return element->dump() + slice->front() + slice->back(); }
};

TEST(TaskprocKept, Line07_NestedElementsSlicesAndWhatIsMissing) {
  TempCache cache;
  EXPECT_EQ(Picks::make("hello", 1).run_graph().value, R"({"a":2}onetwo)");
  for (const auto& [task, missing] :
       {std::pair{Picks::make("hello", 3), "3"}, std::pair{Picks::make("nobody", 0), "nobody"}}) {
    const auto failures = failures_of(task);
    ASSERT_EQ(failures.size(), 1u);
    EXPECT_EQ(failures[0].class_name, name_of<Picks>());
    EXPECT_TRUE(contains(failures[0].cause, missing)) << failures[0].cause;
  }
}

struct Prints : Task<Prints, int()> {
  int run_task() {
    std::cout << "to the parent's stdout" << std::endl;
    std::cerr << "to the parent's stderr" << std::endl;
    return 1;
  }
};

TEST(TaskprocKept, Line11_InProcessRunsPrintAndLeaveNoLogs) {
  TempCache cache;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  (void)Prints::make().run_graph();
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "to the parent's stdout\n");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "to the parent's stderr\n");
  cache.close();
  for (const auto& entry : fs::recursive_directory_iterator(cache.root())) {
    EXPECT_FALSE(contains(entry.path().filename().string(), "stdout")) << entry.path();
    EXPECT_FALSE(contains(entry.path().filename().string(), "stderr")) << entry.path();
    if (entry.is_regular_file()) { EXPECT_FALSE(contains(read(entry.path()), "to the parent's")); }
  }
}

std::atomic<int> leaf_base{0};
struct Leaf : Task<Leaf, int(int)> {
  const int n;
  explicit Leaf(int number) : n(number) {}
  int run_task() { return leaf_base + n; }
};
struct Branch : Task<Branch, int(int)> {
  Future<int> leaf;
  explicit Branch(int n) : leaf(Leaf::make(n)) {}
  int run_task() { return 10 * *leaf; }
};
struct Trunk : Task<Trunk, int()> {
  Future<int> one = Branch::make(1), two = Branch::make(2);
  int run_task() { return *one + *two; }
};

TEST(TaskprocKept, Line13_ClearedClassRunsAndWhatDependsOnIt) {
  TempCache cache;
  leaf_base = 0;
  EXPECT_EQ(Trunk::make().run_graph().value, 30);
  EXPECT_EQ(Leaf::clear_all_tasks(), 3u);
  leaf_base = 1;
  const auto changed = Trunk::make().run_graph();
  EXPECT_EQ(changed.value, 50);
  EXPECT_EQ(changed.stats.ran, 5u);
  Leaf::clear_all_tasks();
  EXPECT_EQ(Trunk::make().run_graph({.rebuild = Rebuild::downstream}).stats.ran, 5u);
  Leaf::clear_all_tasks();
  const auto same = Trunk::make().run_graph().stats;
  EXPECT_EQ(same.ran, 2u);
  EXPECT_EQ(same.unchanged, 3u);
}

TEST(TaskprocKept, Line15_StartsWhenAllItsLabelsHaveRoom) {
  const RunOptions options{.rate_limits = {{"a", 1}, {"b", 1}}, .jobs = 2};
  for (const Future<int>& other : {Future<int>(UsesA::make(1)), Future<int>(UsesB::make(1))}) {
    TempCache cache;
    Room own;
    room = &own;
    EXPECT_EQ(Party::make({UsesBoth::make(1), other}).run_graph(options).value, 2);
    EXPECT_EQ(own.most(), 1) << "a shared label is taken";
  }
  TempCache cache;
  Room own;
  room = &own;
  EXPECT_EQ(Party::make({UsesA::make(1), UsesB::make(1)}).run_graph(options).value, 2);
  EXPECT_EQ(own.most(), 2) << "nothing is shared";
}

struct Shown : Task<Shown, int(int, std::string)> {
  Future<int> leaf = Leaf::make(7);
  Shown(int, const std::string&) {}
  int run_task() { return *leaf; }
};

TEST(TaskprocKept, Line16_ArgumentsAndEdgesAreShown) {
  TempCache cache;
  const auto task = Shown::make(3, "three");
  (void)task.run_graph();
  // What `stook show '#ID'` prints, and what a handle says.
  const std::string id = "#" + std::to_string(task.task_id());
  for (const std::string& text : {task.why(), detail::explain_selected(cache->store(), id)}) {
    EXPECT_TRUE(contains(text, R"([3,"three"])")) << text;
    EXPECT_TRUE(contains(text, "upstream    " + name_of<Leaf>() + "[7]")) << text;
  }
}

TEST(TaskprocKept, Line17_StatisticsPerClass) {
  TempCache cache;
  leaf_base = 0;
  const auto cold = Trunk::make().run_graph().stats;
  EXPECT_EQ(cold.by_class.at(name_of<Leaf>()).ran, 2u);
  EXPECT_EQ(cold.by_class.at(name_of<Branch>()).ran, 2u);
  EXPECT_EQ(cold.by_class.at(name_of<Trunk>()).ran, 1u);
  Branch::make(1).clear_task();
  const auto some = Trunk::make().run_graph().stats;
  EXPECT_EQ(some.by_class.at(name_of<Branch>()).ran, 1u);
  EXPECT_EQ(some.by_class.at(name_of<Trunk>()).unchanged, 1u);
  const auto finished = Trunk::make().run_graph().stats;
  EXPECT_EQ(finished.ran + finished.planned, 0u);
  for (const auto& [name, counts] : finished.by_class) EXPECT_EQ(counts.ran, 0u) << name;
  EXPECT_EQ(finished.busy_seconds, 0);
}

// As main() would, without the program's name.
template <class Entry> int command_line(std::vector<std::string> words) {
  words.insert(words.begin(), "program");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return Entry::cli(static_cast<int>(words.size()), argv.data());
}

TEST(TaskprocKept, Line18_ProgramsHaveDefaultsThatFlagsReplace) {
  TempDirectory directory;
  const std::string cache = directory / "cache";
  DefaultArguments{.rate_limits = {{name_of<Leaf>(), 0}}}.populate();
  testing::internal::CaptureStderr();
  EXPECT_EQ(command_line<Trunk>({"-o", cache, "--progress", "none"}), 2);
  EXPECT_TRUE(contains(testing::internal::GetCapturedStderr(), "at least 1"));
  EXPECT_EQ(command_line<Trunk>({"-o", cache, "--progress", "none", "-l", name_of<Leaf>() + "=1"}),
            0);
  DefaultArguments{}.populate();
  EXPECT_EQ(command_line<Trunk>({"-o", cache, "--progress", "none"}), 0);
}

// The upstream tasks in the order of the record.
std::vector<Key> recorded_upstream(Cache& cache, const Key& key) {
  detail::Entry entry;
  cache.store().lookup({&key, 1}, {&entry, 1});
  std::vector<Key> keys;
  const auto record = cache.store().read_record(entry);
  if (!record) return {};
  for (const auto& seen : record->upstream) keys.push_back(seen.key);
  return keys;
}

// Assigned in another order than declared.
class Ordered : public Task<Ordered, int()> {
 public:
  Ordered() {
    last_ = Leaf::make(4);
    pair_[1] = Leaf::make(3);
    pair_[0] = Leaf::make(2);
    first_ = Leaf::make(1);
  }
  int run_task() { return *first_ + *pair_[0] + *pair_[1] + *last_; }

 private:
  Future<int> first_;
  std::array<Future<int>, 2> pair_;
  Future<int> last_;
};

TEST(TaskprocKept, Line20_PrivateUpstreamInTheOrderOfDeclaration) {
  TempCache cache;
  leaf_base = 0;
  EXPECT_EQ(Ordered::make().run_graph().value, 10);
  EXPECT_EQ(recorded_upstream(*cache, Ordered::make().key()),
            (std::vector<Key>{Leaf::make(1).key(), Leaf::make(2).key(), Leaf::make(3).key(),
                              Leaf::make(4).key()}));
}

// The constructor's body makes the future inside the optional after the one declared below it.
struct LateOptional : Task<LateOptional, int()> {
  std::optional<Future<int>> first;
  Future<int> second = Leaf::make(2);
  LateOptional() { first = Leaf::make(1); }
  int run_task() { return **first + *second; }
};

TEST(TaskprocKept, Line20_OptionalsInTheOrderOfDeclaration) {
  TempCache cache;
  (void)LateOptional::make().run_graph();
  EXPECT_EQ(recorded_upstream(*cache, LateOptional::make().key()),
            (std::vector<Key>{Leaf::make(1).key(), Leaf::make(2).key()}));
}

}  // namespace
}  // namespace taskproc
