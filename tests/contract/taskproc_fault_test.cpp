// Lines B of the taskproc table in tests/README.md: what fails there. Those no other test says
// already.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <fstream>
#include <new>
#include <set>
#include <thread>

#include "runtime/execution.h"
#include "runtime/run.h"
#include "runtime/scheduler.h"
#include "src/store.h"
#include "tests/support/memory_store.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

namespace taskproc_fault {
namespace {

using namespace stook;
using stook::test::TempCache;
using stook::test::TempDirectory;
namespace fs = std::filesystem;
using stook::test::contains;
using stook::test::entries_in;
using stook::test::failures_of;
using stook::test::read;
using stook::test::write;

template <class T> const std::string& name_of() { return detail::class_info<T>().name; }

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

struct Options {
  double rate = 0.5;
  int steps = 10;
  std::string name = "x";
};
struct Tuned : Task<Tuned, int(Options)> {
  explicit Tuned(const Options&) {}
  int run_task() { return 1; }
};

TEST(TaskprocFault, Line01_HoweverSpeltOneValueIsOneKey) {
  const Key key = Tuned::make({}).key();
  EXPECT_EQ(Tuned::make({.rate = 0.5, .steps = 10, .name = "x"}).key(), key);
  for (const char* text : {R"([{}])", R"([{"steps": 10}])", R"([{"name": "x", "rate": 0.5}])",
                           R"([{"rate": 0.5, "name": "x", "steps": 10}])"}) {
    EXPECT_EQ(detail::class_info<Tuned>().from_json(Json::parse(text))->key, key) << text;
  }
  EXPECT_NE(Tuned::make({.steps = 11}).key(), key);
}

struct Repeats : Task<Repeats, std::string(Json)> {
  const std::string text;
  explicit Repeats(const Json& json) : text(json.dump()) {}
  std::string run_task() { return text; }
};

TEST(TaskprocFault, Line02_DistinctValuesAreDistinctTasks) {
  TempCache cache;
  std::vector<Json> values;
  for (const char* text : {"1",
                           "1.0",
                           "\"1\"",
                           "true",
                           "null",
                           "[]",
                           "{}",
                           "\"\"",
                           "[1,2]",
                           "[[1,2]]",
                           "[1,[2]]",
                           "\"[1,2]\"",
                           "[\"1\",2]",
                           R"({"1":2})",
                           R"([{"1":2}])",
                           R"([["1",2]])",
                           R"({"1":"2"})",
                           R"({"1":{"2":3}})",
                           R"({"1":[2,3]})",
                           R"({"a":"b","c":"d"})",
                           R"({"a":"b\",\"c\":\"d"})"}) {
    values.push_back(Json::parse(text));
  }
  std::set<std::string> keys;
  for (const Json& value : values) {
    EXPECT_TRUE(keys.insert(to_hex(Repeats::make(value).key())).second) << value.dump();
    EXPECT_EQ(Repeats::make(value).run_graph().value, value.dump());
  }
}

struct Fold : Task<Fold, int(Future<int>, Future<int>)> {
  Future<int> left, right;
  Fold(const Future<int>& a, const Future<int>& b) : left(a), right(b) {}
  int run_task() { return std::max(*left, *right) + 1; }
};

TEST(TaskprocFault, Line03_ArgumentsDoNotGrowWithTheGraphAbove) {
  TempCache cache;
  const auto first = Fold::make(Const(0), Const(0));
  auto last = first;
  for (int depth = 2; depth <= 60; ++depth) last = Fold::make(last, last);
  EXPECT_EQ(last.run_graph().value, 60);
  EXPECT_EQ(last.to_json().dump().size(), first.to_json().dump().size());
}

std::atomic<bool> refuses{false};
struct Picky {
  int value;
};

}  // namespace
}  // namespace taskproc_fault

namespace stook {
template <> struct Codec<taskproc_fault::Picky> {
  static void encode(Writer& writer, const taskproc_fault::Picky& picky) {
    writer.put(picky.value);
    if (taskproc_fault::refuses) throw std::runtime_error("cannot be encoded");
  }
  static taskproc_fault::Picky decode(Reader& reader) { return {reader.take<int>()}; }
};
}  // namespace stook

