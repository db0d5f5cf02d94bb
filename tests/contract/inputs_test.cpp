// Inputs from outside, for tasks in other processes: what the driver has looked at is what they
// get.
#include <gtest/gtest.h>

#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

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

}  // namespace
}  // namespace inputs
