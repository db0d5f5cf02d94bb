// Inputs from outside, for tasks in other processes: what the driver has looked at is what they
// get.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <list>
#include <numeric>
#include <thread>

#include "src/external.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"
#include "tests/support/unprivileged.h"

#include <stook/stook.hpp>

namespace inputs {
namespace {

namespace fs = std::filesystem;
using namespace stook;
using stook::test::read;
using stook::test::write;
using test::TempCache;
using test::TempDirectory;

struct Variable : Task<Variable, std::string()> {
  static constexpr auto task_label = "outside";
  Future<std::string> value = EnvironmentVariable("STOOK_TEST_VALUE", "otherwise");
  std::string run_task() { return *value; }
};

struct GivenText : Task<GivenText, std::string(Future<std::string>)> {
  static constexpr auto task_label = "outside";
  const Future<std::string> value;
  explicit GivenText(Future<std::string> given) : value(std::move(given)) {}
  std::string run_task() { return *value; }
};

class OtherProcess : public testing::TestWithParam<bool> {
 protected:
  OtherProcess() { ::setenv("STOOK_TEST_VALUE", "real", 1); }
  ~OtherProcess() override { ::unsetenv("STOOK_TEST_VALUE"); }

  // Two ways of reaching one: a worker that stays, and a process behind a command.
  static RunOptions options() {
    RunOptions options;
    if (GetParam()) options.executor = processes(1);
    else options.prefixes = {{"outside", ""}};
    return options;
  }
};

TEST_P(OtherProcess, VariablesHaveTheValueThatTheDriverSaw) {
  TempCache cache;
  RunOptions unseen = options();
  unseen.environment = {"PATH"};
  EXPECT_EQ(Variable::make().run_graph(unseen).value, "real");
  EXPECT_EQ(Variable::make().run_graph().stats.ran, 0u);
  ::unsetenv("STOOK_TEST_VALUE");
  EXPECT_EQ(Variable::make().run_graph(unseen).value, "otherwise");
  const EnvironmentVariable variable("STOOK_TEST_VALUE", "otherwise");
  EXPECT_EQ(GivenText::make(variable).run_graph(unseen).value, "otherwise");
  ::setenv("STOOK_TEST_VALUE", "second", 1);
  EXPECT_EQ(Variable::make().run_graph(unseen).value, "second");
  EXPECT_EQ(GivenText::make(variable).run_graph(unseen).value, "second");
}

struct Relative : Task<Relative, std::string()> {
  static constexpr auto task_label = "outside";
  Future<fs::path> file = File("relative.txt");
  Future<fs::path> directory = Directory("relative");
  std::string run_task() { return read(*file) + read(*directory / "file"); }
};

struct GivenPaths : Task<GivenPaths, std::string(Future<fs::path>, Future<std::vector<fs::path>>)> {
  static constexpr auto task_label = "outside";
  const Future<fs::path> one;
  const Future<std::vector<fs::path>> list;
  GivenPaths(Future<fs::path> first, Future<std::vector<fs::path>> more)
      : one(std::move(first)), list(std::move(more)) {}
  std::string run_task() { return read(*one) + read(list->at(0)); }
};

struct Named : Task<Named, std::string()> {
  static constexpr auto task_label = "outside";
  Future<fs::path> file = File("relative.txt");
  std::string run_task() { return *file; }
};

class WorkingIn {
 public:
  explicit WorkingIn(const fs::path& directory) : before_(fs::current_path()) {
    fs::current_path(directory);
  }
  ~WorkingIn() { fs::current_path(before_); }
  WorkingIn(const WorkingIn&) = delete;
  WorkingIn& operator=(const WorkingIn&) = delete;

