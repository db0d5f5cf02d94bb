// What things mean: failure, damage, directories, external inputs, labels, versions, arguments.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <fstream>
#include <thread>

#include "src/store.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

namespace {

using namespace stook;
using stook::test::TempCache;
using stook::test::TempDirectory;
namespace fs = std::filesystem;
using stook::test::read;
using stook::test::write;

std::atomic<bool> failing{false};

struct Fragile : Task<Fragile, int(int)> {
  const int n;
  explicit Fragile(int number) : n(number) {}
  int run_task() {
    if (failing) throw std::runtime_error("out of luck with " + std::to_string(n));
    return n;
  }
};

struct Above : Task<Above, int(int)> {
  Future<int> one;
  explicit Above(int n) { one = Fragile::make(n); }
  int run_task() { return *one + 1; }
};

struct Pair : Task<Pair, int()> {
  Future<int> a = Above::make(1), b = Above::make(2);
  int run_task() { return *a + *b; }
};

TEST(Failure, NamesTaskCauseAndChainAndKeepsTheRest) {
  TempCache cache;
  failing = true;
  try {
    (void)Pair::make().run_graph({.jobs = 1, .keep_going = true});
    FAIL();
  } catch (const TaskFailed& error) {
    ASSERT_EQ(error.failures().size(), 2u);
    const Failure& first = error.failures()[0];
    EXPECT_EQ(first.class_name, "(anonymous namespace)::Fragile");
    EXPECT_NE(first.cause.find("std::runtime_error: out of luck"), std::string::npos);
    ASSERT_EQ(first.chain.size(), 3u);
    EXPECT_NE(first.chain[0].find("Pair"), std::string::npos);
    EXPECT_NE(first.chain[2].find("Fragile("), std::string::npos);
  }
  failing = false;
  EXPECT_EQ(Pair::make().run_graph().value, 5);
}

TEST(Failure, StopsStartingUnlessAskedToGoOn) {
  TempCache cache;
  failing = true;
  try {
    (void)Pair::make().run_graph({.jobs = 1});
    FAIL();
  } catch (const TaskFailed& error) { EXPECT_EQ(error.failures().size(), 1u); }
  failing = false;
}

std::atomic<int> label_running{0};
std::atomic<int> label_most{0};

struct Limited : Task<Limited, int(int)> {
  static constexpr std::array task_labels{"gpu", "memory"};
  const int n;
  explicit Limited(int number) : n(number) {}
  int run_task() {
    const int now = ++label_running;
    int most = label_most.load();
    while (now > most && !label_most.compare_exchange_weak(most, now)) {}
    std::this_thread::yield();
    --label_running;
    return n;
  }
};

struct Single : Task<Single, int(int)> {
  static constexpr const char* task_label = "gpu";
  const int n;
  explicit Single(int number) : n(number) {}
  int run_task() {
    const int now = ++label_running;
    int most = label_most.load();
    while (now > most && !label_most.compare_exchange_weak(most, now)) {}
    --label_running;
    return n;
  }
};

struct Joined : Task<Joined, int(int)> {
  FutureList<int> items;
  explicit Joined(int count) {
    for (int i = 0; i < count; ++i) {
      items.push_back(i % 2 == 0 ? Future<int>(Limited::make(i)) : Future<int>(Single::make(i)));
    }
  }
  int run_task() {
    int sum = 0;
    for (const int item : *items) sum += item;
    return sum;
  }
};

TEST(Labels, LimitOfOneIsNeverExceeded) {
  TempCache cache;
  label_most = 0;
  const auto outcome = Joined::make(10'000).run_graph({.rate_limits = {{"gpu", 1}}, .jobs = 4});
  EXPECT_EQ(outcome.value, 49'995'000);
  EXPECT_EQ(label_most, 1);
}

TEST(Labels, LimitsThatCannotBeAreRefusedBeforeTheRun) {
  TempCache cache;
  EXPECT_THROW((void)Joined::make(2).run_graph({.rate_limits = {{"gpu", 0}}}), InvalidArgument);
  EXPECT_THROW((void)Joined::make(2).run_graph({.prefixes = {{"gpu", "a 'b"}}}), InvalidArgument);
  EXPECT_THROW((void)Joined::make(2).run_graph({.executor = slurm({.mode = "steps"})}),
               InvalidArgument);
  EXPECT_THROW((void)Joined::make(2).run_graph({.executor = slurm({.transport = "pigeons"})}),
               InvalidArgument);
}

// As many tasks as jobs are in run_task at the same time, however few the cores.
std::barrier<>* meeting = nullptr;
struct Meets : Task<Meets, int(int)> {
  explicit Meets(int) {}
  int run_task() {
    meeting->arrive_and_wait();
    return 1;
  }
};
struct MeetAll : Task<MeetAll, int()> {
  FutureList<int> all{Meets::make(0), Meets::make(1), Meets::make(2), Meets::make(3)};
  int run_task() { return static_cast<int>(all->size()); }
};

TEST(Jobs, WaitingTasksOverlapBeyondTheCores) {
  TempCache cache;
  std::barrier<> four(4);
  meeting = &four;
  EXPECT_EQ(MeetAll::make().run_graph({.jobs = 4}).value, 4);
}

struct ReadFile : Task<ReadFile, std::string(std::string)> {
  File file;
  explicit ReadFile(const std::string& path) : file(path) {}
  std::string run_task() { return read(*file); }
};

struct Length : Task<Length, std::size_t(std::string)> {
  Future<std::string> text;
  explicit Length(const std::string& path) { text = ReadFile::make(path); }
  std::size_t run_task() { return text->size(); }
};

TEST(External, ContentCountsNotTime) {
  TempCache cache;
  TempDirectory files;
  const fs::path path = files / "data.csv";
  write(path, "abc");
  const auto task = Length::make(path.string());
  EXPECT_EQ(task.run_graph().value, 3u);
  EXPECT_EQ(task.run_graph().stats.planned, 0u);
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(5));
  EXPECT_EQ(task.run_graph().stats.planned, 0u) << "touched, not changed";
  write(path, "xyz");
  auto stats = task.run_graph().stats;
  EXPECT_EQ(stats.ran, 2u);
  EXPECT_EQ(task.run_graph().stats.planned, 0u);
  write(path, "longer");
  EXPECT_EQ(task.run_graph().value, 6u);
}

struct FirstLine : Task<FirstLine, std::string(std::string)> {
  File file;
  explicit FirstLine(const std::string& path) : file(path) {}
  std::string run_task() {
    std::ifstream in(*file);
    std::string line;
    std::getline(in, line);
    return line;
  }
};
struct Shout : Task<Shout, std::string(std::string)> {
  Future<std::string> line;
  explicit Shout(const std::string& path) { line = FirstLine::make(path); }
  std::string run_task() { return *line + "!"; }
};

TEST(External, EqualResultStopsTheChange) {
  TempCache cache;
  TempDirectory files;
  const fs::path path = files / "data.csv";
  write(path, "one\ntwo");
  const auto task = Shout::make(path.string());
  EXPECT_EQ(task.run_graph().value, "one!");
  write(path, "one\nthree");
  const auto stats = task.run_graph().stats;
  EXPECT_EQ(stats.ran, 1u);
  EXPECT_EQ(stats.unchanged, 1u);
}

TEST(External, MissingInputFailsBeforeAnythingRuns) {
  TempCache cache;
  try {
    (void)ReadFile::make("/nowhere/at/all.csv").run_graph();
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/at/all.csv"), std::string::npos);
  }
}

std::string directory_text = "first";
std::atomic<bool> directory_fails{false};

struct WithDirectory : Task<WithDirectory, fs::path()> {
  fs::path run_task() {
    const fs::path directory = task_directory();
    EXPECT_TRUE(fs::is_empty(directory));
    write(directory / "out.txt", directory_text);
    if (directory_fails) throw std::runtime_error("half way");
    return directory / "out.txt";
  }
};
struct UsesDirectory : Task<UsesDirectory, std::string()> {
  Future<fs::path> path = WithDirectory::make();
  std::string run_task() { return read(*path); }
};

TEST(Directories, ContentIsPartOfTheResult) {
  TempCache cache;
  directory_text = "first";
  EXPECT_EQ(UsesDirectory::make().run_graph().value, "first");
  EXPECT_TRUE(fs::exists(WithDirectory::make().task_directory() / "out.txt"));
  WithDirectory::make().clear_task();
  EXPECT_FALSE(fs::exists(WithDirectory::make().task_directory() / "out.txt"));
  directory_text = "second";
  const auto outcome = UsesDirectory::make().run_graph();
  EXPECT_EQ(outcome.value, "second");
  EXPECT_EQ(outcome.stats.ran, 2u);
  UsesDirectory::clear_all_tasks();
  EXPECT_TRUE(fs::exists(WithDirectory::make().task_directory() / "out.txt"));
}

struct Rebuilt : Task<Rebuilt, int(std::string)> {
  File input;
  explicit Rebuilt(const std::string& path) : input(path) {}
  int run_task() {
    write(task_directory() / "out.txt", read(*input));
    if (read(*input) == "bad") throw std::runtime_error("bad input");
    return 1;
  }
};

TEST(Directories, FailedRebuildGivesTheLastGoodOneBack) {
  TempCache cache;
  TempDirectory files;
  write(files / "in", "good");
  const auto task = Rebuilt::make((files / "in").string());
  (void)task.run_graph();
  write(files / "in", "bad");
  EXPECT_THROW((void)task.run_graph(), TaskFailed);
  EXPECT_EQ(read(task.task_directory() / "out.txt"), "good");
  EXPECT_EQ(task.get_result(), 1);
  write(files / "in", "good");
  EXPECT_EQ(task.run_graph().stats.unchanged, 1u);
}

struct Arguments {
  double learning_rate = 0.1;
  int epochs = 3;
};
struct Named : Task<Named, double(Arguments)> {
  const Arguments arguments;
  explicit Named(const Arguments& given) : arguments(given) {}
  double run_task() { return arguments.learning_rate * arguments.epochs; }
};

TEST(Arguments_, NamedAndDefaultsAreOneKey) {
  EXPECT_EQ(Named::make({}).key(), Named::make({.learning_rate = 0.1, .epochs = 3}).key());
  EXPECT_NE(Named::make({}).key(), Named::make({.epochs = 4}).key());
  EXPECT_EQ(Named::make({}).to_json().at("epochs").get<int>(), 3);
  try {
    (void)detail::class_info<Named>().from_json(Json::parse(R"([{"lrr": 1}])"));
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("lrr"), std::string::npos) << error.what();
  }
}