namespace taskproc_fault {
namespace {

struct MakesPicky : Task<MakesPicky, Picky()> {
  Picky run_task() { return {6}; }
};
struct UsesPicky : Task<UsesPicky, int()> {
  Future<Picky> picky = MakesPicky::make();
  int run_task() { return picky->value; }
};

TEST(TaskprocFault, Line06_ValueThatFailsToEncodeIsAMiss) {
  TempCache cache;
  refuses = true;
  const auto failures = failures_of(UsesPicky::make());
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].class_name, name_of<MakesPicky>());
  EXPECT_TRUE(contains(failures[0].cause, "cannot be encoded")) << failures[0].cause;
  EXPECT_THROW((void)MakesPicky::make().get_result(), NotReady);
  cache.reopen();
  EXPECT_THROW((void)MakesPicky::make().get_result(), NotReady);
  refuses = false;
  const auto mended = UsesPicky::make().run_graph();
  EXPECT_EQ(mended.value, 6);
  EXPECT_EQ(mended.stats.ran, 2u);
}

TEST(TaskprocFault, Line07_IdsAndValuesAreNeverMixedUp) {
  TempCache cache;
  leaf_base = 0;
  std::set<std::uint64_t> ids;
  for (int n = 1; n <= 3; ++n) {
    (void)Leaf::make(n).run_graph();
    EXPECT_TRUE(ids.insert(Leaf::make(n).task_id()).second);
  }
  Leaf::clear_all_tasks();
  for (int n = 6; n >= 4; --n) {
    (void)Leaf::make(n).run_graph();
    EXPECT_TRUE(ids.insert(Leaf::make(n).task_id()).second) << "an id was given again";
  }
  cache.reopen();
  for (int n = 1; n <= 3; ++n) EXPECT_THROW((void)Leaf::make(n).get_result(), NotReady);
  for (int n = 4; n <= 6; ++n) EXPECT_EQ(Leaf::make(n).get_result(), n);
  for (int n = 1; n <= 3; ++n) EXPECT_EQ(Leaf::make(n).run_graph().value, n);
}

TEST(TaskprocFault, Line08_NothingInMemoryOutlivesAClear) {
  TempCache cache;
  leaf_base = 0;
  const auto leaf = Leaf::make(1);
  const auto branch = Branch::make(1);
  EXPECT_EQ(branch.run_graph().value, 10);
  EXPECT_EQ(leaf.get_result(), 1);
  leaf.clear_task();
  EXPECT_THROW((void)leaf.get_result(), NotReady);
  leaf_base = 1;
  EXPECT_EQ(branch.run_graph().value, 20);
  EXPECT_EQ(leaf.get_result(), 2);
  cache.reopen();
  EXPECT_EQ(branch.get_result(), 20);
  EXPECT_EQ(leaf.get_result(), 2);
}

std::atomic<int> constructed{0};
struct Constructed : Task<Constructed, int(int)> {
  static constexpr auto task_label = "machine";
  explicit Constructed(int) { ++constructed; }
  int run_task() { return 1; }
};

TEST(TaskprocFault, Line10_LimitsBelowOneAndUnknownLabels) {
  TempCache cache;
  constructed = 0;
  for (const int limit : {0, -1}) {
    EXPECT_THROW((void)Constructed::make(1).run_graph({.rate_limits = {{"machine", limit}}}),
                 InvalidArgument);
  }
  EXPECT_EQ(constructed, 0) << "before the run";
  testing::internal::CaptureStderr();
  EXPECT_EQ(Constructed::make(1).run_graph({.rate_limits = {{"machina", 1}}}).value, 1);
  const std::string warning = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(contains(warning, "'machina'")) << warning;
  EXPECT_TRUE(contains(warning, "'machine'")) << warning;
}

struct Gpu : Task<Gpu, int(int)> {
  static constexpr auto task_label = "gpu";
  explicit Gpu(int) {}
  int run_task() { return 1; }
};
struct GpuMemory : Task<GpuMemory, int(int)> {
  static constexpr std::array task_labels{"gpu", "memory"};
  explicit GpuMemory(int) {}
  int run_task() { return 1; }
};
struct Twelve : Task<Twelve, int()> {
  FutureList<int> all;
  Twelve() {
    for (int i = 0; i < 6; ++i) all.push_back(Gpu::make(i));
    for (int i = 0; i < 6; ++i) all.push_back(GpuMemory::make(i));
  }
  int run_task() { return static_cast<int>(all->size()); }
};

