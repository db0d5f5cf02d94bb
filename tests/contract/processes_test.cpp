// Tasks in worker processes: the same results, output in files, deaths that are named, limits.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <regex>
#include <set>
#include <thread>

#include "runtime/memory_group.h"
#include "src/store.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

#include <stook/stook.hpp>

namespace processes {

// An argument that comes out of its encoding as another.
struct Lossy {
  int n;
};

}  // namespace processes

template <> struct stook::Argument<processes::Lossy> {
  static void encode(CanonicalWriter& writer, const processes::Lossy& lossy) {
    Argument<int>::encode(writer, lossy.n);
  }
  static processes::Lossy decode(const Json& json, std::string_view where) {
    return {Argument<int>::decode(json, where) + 1};
  }
};

namespace processes {
namespace {

namespace fs = std::filesystem;
using namespace stook;
using stook::test::contains;
using stook::test::failures_of;
using stook::test::read;
using test::TempCache;
using test::TempDirectory;

RunOptions in_processes(int count = 2) {
  RunOptions options;
  options.executor = stook::processes(count);
  return options;
}

struct Pid : Task<Pid, long(int)> {
  explicit Pid(int) {}
  long run_task() { return ::getpid(); }
};
struct Pids : Task<Pids, std::vector<long>(int)> {
  FutureList<long> pids;
  explicit Pids(int count) {
    for (int i = 0; i < count; ++i) pids.push_back(Pid::make(i));
  }
  std::vector<long> run_task() {
    std::vector<long> all = *pids;
    all.push_back(::getpid());
    return all;
  }
};

TEST(Processes, TasksRunInFewProcessesThatStay) {
  TempCache cache;
  const auto [pids, stats] = Pids::make(500).run_graph(in_processes(2));
  const std::set<long> distinct(pids.begin(), pids.end());
  EXPECT_EQ(stats.ran, 501u);
  EXPECT_LE(distinct.size(), 2u);
  EXPECT_FALSE(distinct.contains(::getpid()));
}

TEST(Processes, WhatTheyMadeIsFoundByLaterRuns) {
  TempCache cache;
  const auto first = Pids::make(10).run_graph(in_processes());
  cache.reopen();
  const auto again = Pids::make(10).run_graph();
  EXPECT_EQ(again.value, first.value);
  EXPECT_EQ(again.stats.ran, 0u);
}

struct Point {
  double x = 0;
  std::string name;
};
struct Parts {
  std::vector<Point> points;
  std::map<std::string, std::vector<int>> table;
};
struct MakesParts : Task<MakesParts, Parts(int)> {
  const int n;
  explicit MakesParts(int count) : n(count) {}
  Parts run_task() {
    Parts parts;
    for (int i = 0; i < n; ++i) parts.points.push_back({i * 0.5, "point " + std::to_string(i)});
    parts.table["a"] = {1, 2, 3};
    return parts;
  }
};
// Futures in every way a task can have one: members, arguments, elements, lists, JSON.
struct UsesParts : Task<UsesParts, std::string(Future<Parts>, Future<std::vector<int>>, Json)> {
  Future<Parts> whole;
  Future<std::vector<int>> element;
  Future<long> in_json;
  FutureList<long> list;
  Future<int> constant = Const(7);
  UsesParts(const Future<Parts>& parts, const Future<std::vector<int>>& row, const Json& json)
      : whole(parts), element(row), in_json(json.at("pid").get<Future<long>>()) {
    list.push_back(in_json);
    list.push_back(Const(1L));
  }
  std::string run_task() {
    return std::to_string(whole->points.size()) + " " + std::to_string(element->at(2)) + " " +
           std::to_string(list->size()) + " " + std::to_string(*constant) + " " +
           whole->points.back().name + (*in_json > 0 ? " ok" : "");
  }
};

TEST(Processes, FuturesReachTheWorkerHoweverTheyAreHeld) {
  TempCache cache;
  const auto parts = MakesParts::make(3);
  const auto row = parts.member<&Parts::table>()["a"];
  const auto task = UsesParts::make(parts, row, Json{{"pid", Pid::make(1)}});
  EXPECT_EQ(task.run_graph(in_processes()).value, "3 3 2 7 point 2 ok");
  UsesParts::clear_all_tasks();
  EXPECT_EQ(task.run_graph(in_processes()).stats.ran, 1u);
}

struct LargeValue : Task<LargeValue, std::vector<double>(int)> {
  const int n;
  explicit LargeValue(int count) : n(count) {}
  std::vector<double> run_task() {
    std::vector<double> values(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) values[static_cast<std::size_t>(i)] = i;
    return values;
  }
};
struct SumsLarge : Task<SumsLarge, double(int)> {
  Future<std::vector<double>> values;
  explicit SumsLarge(int count) : values(LargeValue::make(count)) {}
  double run_task() {
    double sum = 0;
    for (const double value : *values) sum += value;
    return sum;
  }
};

TEST(Processes, LargeValuesTravelAsObjects) {
  TempCache cache;
  EXPECT_EQ(SumsLarge::make(400'000).run_graph(in_processes()).value, 79999800000.0);
  EXPECT_EQ(LargeValue::make(400'000).get_result().back(), 399'999.0);
}

struct Shared : Task<Shared, std::string(int)> {
  static constexpr auto task_store = Store::never;
  const int n;
  explicit Shared(int number) : n(number) {}
  std::string run_task() { return std::string(static_cast<std::size_t>(n), 'x'); }
};
struct UsesShared : Task<UsesShared, std::size_t()> {
  Future<std::string> small = Shared::make(10), large = Shared::make(3'000'000);
  std::size_t run_task() { return small->size() + large->size(); }
};

TEST(Processes, ValuesThatAreNotKeptAreSharedWithinTheRun) {
  TempCache cache;
  EXPECT_EQ(UsesShared::make().run_graph(in_processes()).value, 3'000'010u);
}

struct Prints : Task<Prints, int(int)> {
  const int n;
  explicit Prints(int number) : n(number) {}
  int run_task() {
    std::cout << "cout " << n << '\n';
    std::printf("printf %d\n", n);
    std::cerr << "cerr " << n << '\n';
    if (::system("echo child; echo child on stderr >&2") != 0) throw std::runtime_error("system");
    return n;
  }
};
struct Silent : Task<Silent, int(int)> {
  explicit Silent(int) {}
  int run_task() { return 1; }
};

TEST(Processes, OutputGoesToTheTasksOwnFiles) {
  TempCache cache;
  testing::internal::CaptureStdout();
  (void)run_graphs({Prints::make(1), Prints::make(2), Silent::make(1)}, in_processes());
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  for (const int n : {1, 2}) {
    const std::string out = read(Prints::make(n).task_stdout());
    EXPECT_TRUE(contains(out, "cout " + std::to_string(n) + "\n")) << out;
    EXPECT_TRUE(contains(out, "printf " + std::to_string(n) + "\n")) << out;
    EXPECT_TRUE(contains(out, "child\n")) << out;
    EXPECT_EQ(read(Prints::make(n).task_stderr()),
              "cerr " + std::to_string(n) + "\nchild on stderr\n");
  }
  EXPECT_FALSE(fs::exists(Silent::make(1).task_stdout()));
  EXPECT_FALSE(fs::exists(Silent::make(1).task_stdout().parent_path()));
}

TEST(Processes, OutputIsShownWhereItIsAskedFor) {
  TempCache cache;
  RunOptions options = in_processes();
  options.show_output = Prints::make(0).task_name() + "(2)";
  testing::internal::CaptureStdout();
  (void)run_graphs({Prints::make(1), Prints::make(2), Silent::make(1)}, options);
  const std::string shown = testing::internal::GetCapturedStdout();
  EXPECT_EQ(shown, read(Prints::make(2).task_stdout()));
  EXPECT_TRUE(contains(shown, "cout 2"));
  options.show_output = "NoSuchClass(1)";
  EXPECT_THROW((void)Prints::make(3).run_graph(options), InvalidArgument);
}

struct TakesLossy : Task<TakesLossy, int(Lossy)> {
  explicit TakesLossy(Lossy) {}
  int run_task() { return 1; }
};

TEST(Processes, ArgumentsThatAreOthersInTheWorkerAreNamed) {
  TempCache cache;
  const auto failures = failures_of(TakesLossy::make(Lossy{1}), in_processes());
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(contains(failures[0].cause, "another key in the worker")) << failures[0].cause;
}

struct PrintsMuch : Task<PrintsMuch, int()> {
  int run_task() {
    const std::string line(1023, 'x');
    for (int i = 0; i < 4096; ++i) std::cout << line << '\n';
    return 1;
  }
};

TEST(Processes, LogsAreCappedWithANote) {
  TempCache cache;
  RunOptions options = in_processes();
  options.log_limit = 100'000;
  (void)PrintsMuch::make().run_graph(options);
  const std::string out = read(PrintsMuch::make().task_stdout());
  EXPECT_LE(out.size(), 100'200u);
  EXPECT_TRUE(contains(out, "not kept")) << out.substr(out.size() - 100);
}

// A task that goes on and on does not fill the disk: it sees its own output being cut.
struct PrintsOn : Task<PrintsOn, bool()> {
  bool run_task() {
    const std::string much(1'000'000, 'x');
    std::cout << much << std::flush;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(15);
    struct stat status = {};
    do {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      ::fstat(STDOUT_FILENO, &status);
    } while (status.st_size > 100'000 && std::chrono::steady_clock::now() < end);
    return status.st_size <= 100'000;
  }
};

TEST(Processes, LogsAreCappedWhileTheyGrow) {
  TempCache cache;
  RunOptions options = in_processes();
  options.log_limit = 100'000;
  EXPECT_TRUE(PrintsOn::make().run_graph(options).value);
}

struct Dies : Task<Dies, int(std::string)> {
  const std::string way;
  explicit Dies(std::string how) : way(std::move(how)) {}
  int run_task() {
    std::cerr << "last words of " << way << '\n';
    if (way == "segv") ::raise(SIGSEGV);
    if (way == "kill") ::raise(SIGKILL);
    if (way == "abort") std::abort();
    if (way == "exit 0") ::_exit(0);
    if (way == "exit 7") std::exit(7);
    if (way == "throw") throw std::out_of_range("too far");
    if (way == "int") throw 42;
    if (way == "loop") {
      for (;;) ::pause();
    }
    return 1;
  }
};

struct DeathCase {
  const char* way;
  const char* named;
};

TEST(Processes, DeathsAreNamedAndTheOthersGoOn) {
  for (const auto& [way, named] : {DeathCase{"segv", "signal 11"},
                                   {"kill", "signal 9"},
                                   {"abort", "signal 6"},
                                   {"exit 0", "exit status 0"},
                                   {"exit 7", "exit status 7"},
                                   {"throw", "std::out_of_range: too far"},
                                   {"int", "int"}}) {
    TempCache cache;
    RunOptions options = in_processes();
    options.keep_going = true;
    std::vector<Failure> failures;
    try {
      std::vector<AnyFuture> roots{Dies::make(way)};
      for (int i = 0; i < 50; ++i) roots.push_back(Silent::make(i));
      (void)run_graphs(roots, options);
    } catch (const TaskFailed& error) { failures = error.failures(); }
    ASSERT_EQ(failures.size(), 1u) << way;
    EXPECT_TRUE(contains(failures[0].cause, named)) << failures[0].cause;
    EXPECT_TRUE(std::regex_search(failures[0].cause,
                                  std::regex("\n  on host \\S+, attempt 1, after [0-9.e-]+ s\n")))
        << failures[0].cause;
    EXPECT_TRUE(contains(failures[0].cause, std::string("last words of ") + way))
        << failures[0].cause;
    EXPECT_EQ(read(failures[0].stderr_path), std::string("last words of ") + way + "\n");
    for (int i = 0; i < 50; ++i) EXPECT_EQ(Silent::make(i).get_result(), 1) << way;
  }
}

struct Quick : Task<Quick, int(int, int, std::string)> {
  const int n;
  const int fails_at;
  const std::string log;
  Quick(int number, int fails, std::string file)
      : n(number), fails_at(fails), log(std::move(file)) {}
  int run_task() {
    std::ofstream(log, std::ios::app) << n << '\n';
    if (n == fails_at) throw std::runtime_error("told to fail");
    return 1;
  }
};

// Short tasks wait at a worker, many at a time: those behind one that fails do not begin.
TEST(Processes, NothingStartsAfterAFailure) {
  TempCache cache;
  test::TempDirectory files;
  const std::string log = (files / "log").string();
  for (const int fails_at : {100, -1}) {
    std::vector<AnyFuture> roots;
    for (int i = 0; i < 300; ++i) roots.push_back(Quick::make(i, fails_at, log));
    try {
      (void)run_graphs(roots, in_processes(1));
      EXPECT_EQ(fails_at, -1);
    } catch (const TaskFailed& error) { EXPECT_EQ(error.failures().size(), 1u); }
    std::istringstream lines(read(log));
    int count = 0;
    int last = -1;
    for (; lines >> last; ++count) {}
    if (fails_at < 0) {
      EXPECT_EQ(count, 300);
    } else {
      EXPECT_EQ(last, fails_at);
      EXPECT_LT(count, 300);
    }
    fs::remove(log);
  }
}

TEST(Processes, TimeLimitKillsTheTaskAndItsChildren) {
  TempCache cache;
  RunOptions options = in_processes();
  options.timeout = 0.2;
  const auto failures = failures_of(Dies::make("loop"), options);
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(contains(failures[0].cause, "time limit of 0.2 s")) << failures[0].cause;
}

struct Allocates : Task<Allocates, std::size_t(long)> {
  static constexpr std::uint64_t task_memory = 64 << 20;
  const long bytes;
  explicit Allocates(long size) : bytes(size) {}
  std::size_t run_task() {
    std::vector<char> memory(static_cast<std::size_t>(bytes), 'x');
    return static_cast<std::size_t>(memory.back());
  }
};

TEST(Processes, MemoryLimitIsNamed) {
  TempCache cache;
  EXPECT_EQ(Allocates::make(16 << 20).run_graph(in_processes()).value, std::size_t{'x'});
  const auto failures = failures_of(Allocates::make(1L << 30), in_processes());
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(contains(failures[0].cause, "out of memory")) << failures[0].cause;
  EXPECT_TRUE(contains(failures[0].cause, "64 MiB")) << failures[0].cause;
}

// Two children, each of which stays below the limit.
struct AllocatesInChildren : Task<AllocatesInChildren, int(bool)> {
  static constexpr std::uint64_t task_memory = 64 << 20;
  const bool here;
  explicit AllocatesInChildren(bool also_here) : here(also_here) {}
  int run_task() {
    std::vector<char> memory(here ? 56 << 20 : 0, 'x');
    // `tail` keeps what has no line end; both hold theirs when the second one has all of it.
    const int status = std::system(
        "head -c 25000000 /dev/zero | tail > /dev/null & "
        "head -c 25000000 /dev/zero | tail > /dev/null; a=$?; wait $!; exit $((a + $?))");
    if (status != 0) throw std::runtime_error("a child failed");
    return static_cast<int>(memory.size());
  }
};

TEST(Processes, MemoryLimitHoldsForTheTaskAndItsChildrenTogether) {
  if (!detail::MemoryGroup::enter("a/test")) GTEST_SKIP() << "no control groups can be made here";
  TempCache cache;
  RunOptions prefix;
  prefix.prefixes = {{AllocatesInChildren::make(true).task_name(), "env"}};
  for (const RunOptions& options : {in_processes(1), prefix}) {
    const auto failures = failures_of(AllocatesInChildren::make(true), options);
    ASSERT_EQ(failures.size(), 1u);
    EXPECT_TRUE(contains(failures[0].cause, "out of memory")) << failures[0].cause;
    EXPECT_TRUE(contains(failures[0].cause, "task_memory")) << failures[0].cause;
  }
  EXPECT_EQ(AllocatesInChildren::make(false).run_graph(in_processes(1)).value, 0);
}

struct Leaves : Task<Leaves, fs::path(std::string)> {
  const std::string text;
  explicit Leaves(std::string what) : text(std::move(what)) {}
  fs::path run_task() {
    EXPECT_TRUE(fs::is_empty(task_directory()));
    std::ofstream(task_directory() / "out") << text;
    if (const char* die = std::getenv("STOOK_TEST_DIE"); die != nullptr && *die != 0) {
      if (*die == 't') throw std::runtime_error("told to fail");
      ::raise(SIGKILL);
    }
    return task_directory() / "out";
  }
};
struct ReadsLeft : Task<ReadsLeft, std::string(std::string)> {
  Future<fs::path> left;
  explicit ReadsLeft(const std::string& text) : left(Leaves::make(text)) {}
  std::string run_task() { return read(*left); }
};

TEST(Processes, DirectoriesAreAllOrNothing) {
  TempCache cache;
  const auto task = ReadsLeft::make("abc");
  EXPECT_EQ(task.run_graph(in_processes()).value, "abc");
  const fs::path out = Leaves::make("abc").task_directory() / "out";
  EXPECT_EQ(read(out), "abc");
  for (const char* way : {"throw", "kill"}) {
    std::ofstream(out) << "the last good one";
    ::setenv("STOOK_TEST_DIE", way, 1);
    RunOptions options = in_processes();
    options.rebuild = Rebuild::downstream;
    const Key key = Leaves::make("abc").key();
    detail::Entry entry;
    cache->store().lookup({&key, 1}, {&entry, 1});
    cache->store().mark_damaged(key, entry, "told to");
    EXPECT_EQ(failures_of(Leaves::make("abc"), options).size(), 1u) << way;
    ::unsetenv("STOOK_TEST_DIE");
    EXPECT_EQ(read(out), "the last good one") << way;
    EXPECT_EQ(fs::exists(out.parent_path().parent_path() / "data.previous"), false) << way;
  }
  EXPECT_EQ(Leaves::make("abc").run_graph(in_processes()).stats.ran, 1u);
  EXPECT_EQ(read(out), "abc");
}

struct Environment : Task<Environment, std::string(std::string)> {
  const std::string name;
  explicit Environment(std::string variable) : name(std::move(variable)) {}
  std::string run_task() {
    const char* value = std::getenv(name.c_str());
    return value != nullptr ? value : "(none)";
  }
};
struct Where : Task<Where, std::string()> {
  std::string run_task() { return fs::current_path().string(); }
};

TEST(Processes, EnvironmentAndDirectoryAreWhatWasAskedFor) {
  TempCache cache;
  TempDirectory elsewhere;
  ::setenv("STOOK_TEST_SEEN", "seen", 1);
  ::setenv("STOOK_TEST_HIDDEN", "hidden", 1);
  EXPECT_EQ(Environment::make("STOOK_TEST_HIDDEN").run_graph(in_processes()).value, "hidden");
  Environment::clear_all_tasks();
  RunOptions options = in_processes();
  options.environment = {"STOOK_TEST_SEEN", "PATH"};
  options.working_directory = elsewhere.path();
  EXPECT_EQ(Environment::make("STOOK_TEST_SEEN").run_graph(options).value, "seen");
  EXPECT_EQ(Environment::make("STOOK_TEST_HIDDEN").run_graph(options).value, "(none)");
  EXPECT_EQ(Where::make().run_graph(options).value, fs::canonical(elsewhere.path()));
}

struct InputOfDamaged : Task<InputOfDamaged, std::size_t()> {
  Future<std::vector<double>> values = LargeValue::make(300'000);
  std::size_t run_task() { return values->size(); }
};

TEST(Processes, DamagedInputIsComputedAgain) {
  TempCache cache;
  (void)LargeValue::make(300'000).run_graph(in_processes());
  for (const auto& entry : fs::recursive_directory_iterator(cache.root() / "objects")) {
    if (entry.is_regular_file()) fs::resize_file(entry.path(), 1000);
  }
  const auto [size, stats] = InputOfDamaged::make().run_graph(in_processes());
  EXPECT_EQ(size, 300'000u);
  EXPECT_EQ(stats.ran, 2u);
}

struct LeavesChild : Task<LeavesChild, long()> {
  long run_task() {
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) ::pause();
    }
    return child;
  }
};

// In state Z it is dead and waits for its parent to look.
bool is_running(long pid) {
  const std::string stat = read("/proc/" + std::to_string(pid) + "/stat");
  const auto end = stat.rfind(')');
  return end != std::string::npos && stat.substr(end + 2, 1) != "Z";
}

TEST(Processes, ChildrenOfTasksEndWithTheRun) {
  TempCache cache;
  const long child = LeavesChild::make().run_graph(in_processes()).value;
  while (is_running(child)) std::this_thread::yield();
}

struct Slowly : Task<Slowly, int(int)> {
  explicit Slowly(int) {}
  int run_task() {
    progress(0.5, "half");
    return ::getpid() > 0;
  }
};

TEST(Processes, ProgressAndStopAreHeard) {
  TempCache cache;
  EXPECT_EQ(Slowly::make(1).run_graph(in_processes()).value, 1);
}

}  // namespace
}  // namespace processes