struct Text : Task<Text, std::string(std::string, double)> {
  const std::string text;
  Text(const std::string& words, double) : text(words) {}
  std::string run_task() { return text; }
};

TEST(Arguments_, WhatHasNoCanonicalFormIsRefused) {
  EXPECT_THROW((void)Text::make("a", std::numeric_limits<double>::quiet_NaN()), InvalidArgument);
  EXPECT_THROW((void)Text::make("\xff\xfe", 0), InvalidArgument);
  EXPECT_NE(Text::make("a", 0.0).key(), Text::make("a", -0.0).key());
}

struct Seeded : Task<Seeded, std::uint64_t(int)> {
  explicit Seeded(int) {}
  std::uint64_t run_task() { return task_seed(); }
};

TEST(Task, SeedComesFromTheKey) {
  TempCache cache;
  const auto a = Seeded::make(1);
  EXPECT_EQ(a.run_graph().value, a.task_seed());
  EXPECT_NE(a.task_seed(), Seeded::make(2).task_seed());
}

std::atomic<int> transient_runs{0};
struct Transient : Task<Transient, int()> {
  static constexpr auto task_store = Store::never;
  int run_task() {
    ++transient_runs;
    return 5;
  }
};
struct UsesTransient : Task<UsesTransient, int()> {
  Future<int> value = Transient::make();
  int run_task() { return *value; }
};