// Rounds of tasks of one length: 12 tasks under a limit of 3 need four, and the root one more.
TEST(TaskprocFault, Line11_ScarcerTokensFirst) {
  detail::MemoryStore store;
  detail::Execution execution(store);
  detail::Plan plan(store, execution, {Twelve::make().spec()}, false);
  execution.attach(plan);
  const RunOptions options{.rate_limits = {{"gpu", 3}, {"memory", 2}}};
  detail::RunObserver observer;
  detail::Scheduler scheduler(plan, store, options, observer);
  scheduler.start();
  std::vector<std::size_t> started;
  for (;;) {
    std::vector<detail::NodeIndex> round;
    for (std::size_t before = 0;; before = round.size()) {
      std::vector<detail::NodeIndex> batch;
      scheduler.next(batch);
      round.insert(round.end(), batch.begin(), batch.end());
      if (round.size() == before) break;
    }
    if (round.empty()) break;
    started.push_back(round.size());
    for (const detail::NodeIndex node : round) scheduler.finished(execution.execute(node, 1));
  }
  scheduler.close();
  EXPECT_EQ(started, (std::vector<std::size_t>{3, 3, 3, 3, 1}));
}

const std::string odd = "it's \"odd\" $HOME `id`; *? 50%20#1\\ä\n";

struct Odd : Task<Odd, fs::path(std::string)> {
  const std::string text;
  explicit Odd(const std::string& given) : text(given) {}
  fs::path run_task() {
    write(task_directory() / odd, text);
    return task_directory() / odd;
  }
};
struct ReadsOdd : Task<ReadsOdd, std::string()> {
  Future<fs::path> path = Odd::make(odd);
  std::string run_task() { return read(*path); }
};

TEST(TaskprocFault, Line13_OddPathsAndArguments) {
  TempDirectory directory;
  for (int i = 0; i < 2; ++i) {
    const Cache cache(directory / odd);
    const auto outcome = ReadsOdd::make().run_graph();
    EXPECT_EQ(outcome.value, odd);
    EXPECT_EQ(outcome.stats.ran, i == 0 ? 2u : 0u);
    EXPECT_EQ(read(Odd::make(odd).get_result()), odd);
  }
  ASSERT_TRUE(fs::is_directory(directory / odd));
  EXPECT_EQ(entries_in(directory.path()), 1) << "nothing beside it";
}

std::barrier<>* together = nullptr;
struct FailTogether : Task<FailTogether, int(int)> {
  explicit FailTogether(int) {}
  int run_task() {
    together->arrive_and_wait();
    throw std::runtime_error("told to fail");
  }
};
struct NeedsBoth : Task<NeedsBoth, int()> {
  Future<int> one = FailTogether::make(1), two = FailTogether::make(2);
  int run_task() { return *one + *two; }
};

TEST(TaskprocFault, Line14_EveryFailureIsReported) {
  TempCache cache;
  std::barrier<> two(2);
  together = &two;
  const auto failures = failures_of(NeedsBoth::make(), {.jobs = 2});
  ASSERT_EQ(failures.size(), 2u);
  EXPECT_EQ((std::set{failures[0].arguments, failures[1].arguments}),
            (std::set<std::string>{"[1]", "[2]"}));
}

std::atomic<int> started{0};
constexpr int fails_at = 200;
struct Quick : Task<Quick, int(int)> {
  explicit Quick(int) {}
  int run_task() {
    if (++started == fails_at) throw std::runtime_error("told to fail");
    return 1;
  }
};
struct ManyQuick : Task<ManyQuick, int()> {
  FutureList<int> all;
  ManyQuick() {
    for (int i = 0; i < 2 * fails_at; ++i) all.push_back(Quick::make(i));
  }
  int run_task() { return 1; }
};

// Short tasks are handed out several at a time: the rest of a batch is not running yet either.
TEST(TaskprocFault, Line14_NothingStartsAfterAFailure) {
  TempCache cache;
  started = 0;
  EXPECT_EQ(failures_of(ManyQuick::make(), {.jobs = 1}).size(), 1u);
  EXPECT_EQ(started, fails_at);
}

std::atomic<bool> stop{false};
std::atomic<bool> saw_stop{false};
struct LooksForStop : Task<LooksForStop, int()> {
  int run_task() {
    stop = true;  // Ctrl-C, while nothing else starts or ends
    saw_stop = stop_requested();
    return 1;
  }
};

TEST(TaskprocFault, Line15_RunningTaskSeesTheStopAtOnce) {
  TempCache cache;
  stop = saw_stop = false;
  detail::RunRequest request;
  request.roots = {LooksForStop::make().spec()};
  request.stop = &stop;
  EXPECT_TRUE(detail::run(cache->store(), request).stopped);
  EXPECT_TRUE(saw_stop);
}

