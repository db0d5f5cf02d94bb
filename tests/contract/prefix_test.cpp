// Tasks behind prefix commands: which one is taken, where output goes, wrappers that lie.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>

#include "runtime/run.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

#include <stook/stook.hpp>

namespace prefix {
namespace {

namespace fs = std::filesystem;
using namespace stook;
using stook::test::contains;
using stook::test::failures_of;
using stook::test::read;
using test::TempCache;
using test::TempDirectory;

// A wrapper command: a script that gets the task's command line as its arguments.
class Wrapper {
 public:
  explicit Wrapper(const std::string& body) : path_(directory_ / "a wrapper's script") {
    std::ofstream(path_) << "#!/bin/bash\n" << body << '\n';
    ::chmod(path_.c_str(), 0700);
  }
  // As one word of a prefix command.
  [[nodiscard]] std::string command() const { return "\"" + path_.string() + "\""; }
  [[nodiscard]] fs::path operator/(const char* name) const { return directory_.path() / name; }

 private:
  TempDirectory directory_;
  const fs::path path_;
};

RunOptions with(std::map<std::string, std::string> prefixes) {
  RunOptions options;
  options.prefixes = std::move(prefixes);
  return options;
}
void append_line(const std::string& file, const std::string& text) {
  const int fd = ::open(file.c_str(), O_CREAT | O_APPEND | O_WRONLY, 0600);
  const std::string line = text + "\n";
  if (fd < 0 || ::write(fd, line.data(), line.size()) < 0) throw std::runtime_error("cannot note");
  ::close(fd);
}

struct Noted : Task<Noted, long(int, std::string)> {
  static constexpr std::array task_labels{"first", "second"};
  const int n;
  const std::string file;
  Noted(int number, std::string where) : n(number), file(std::move(where)) {}
  long run_task() {
    std::cout << "task out\n";
    std::cerr << "task err\n";
    if (!file.empty()) append_line(file, std::to_string(n));
    if (n < 0) throw std::runtime_error("told to fail");
    return ::getpid();
  }
};
struct SumOfNoted : Task<SumOfNoted, long(int)> {
  FutureList<long> noted;
  explicit SumOfNoted(int count) {
    for (int i = 0; i < count; ++i) noted.push_back(Noted::make(i, ""));
  }
  long run_task() { return static_cast<long>(noted->size()); }
};

TEST(Prefix, RunsEachTaskInAProcessBehindTheCommand) {
  TempCache cache;
  const Wrapper wrapper("echo \"wrapper out\"; echo \"wrapper err\" >&2; exec \"$@\"");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const auto task = Noted::make(1, "");
  const auto pid = task.run_graph(with({{"first", wrapper.command()}})).value;
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_NE(pid, ::getpid());
  EXPECT_EQ(read(task.task_stdout()), "task out\n");
  EXPECT_EQ(read(task.task_stderr()), "task err\n");
  EXPECT_EQ(read(task.task_stdout().parent_path() / "wrapper.stdout"), "wrapper out\n");
  EXPECT_EQ(read(task.task_stdout().parent_path() / "wrapper.stderr"), "wrapper err\n");
}

TEST(Prefix, OutputIsKeptApartWhenTheTaskThrows) {
  TempCache cache;
  const Wrapper wrapper("echo \"wrapper err\" >&2; exec \"$@\"");
  const auto thrown = failures_of(Noted::make(-2, ""), with({{"second", wrapper.command()}}));
  ASSERT_EQ(thrown.size(), 1u);
  EXPECT_TRUE(contains(thrown[0].cause, "std::runtime_error: told to fail")) << thrown[0].cause;
  EXPECT_TRUE(contains(thrown[0].cause, "task err")) << thrown[0].cause;
  EXPECT_EQ(read(thrown[0].stdout_path), "task out\n");
  EXPECT_EQ(read(thrown[0].stderr_path), "task err\n");
}

struct Patient : Task<Patient, int(std::string)> {
  static constexpr std::array task_labels{"first"};
  const fs::path directory;
  explicit Patient(std::string where) : directory(std::move(where)) {}
  int run_task() {
    const auto tries = [&] {
      return std::distance(fs::directory_iterator(directory), fs::directory_iterator());
    };
    while (tries() < 3) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::this_thread::sleep_for(std::chrono::milliseconds(300));  // the driver has given up by now
    return 1;
  }
};
struct Elsewhere : Task<Elsewhere, int()> {
  int run_task() { return 1; }
};
struct AndElsewhere : Task<AndElsewhere, int(std::string)> {
  Future<int> patient, elsewhere = Elsewhere::make();
  explicit AndElsewhere(const std::string& where) : patient(Patient::make(where)) {}
  int run_task() { return *patient + *elsewhere; }
};

// What is executed stays its executor's, whoever cannot be started meanwhile.
TEST(Prefix, TasksGoOnWhereNoWorkerCanBeHad) {
  TempCache cache;
  const TempDirectory directory;
  ::setenv("STOOK_TEST_NO_WORKERS", directory.path().c_str(), 1);
  RunOptions options = with({{"first", ""}});
  options.executor = processes(1);
  const std::string where = directory.path().string();
  EXPECT_THROW((void)AndElsewhere::make(where).run_graph(options), ExecutorError);
  ::unsetenv("STOOK_TEST_NO_WORKERS");
  EXPECT_EQ(Patient::make(where).run_graph().stats.ran, 0u);
}

TEST(Prefix, EmptyMeansAProcessWithoutAWrapper) {
  TempCache cache;
  const auto one = Noted::make(1, "").run_graph(with({{"second", ""}})).value;
  const auto two = Noted::make(2, "").run_graph(with({{"second", ""}})).value;
  EXPECT_NE(one, ::getpid());
  EXPECT_NE(one, two);
}

TEST(Prefix, TheFirstOfClassNameAndLabelsCounts) {
  TempCache cache;
  const std::string name = Noted::make(0, "").task_name();
  const Wrapper by_class("echo class; exec \"$@\"");
  const Wrapper by_first("echo first; exec \"$@\"");
  const Wrapper by_second("echo second; exec \"$@\"");
  const auto taken = [&](int n, std::map<std::string, std::string> prefixes) {
    const auto task = Noted::make(n, "");
    (void)task.run_graph(with(std::move(prefixes)));
    return read(task.task_stdout().parent_path() / "wrapper.stdout");
  };
  EXPECT_EQ(taken(1, {{"first", by_first.command()}, {"second", by_second.command()}}), "first\n");
  EXPECT_EQ(taken(2, {{"second", by_second.command()}}), "second\n");
  testing::internal::CaptureStderr();
  EXPECT_EQ(taken(3, {{"first", by_first.command()}, {name, by_class.command()}}), "class\n");
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(contains(told, "the one of '" + name + "' is taken")) << told;
}

TEST(Prefix, FieldsAreFilledInAndNothingIsSplitAgain) {
  TempCache cache;
  const Wrapper wrapper(R"(printf '%s\n' "$1" "$2" "$3" "$4"; shift 4; exec "$@")");
  const auto task = Noted::make(1, "");
  (void)task.run_graph(with(
      {{"first", wrapper.command() +
                     " '{task_name} #{task_id}' \"a\\\"b ; $HOME `x`\" 'new\nline ä' {program}"}}));
  EXPECT_EQ(read(task.task_stdout().parent_path() / "wrapper.stdout"),
            task.task_name() + " #" + std::to_string(task.task_id()) +
                "\na\"b ; $HOME `x`\nnew\nline ä\n" + fs::read_symlink("/proc/self/exe").string() +
                "\n");
}

TEST(Prefix, OddCachePathsAreNotParsed) {
  TempDirectory directory;
  Cache cache(directory / "a b'c\"d\\e\nf ä {task_id} $x");
  EXPECT_NE(Noted::make(1, "").run_graph(with({{"first", "env"}})).value, ::getpid());
}

TEST(Prefix, ACommandThatSplitsThePathIsNamedAsTheCause) {
  TempDirectory directory;
  Cache cache(directory / "a b");
  const Wrapper wrapper("exec $*");
  const auto failures = failures_of(Noted::make(1, ""), with({{"first", wrapper.command()}}));
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(contains(failures[0].cause, "splits words at blanks")) << failures[0].cause;
  EXPECT_FALSE(fs::exists(directory / "a.claim"));
}

TEST(Prefix, BadCommandsAreClearErrors) {
  TempCache cache;
  EXPECT_THROW((void)Noted::make(1, "").run_graph(with({{"first", "a 'b"}})), InvalidArgument);
  const auto failures =
      failures_of(Noted::make(2, ""), with({{"first", "no-such-program-at-all"}}));
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(contains(failures[0].cause, "no-such-program-at-all")) << failures[0].cause;
}

// Each link is an argument of the next: what is above it is in no job.
struct LinkByArgument : Task<LinkByArgument, long(Future<long>, int)> {
  Future<long> before;
  LinkByArgument(const Future<long>& last, int) : before(last) {}
  long run_task() { return *before + 1; }
};

TEST(Prefix, AJobIsAsLargeAsItsOwnArgumentsAndInputs) {
  TempCache cache;
  const Wrapper wrapper("stat -c %s \"${@: -1}\" >> \"$(dirname \"$0\")/sizes\"; exec \"$@\"");
  Future<long> last = Const(0L);
  constexpr int links = 40;
  for (int i = 0; i < links; ++i) last = LinkByArgument::make(last, i);
  const std::string name = LinkByArgument::make(Const(0L), 0).task_name();
  EXPECT_EQ(last.run_graph(with({{name, wrapper.command()}})).value, links);
  std::ifstream sizes(wrapper / "sizes");
  std::vector<long> all;
  for (long size = 0; sizes >> size;) all.push_back(size);
  ASSERT_EQ(all.size(), static_cast<std::size_t>(links));
  EXPECT_LT(std::abs(all.back() - all[1]), 32);
  EXPECT_LT(all.back(), 2000);
}

// --- Wrappers that lie -----------------------------------------------------------------------

TEST(PrefixLies, ExitStatusDoesNotDecide) {
  TempCache cache;
  const Wrapper fails("\"$@\"; exit 1");
  EXPECT_NE(Noted::make(1, "").run_graph(with({{"first", fails.command()}})).value, 0);
  const Wrapper succeeds("\"$@\"; exit 0");
  const auto failures = failures_of(Noted::make(-1, ""), with({{"first", succeeds.command()}}));
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(contains(failures[0].cause, "told to fail")) << failures[0].cause;
}

TEST(PrefixLies, OutputThatIsLostLosesNothing) {
  TempCache cache;
  const Wrapper wrapper("exec \"$@\" > /dev/null 2>&1");
  const auto task = Noted::make(1, "");
  EXPECT_NE(task.run_graph(with({{"first", wrapper.command()}})).value, 0);
  EXPECT_EQ(read(task.task_stdout()), "task out\n");
}

TEST(PrefixLies, AResultThatComesLateIsWaitedFor) {
  TempCache cache;
  // It returns at once; the task is executed when the test lets it.
  const Wrapper wrapper("(until [[ -e \"$(dirname \"$0\")/go\" ]]; do read -t 0.01 <> <(:); done; "
                        "exec \"$@\") & exit 0");
  std::ofstream(wrapper / "go");
  EXPECT_NE(Noted::make(1, "").run_graph(with({{"first", wrapper.command()}})).value, 0);
}

TEST(PrefixLies, NoResultAtAllIsAFailureThatSaysSo) {
  TempCache cache;
  RunOptions options = with({{"first", Wrapper("").command()}});
  const Wrapper well("echo 'nothing to see'; exit 0");
  options = with({{"first", well.command()}});
  options.result_wait = 0.1;
  const auto silent = failures_of(Noted::make(1, ""), options);
  ASSERT_EQ(silent.size(), 1u);
  EXPECT_TRUE(contains(silent[0].cause, "exit status 0 and there is no result")) << silent[0].cause;
  const Wrapper badly("echo 'quota exceeded' >&2; exit 9");
  options.prefixes = {{"first", badly.command()}};
  const auto loud = failures_of(Noted::make(1, ""), options);
  ASSERT_EQ(loud.size(), 1u);
  EXPECT_TRUE(contains(loud[0].cause, "exit status 9")) << loud[0].cause;
  EXPECT_TRUE(contains(loud[0].cause, "quota exceeded")) << loud[0].cause;
}

TEST(PrefixLies, StartedTwiceItIsExecutedOnce) {
  TempCache cache;
  const Wrapper wrapper("\"$@\" & \"$@\"; wait; \"$@\"");
  const std::string file = (wrapper / "executions").string();
  for (int i = 0; i < 10; ++i) {
    (void)Noted::make(i, file).run_graph(with({{"first", wrapper.command()}}));
  }
  std::ifstream lines(file);
  std::string line;
  int count = 0;
  while (std::getline(lines, line)) ++count;
  EXPECT_EQ(count, 10);
}

// The last argument is the job's file; the result is beside it.
constexpr const char* find_result = "\"$@\"; job=${@: -1}; f=${job%.job}.result; ";

TEST(PrefixLies, DamagedResultIsNamed) {
  for (const char* harm :
       {"head -c -7", "head -c 100", "tail -c +9",
        "{ head -c -30 \"$f\"; tail -c 30 \"$f\" | tr '\\0-\\377' '\\1-\\377\\0'; }", ":;"}) {
    TempCache cache;
    const Wrapper wrapper(find_result + std::string(harm) +
                          " < \"$f\" > \"$f.x\"; mv \"$f.x\" \"$f\"");
    const auto failures = failures_of(Noted::make(55555, ""), with({{"first", wrapper.command()}}));
    ASSERT_EQ(failures.size(), 1u) << harm;
    EXPECT_TRUE(contains(failures[0].cause, "left as its result is")) << failures[0].cause;
    EXPECT_EQ(Noted::make(55555, "").run_graph().stats.ran, 1u) << harm;
  }
}

TEST(PrefixLies, TheResultOfAnotherTaskIsNamed) {
  TempCache cache;
  const Wrapper wrapper(find_result +
                        std::string("other=${0%/*}/other; if [ -e \"$other\" ]; then "
                                    "cp \"$other\" \"$f\"; else cp \"$f\" \"$other\"; fi"));
  const RunOptions options = with({{"first", wrapper.command()}});
  EXPECT_EQ(Noted::make(1, "").run_graph(options).stats.ran, 1u);
  // As the second job of a run, so that the jobs have other numbers.
  RunOptions both = options;
  both.keep_going = true;
  both.rate_limits = {{"first", 1}};
  try {
    const std::vector<AnyFuture> roots{Noted::make(2, ""), Noted::make(3, "")};
    (void)run_graphs(roots, both);
    ADD_FAILURE() << "neither left its own result";
  } catch (const TaskFailed& error) {
    ASSERT_EQ(error.failures().size(), 2u);
    for (const Failure& failure : error.failures()) {
      EXPECT_TRUE(contains(failure.cause, "another task")) << failure.cause;
    }
  }
}

TEST(PrefixLies, KilledWrapperIsNamed) {
  TempCache cache;
  RunOptions options = with({{"first", Wrapper("").command()}});
  const Wrapper wrapper("kill -SEGV $$");
  options.prefixes = {{"first", wrapper.command()}};
  options.result_wait = 0.1;
  const auto failures = failures_of(Noted::make(1, ""), options);
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(contains(failures[0].cause, "signal 11")) << failures[0].cause;
}

TEST(Prefix, TimeLimitEndsTheWrapperAndTheTask) {
  TempCache cache;
  const Wrapper wrapper("trap '' TERM; while :; do read -t 1 <> <(:); done");
  RunOptions options = with({{"first", wrapper.command()}});
  options.timeout = 0.1;
  options.result_wait = 0.1;
  const auto failures = failures_of(Noted::make(1, ""), options);
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(contains(failures[0].cause, "time limit of 0.1 s")) << failures[0].cause;
}

// It holds the pipe `directory`/alive open as long as it lives, and never looks whether it should
// end.
struct Stubborn : Task<Stubborn, int(std::string)> {
  static constexpr auto task_label = "stubborn";
  const fs::path directory;
  explicit Stubborn(const std::string& where) : directory(where) {}
  int run_task() {
    const int alive = ::open((directory / "alive").c_str(), O_WRONLY | O_CLOEXEC);
    std::ofstream(directory / "begun");
    for (;;) ::pause();
    return alive;
  }
};

// Waits until it is gone.
struct Witness : Task<Witness, int(std::string)> {
  const fs::path directory;
  explicit Witness(const std::string& where) : directory(where) {}
  int run_task() {
    const int alive = ::open((directory / "alive").c_str(), O_RDONLY | O_CLOEXEC);
    char byte = 0;
    const auto got = ::read(alive, &byte, 1);
    ::close(alive);
    return got == 0 ? 1 : 0;
  }
};
struct StubbornAndWitness : Task<StubbornAndWitness, int(std::string)> {
  Future<int> stubborn, witness;
  explicit StubbornAndWitness(const std::string& where)
      : stubborn(Stubborn::make(where)), witness(Witness::make(where)) {}
  int run_task() { return *stubborn + *witness; }
};

// Is killed when its task has made the file `begun` beside it; the task lives on.
constexpr const char* leaves_it_behind = R"(
    setsid -f "$@"
    until [[ -e "$(dirname "$0")/begun" ]]; do read -t 0.01 <> <(:); done
    kill -KILL $$)";

TEST(PrefixLies, TaskThatIsLeftBehindEndsWhileTheRunGoesOn) {
  TempCache cache;
  const Wrapper wrapper(leaves_it_behind);
  ASSERT_EQ(::mkfifo((wrapper / "alive").c_str(), 0600), 0);
  const std::string where = (wrapper / "alive").parent_path();
  RunOptions options = with({{"stubborn", wrapper.command()}});
  options.result_wait = 0.1;
  options.keep_going = true;
  const auto failures = failures_of(StubbornAndWitness::make(where), options);
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(contains(failures[0].cause, "signal 9")) << failures[0].cause;
  EXPECT_EQ(Witness::make(where).run_graph().value, 1);
}

// Writes into its directory as long as it lives, where it is told to.
struct Scribbles : Task<Scribbles, int(std::string)> {
  static constexpr auto task_label = "stubborn";
  const fs::path directory;
  explicit Scribbles(const std::string& where) : directory(where) {}
  int run_task() {
    const fs::path file = task_directory() / "out.txt";
    if (!fs::exists(directory / "alive")) {
      test::write(file, "good");
      return 1;
    }
    const int alive = ::open((directory / "alive").c_str(), O_WRONLY | O_CLOEXEC);
    for (test::write(directory / "begun", "");; ::usleep(1000)) test::write(file, "half");
    return alive;
  }
};

// What comes back is not written over by whoever was given up.
TEST(PrefixLies, ADirectoryComesBackWhenNobodyWritesToIt) {
  TempCache cache;
  const Wrapper wrapper(leaves_it_behind);
  const std::string where = (wrapper / "alive").parent_path();
  const auto task = Scribbles::make(where);
  (void)task.run_graph();
  ASSERT_EQ(::mkfifo((wrapper / "alive").c_str(), 0600), 0);
  const int alive = ::open((wrapper / "alive").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  detail::RunRequest request;
  request.roots = {task.spec()};
  request.options = with({{"stubborn", wrapper.command()}});
  request.options.result_wait = 0.1;
  request.force_roots = true;
  EXPECT_EQ(detail::run(cache->store(), request).failures.size(), 1u);
  pollfd gone{alive, 0, 0};
  ASSERT_EQ(::poll(&gone, 1, 60'000), 1);
  ::close(alive);
  EXPECT_EQ(test::read(task.task_directory() / "out.txt"), "good");
  EXPECT_EQ(task.run_graph().stats.ran, 0u);
}

// --- Many ------------------------------------------------------------------------------------

TEST(Prefix, ManyWaitAtOnceWithoutAThreadEach) {
  TempCache cache;
  constexpr int count = 300;
  const Wrapper wrapper(R"(dir=$(dirname "$0"); echo >> "$dir/started"
                           exec flock --shared "$dir/gate" "$@")");
  const int gate = ::open((wrapper / "gate").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  ASSERT_EQ(::flock(gate, LOCK_EX), 0);
  std::ptrdiff_t threads = 0;
  std::thread opener([&] {
    std::error_code ignored;
    while (fs::file_size(wrapper / "started", ignored) != count) std::this_thread::yield();
    const fs::directory_iterator tasks("/proc/self/task");
    threads = std::distance(begin(tasks), end(tasks));
    ::close(gate);
  });
  const auto [sum, stats] = SumOfNoted::make(count).run_graph(with({{"first", wrapper.command()}}));
  opener.join();
  EXPECT_EQ(sum, count);
  EXPECT_EQ(stats.ran, count + 1u);
  EXPECT_LT(threads, 30);
}

TEST(Prefix, LimitsOfLabelsHold) {
  TempCache cache;
  const Wrapper wrapper(R"(
    dir=$(dirname "$0")
    mkdir "$dir/busy" || echo overlap >> "$dir/overlaps"
    "$@"
    rmdir "$dir/busy")");
  RunOptions options = with({{"first", wrapper.command()}});
  options.rate_limits = {{"second", 1}};
  EXPECT_EQ(SumOfNoted::make(20).run_graph(options).value, 20);
  EXPECT_FALSE(fs::exists(wrapper / "overlaps"));
}

}  // namespace
}  // namespace prefix