TEST(Task, ResultsThatAreNotKept) {
  TempCache cache;
  transient_runs = 0;
  EXPECT_EQ(UsesTransient::make().run_graph().value, 5);
  EXPECT_EQ(UsesTransient::make().run_graph().stats.ran, 0u);
  UsesTransient::make().clear_task();
  EXPECT_EQ(UsesTransient::make().run_graph().stats.ran, 2u);
  EXPECT_EQ(transient_runs, 2);
}

struct Raw : Task<Raw, std::vector<double>(int)> {
  static constexpr int task_compress_level = 0;
  const int n;
  explicit Raw(int size) : n(size) {}
  std::vector<double> run_task() { return std::vector<double>(static_cast<std::size_t>(n), 1.5); }
};
struct RawSum : Task<RawSum, double(int)> {
  Future<std::vector<double>> raw;
  explicit RawSum(int n) { raw = Raw::make(n); }
  double run_task() {
    double sum = 0;
    for (const double x : *raw) sum += x;
    return sum;
  }
};

TEST(Damage, DeletedObjectIsMadeAgain) {
  TempCache cache;
  EXPECT_EQ(RawSum::make(500'000).run_graph().value, 750'000);
  std::size_t removed = 0;
  for (const auto& entry : fs::recursive_directory_iterator(cache.root() / "objects")) {
    if (entry.is_regular_file()) removed += fs::remove(entry.path());
  }
  ASSERT_EQ(removed, 1u);
  EXPECT_EQ(RawSum::make(500'000).run_graph().stats.ran, 0u) << "the root still answers";
  RawSum::make(500'000).clear_task();
  const auto outcome = RawSum::make(500'000).run_graph();
  EXPECT_EQ(outcome.value, 750'000);
  EXPECT_EQ(outcome.stats.ran, 2u);
  EXPECT_EQ(cache.warnings(), 1);
}

TEST(Concurrency, TwoRunsInOneProcessExecuteAKeyOnce) {
  TempCache cache;
  std::atomic<std::size_t> ran{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      Cache own(cache.root());
      ran += Joined::make(500).run_graph({.jobs = 2}).stats.ran;
    });
  }
  threads.clear();
  EXPECT_EQ(ran, 501u);
}

}  // namespace