struct Content : Task<Content, std::string(std::string)> {
  File file;
  explicit Content(const std::string& path) : file(path) {}
  std::string run_task() { return read(*file); }
};

TEST(TaskprocFault, Line17_FileTimesDecideNothing) {
  TempCache cache;
  TempDirectory files;
  const fs::path path = files / "input";
  const auto task = Content::make(path.string());
  write(path, "abc");
  const auto time = fs::last_write_time(path);
  EXPECT_EQ(task.run_graph().value, "abc");
  using std::chrono::hours;
  int content = 0;
  for (const auto shift : {hours(0), hours(-9000), hours(9000)}) {
    const std::string text = "xy" + std::to_string(content++);  // of the same size
    write(path, text);
    fs::last_write_time(path, time + shift);
    EXPECT_EQ(task.run_graph().value, text) << shift.count();
    for (const auto touch : {hours(1), hours(-1)}) {
      fs::last_write_time(path, time + shift + touch);
      EXPECT_EQ(task.run_graph().stats.ran, 0u) << shift.count();
    }
  }
}

struct Small : Task<Small, int(int)> {
  const int n;
  explicit Small(int number) : n(number) {}
  int run_task() { return n; }
};
struct Smalls : Task<Smalls, int(int)> {
  FutureList<int> all;
  explicit Smalls(int count) {
    for (int i = 0; i < count; ++i) all.push_back(Small::make(i));
  }
  int run_task() { return static_cast<int>(all->size()); }
};

struct DiskUse {
  std::intmax_t bytes = 0;
  int inodes = 0;
};
// Of a closed cache with `count` small results.
DiskUse disk_use(int count) {
  TempCache cache;
  EXPECT_EQ(Smalls::make(count).run_graph().value, count);
  cache.close();
  DiskUse use;
  for (const auto& entry : fs::recursive_directory_iterator(cache.root())) {
    ++use.inodes;
    if (entry.is_regular_file()) use.bytes += static_cast<std::intmax_t>(entry.file_size());
  }
  return use;
}

TEST(TaskprocFault, Line18_SmallResultsTake400BytesAndNoInode) {
  constexpr int many = 2000;
  const DiskUse one = disk_use(1);
  const DiskUse all = disk_use(1 + many);
  EXPECT_EQ(all.inodes, one.inodes);
  EXPECT_LE((all.bytes - one.bytes) / many, 400);
  RecordProperty("bytes_per_result", static_cast<int>((all.bytes - one.bytes) / many));
}

fs::path old_cache;
std::atomic<int> old_value{0};
struct Replaced : Task<Replaced, int(std::string)> {
  File file;
  explicit Replaced(const std::string& path) : file(path) {}
  int run_task() {
    const int number = std::stoi(read(*file));
    const std::string path = file->string();
    // As another program would find it meanwhile.
    if (number > 1) {
      std::jthread([&] {
        const Cache other(old_cache);
        old_value = Replaced::make(path).get_result();
      });
    }
    return number;
  }
};

TEST(TaskprocFault, Line19_OldResultIsThereWhileTheNewOneIsMade) {
  TempCache cache;
  TempDirectory files;
  old_cache = cache.root();
  old_value = 0;
  write(files / "input", "1");
  const auto task = Replaced::make((files / "input").string());
  EXPECT_EQ(task.run_graph().value, 1);
  write(files / "input", "2");
  EXPECT_EQ(task.run_graph().value, 2);
  EXPECT_EQ(old_value, 1);
  EXPECT_EQ(task.get_result(), 2);
}

struct Throws : Task<Throws, int(int)> {
  const int what;
  explicit Throws(int kind) : what(kind) {}
  int run_task() {
    if (what == 0) throw std::out_of_range("beyond the end");
    if (what == 1) throw std::bad_alloc();
    throw what;  // no std::exception
  }
};

TEST(TaskprocFault, Line20_CauseOfEveryExceptionIsShown) {
  TempCache cache;
  EXPECT_EQ(failures_of(Throws::make(0)).at(0).cause, "std::out_of_range: beyond the end");
  EXPECT_EQ(failures_of(Throws::make(1)).at(0).cause, "std::bad_alloc: std::bad_alloc");
}

TEST(TaskprocFault, Line20_TypeOfAnythingThrownIsShown) {
  TempCache cache;
  const std::string cause = failures_of(Throws::make(2)).at(0).cause;
  EXPECT_TRUE(contains(cause, "int")) << cause;
}

}  // namespace
}  // namespace taskproc_fault