 private:
  const fs::path before_;
};

TEST_P(OtherProcess, RelativeInputsAreTheDriversWhereverTasksWork) {
  TempCache cache;
  TempDirectory here;
  for (const fs::path& place : {here.path(), here / "there"}) {
    fs::create_directories(place / "relative");
    const std::string text = place == here.path() ? "here" : "there";
    write(place / "relative.txt", text);
    write(place / "relative" / "file", text);
  }
  const WorkingIn working(here.path());
  RunOptions elsewhere = options();
  elsewhere.working_directory = here / "there";
  const File file("relative.txt");
  EXPECT_EQ(Relative::make().run_graph(elsewhere).value, "herehere");
  EXPECT_EQ(GivenPaths::make(file, FutureList<fs::path>{file}).run_graph(elsewhere).value,
            "herehere");
  write(here / "relative.txt", "again");
  EXPECT_EQ(Relative::make().run_graph(elsewhere).value, "againhere");
  EXPECT_EQ(GivenPaths::make(file, FutureList<fs::path>{file}).run_graph(elsewhere).value,
            "againagain");
}

// As in a container that has other directories.
TEST(Inputs, RelativeOnesFailWhereTheDirectoryIsNotThere) {
  TempCache cache;
  TempDirectory files;
  fs::create_directory(files / "here");
  write(files / "here" / "relative.txt", "here");
  const WorkingIn working(files / "here");
  write(files / "wrapper", "mv " + (files / "here").string() + " " + (files / "gone").string() +
                               "; cd /; exec \"$@\"\n");
  RunOptions options;
  options.prefixes = {{"outside", "sh " + (files / "wrapper").string()}};
  const auto failures = test::failures_of(Named::make(), options);
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(test::contains(failures[0].cause, "file relative.txt is relative to"))
      << failures[0].cause;
}

TEST_P(OtherProcess, PathsAreAsGivenWhereTasksWorkInTheSameDirectory) {
  TempCache cache;
  TempDirectory here;
  write(here / "relative.txt", "here");
  const WorkingIn working(here.path());
  EXPECT_EQ(Named::make().run_graph(options()).value, "relative.txt");
  Named::clear_all_tasks();
  RunOptions same = options();
  same.working_directory = here.path();
  EXPECT_EQ(Named::make().run_graph(same).value, "relative.txt");
}

INSTANTIATE_TEST_SUITE_P(Inputs, OtherProcess, testing::Bool(),
                         [](const auto& param) { return param.param ? "Worker" : "Prefix"; });

// Somebody saves the file while the task runs, and takes that back.
struct Meanwhile : Task<Meanwhile, std::string(std::string)> {
  static constexpr auto task_label = "outside";
  File file;
  explicit Meanwhile(const std::string& path) : file(path) {}
  std::string run_task() {
    if (read(*file) == "saved") write(*file, "saved by mistake");
    return read(*file);
  }
};

struct FoundMeanwhile : Task<FoundMeanwhile, std::string(std::string)> {
  static constexpr auto task_label = "outside";
  const std::string file;
  explicit FoundMeanwhile(std::string path) : file(std::move(path)) {}
  std::string run_task() {
    add_input(File(file));
    if (read(file) == "saved") write(file, "saved by mistake");
    return read(file);
  }
};

template <class Meanwhile> void runs_again_when_it_is_taken_back(const RunOptions& options) {
  TempCache cache;
  const TempDirectory directory;
  const std::string path = (directory / "file").string();
  write(path, "saved");
  EXPECT_EQ(Meanwhile::make(path).run_graph(options).value, "saved by mistake");
  write(path, "saved");
  EXPECT_EQ(Meanwhile::make(path).run_graph(options).stats.ran, 1u);
  write(path, "saved well");
  EXPECT_EQ(Meanwhile::make(path).run_graph(options).value, "saved well");
  EXPECT_EQ(Meanwhile::make(path).run_graph(options).stats.ran, 0u);
}

TEST(Inputs, AFileThatWasChangedWhileTheTaskRanIsNotTakenForWhatItWas) {
  runs_again_when_it_is_taken_back<Meanwhile>({});
  runs_again_when_it_is_taken_back<FoundMeanwhile>({});
}
TEST_P(OtherProcess, AFileThatWasChangedWhileTheTaskRanIsNotTakenForWhatItWas) {
  runs_again_when_it_is_taken_back<Meanwhile>(options());
  runs_again_when_it_is_taken_back<FoundMeanwhile>(options());
}

// --- Several types with one encoding -----------------------------------------------------------

struct AsVector : Task<AsVector, std::vector<int>()> {
  std::vector<int> run_task() { return {1, 2, 3}; }
};
struct AsList : Task<AsList, std::list<int>()> {
  std::list<int> run_task() { return {1, 2, 3}; }
};
struct Both : Task<Both, int()> {
  Future<std::vector<int>> vector = AsVector::make(), same = Const(std::vector<int>{4, 5});
  Future<std::list<int>> list = AsList::make(), equal = Const(std::list<int>{4, 5});
  int run_task() {
    return std::accumulate(vector->begin(), vector->end(), 0) +
           std::accumulate(list->begin(), list->end(), 0) +
           std::accumulate(same->begin(), same->end(), 0) +
           std::accumulate(equal->begin(), equal->end(), 0);
  }
};

TEST_P(OtherProcess, TypesOfOneEncodingStayApart) {
  TempCache cache;
  RunOptions options;
  options.executor = processes(1);
  EXPECT_EQ(Both::make().run_graph(GetParam() ? options : RunOptions()).value, 30);
}

// --- Futures that are arguments and no more ----------------------------------------------------

struct Slow : Task<Slow, std::vector<int>(std::string)> {
  File file;
  explicit Slow(const std::string& path) : file(path) {}
  std::vector<int> run_task() {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // others are sent meanwhile
    return {std::stoi(read(*file))};
  }
};
struct Names : Task<Names, int(Future<int>)> {
  explicit Names(const Future<int>&) {}
  int run_task() { return 0; }
};
struct HereToo : Task<HereToo, int(std::string)> {
  static constexpr bool task_in_process = true;
  Future<std::vector<int>> slow;
  Future<int> names;
  explicit HereToo(const std::string& path)
      : slow(Slow::make(path)), names(Names::make(Slow::make(path)[0])) {}
  int run_task() { return slow->front() + *names; }
};

// The result of before is no answer for what names it without waiting for it.
TEST(Inputs, AFutureThatIsOnlyNamedIsNotLoaded) {
  TempCache cache;
  const TempDirectory directory;
  const std::string path = (directory / "file").string();
  RunOptions options;
  options.executor = processes(2);
  write(path, "1");
  const auto first = HereToo::make(path).run_graph(options);
  EXPECT_EQ(first.value, 1);
  EXPECT_EQ(first.stats.ran, 3u);
  write(path, "2");
  Names::clear_all_tasks();
  EXPECT_EQ(HereToo::make(path).run_graph(options).value, 2);
  EXPECT_EQ(cache.warnings(), 0);
}

struct Entries : Task<Entries, int(std::string)> {
  Directory directory;
  explicit Entries(const std::string& path) : directory(path) {}
  int run_task() {
    return static_cast<int>(std::distance(fs::recursive_directory_iterator(*directory),
                                          fs::recursive_directory_iterator()));
  }
};

TEST(Inputs, OneThatCannotBeReadConcernsWhoNeedsIt) {
  if (stook::test::done_as_nobody()) return;
  TempCache cache;
  const TempDirectory directory;
  fs::create_directory(directory / "sub");
  write(directory / "sub" / "file", "text");
  const auto task = Entries::make(directory.path().string());
  EXPECT_EQ(task.run_graph().value, 2);
  fs::permissions(directory / "sub", fs::perms::none);
  EXPECT_EQ(Variable::make().run_graph().stats.ran, 1u);
  try {
    (void)task.run_graph();
    ADD_FAILURE() << "it cannot know";
  } catch (const CacheError& error) {
    EXPECT_NE(std::string(error.what()).find("cannot read the directory"), std::string::npos);
  }
  EXPECT_EQ(Variable::make().run_graph().stats.ran, 0u);
  fs::permissions(directory / "sub", fs::perms::owner_all);
  EXPECT_EQ(task.run_graph().stats.ran, 0u);
}

// Others work in it all the time. What is gone when its turn comes is not there.
TEST(Inputs, ADirectoryInWhichFilesComeAndGoCanBeRead) {
  const TempDirectory directory;
  write(directory / "first", "");
  fs::resize_file(directory / "first", 100 << 20);  // reading it takes longer than the others live
  for (int i = 0; i < 200; ++i) fs::create_directory(directory / std::to_string(i));
  std::atomic<bool> begun = false, done = false;
  std::thread other([&] {
    for (int i = 0; !done; ++i) {
      const auto of = [&](const std::string& kind, int number) {
        return directory / (kind + " of a moment " + std::to_string(number));
      };
      write(of("file", i), "");
      fs::remove(of("file", i - 1));
      fs::create_directory(of("directory", i));
      fs::remove(of("directory", i - 1));
      begun = true;
    }
  });
  while (!begun) std::this_thread::yield();
  EXPECT_NO_THROW((void)detail::digest_directory(directory.path()));
  done = true;
  other.join();
}

struct Text : Task<Text, std::string(std::string)> {
  File file;
  explicit Text(const std::string& path) : file(path) {}
  std::string run_task() { return read(*file); }
};

// As a server of Samba or NFS has one. Who does not wait for its end cannot open the file.
TEST(Inputs, AFileWithALeaseIsReadWhenThatIsGivenBack) {
  TempCache cache;
  const TempDirectory directory;
  const std::string path = (directory / "file").string();
  write(path, "text");
  int ready[2] = {};
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    sigset_t asked;
    sigemptyset(&asked);
    sigaddset(&asked, SIGIO);
    ::sigprocmask(SIG_BLOCK, &asked, nullptr);
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (::fcntl(file, F_SETLEASE, F_WRLCK) != 0) ::_exit(77);
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    ::close(ready[0]);
    ::close(ready[1]);
    ::sigwaitinfo(&asked, nullptr);
    ::usleep(100'000);  // for those to fail who do not wait
    ::fcntl(file, F_SETLEASE, F_UNLCK);
    ::_exit(0);
  }
  ::close(ready[1]);
  char got = 0;
  const bool leased = ::read(ready[0], &got, 1) == 1;
  ::close(ready[0]);
  if (leased) { EXPECT_EQ(Text::make(path).run_graph().value, "text"); }
  int status = 0;
  EXPECT_EQ(::waitpid(holder, &status, 0), holder);
  if (!leased) GTEST_SKIP() << "there are no leases here";
}

// Of a link a directory's digest has where it leads to, and so has its fingerprint.
TEST(Inputs, ADirectoryWithALinkToNothingIsReadOnce) {
  const TempDirectory directory;
  const TempDirectory other;
  fs::create_symlink("nothing", directory / "link");
  fs::create_symlink(other.path(), directory / "to");
  const detail::ExternalSpec spec(detail::ExternalSpec::What::directory, directory.path().string(),
                                  nullptr);
  // It is young at first.
  while (spec.fingerprint().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const std::string print = spec.fingerprint();
  write(other / "file", "text");
  EXPECT_EQ(spec.fingerprint(), print);
  fs::remove(directory / "link");
  fs::create_symlink("something", directory / "link");
  EXPECT_NE(spec.fingerprint(), print);
}

}  // namespace
}  // namespace inputs
