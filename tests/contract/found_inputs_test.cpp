// Inputs that are found while a task runs: by a depfile, by add_input(), by looking at upstream.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>
#include <vector>

#include <stook/command.hpp>

#include "src/external.h"
#include "tests/support/commands.h"
#include "tests/support/unprivileged.h"

namespace {

using namespace stook;
namespace fs = std::filesystem;
using stook::test::Commands;
using stook::test::contains;
using stook::test::entries_in;
using stook::test::failure_of;
using stook::test::read;
using stook::test::run_counts;
using stook::test::shell;
using stook::test::write;

struct WithDepfile : Commands {
  // Reads the input and the header without saying so, but for its depfile.
  [[nodiscard]] TaskRef<Command> compile(const std::string& script = "") const {
    return Command::make(
        {.argv = {"sh", "-c",
                  "cat \"$1\" \"$2\" | grep -v '^#' > \"$3\"; " + script +
                      " printf 'x.o: %s \\\\\\n %s\\n%s:\\n' \"$1\" \"$2\" \"$2\" > \"$4\"",
                  "sh", "{in}", at("h"), "{out}", "{depfile}"},
         .inputs = {at("a")},
         .outputs = {at("b")}});
  }
  WithDepfile() {
    write(at("a"), "source\n");
    write(at("h"), "header\n");
  }
};

TEST_F(WithDepfile, HeaderChangedRunsAgain) {
  const auto command = compile();
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(entries_in(tree.path()), 3) << "the depfile is gone";
  EXPECT_EQ(run_counts(command).cached, 1u);
  write(at("h"), "HEADER\n");
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("b")), "source\nHEADER\n");
  EXPECT_EQ(run_counts(command).cached, 1u);
}

TEST_F(WithDepfile, HeaderTouchedOnlyIsNotAChange) {
  const auto command = compile();
  EXPECT_EQ(run_counts(command).ran, 1u);
  fs::last_write_time(at("h"), fs::last_write_time(at("h")) - std::chrono::hours(1));
  EXPECT_EQ(run_counts(command).cached, 1u);
  fs::last_write_time(at("h"), fs::last_write_time(at("h")) + std::chrono::minutes(1));
  EXPECT_EQ(run_counts(command).cached, 1u);
}

// By hand, or by who unpacked it from another machine.
TEST_F(WithDepfile, HeaderFromTheFutureIsLikeAnyOther) {
  fs::last_write_time(at("h"), fs::last_write_time(at("h")) + std::chrono::hours(24));
  const auto command = compile();
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).cached, 1u);
}

TEST_F(WithDepfile, ChangeThatIsTakenBackRunsNothing) {
  const auto command = compile();
  EXPECT_EQ(run_counts(command).ran, 1u);
  write(at("h"), "other\n");
  write(at("h"), "header\n");
  EXPECT_EQ(run_counts(command).cached, 1u);
}

TEST_F(WithDepfile, ClearedElsewhereAndProvenUnchanged) {
  const auto command = compile();
  const auto last =
      Command::make({.argv = {"cp", "{in}", "{out}"}, .inputs = {command}, .outputs = {at("c")}});
  EXPECT_EQ(run_counts(last).ran, 2u);
  command.clear_task();
  const Counts counts = run_counts(last);
  EXPECT_EQ(counts.ran, 1u);
  EXPECT_EQ(counts.unchanged, 1u);
}

TEST_F(WithDepfile, CommentChangedStopsAtTheSameOutput) {
  const auto object = compile();
  const auto program =
      Command::make({.argv = {"cp", "{in}", "{out}"}, .inputs = {object}, .outputs = {at("c")}});
  EXPECT_EQ(run_counts(program).ran, 2u);
  write(at("h"), "# a comment\nheader\n");
  Counts counts = run_counts(program);
  EXPECT_EQ(counts.ran, 1u);
  EXPECT_EQ(counts.unchanged, 1u);
  write(at("h"), "# a comment\nanother header\n");
  EXPECT_EQ(run_counts(program).ran, 2u);
  EXPECT_EQ(read(at("c")), "source\nanother header\n");
}

TEST_F(WithDepfile, HeaderRemovedWithItsIncludeIsNoFailure) {
  const auto command = [&] {
    return Command::make(
        {.argv = {"sh", "-c", "cat $(cat \"$1\") > \"$2\"; echo x.o: $(cat \"$1\") > \"$3\"", "sh",
                  "{in}", "{out}", "{depfile}"},
         .inputs = {at("a")},
         .outputs = {at("b")}});
  };
  write(at("a"), at("h"));
  EXPECT_EQ(run_counts(command()).ran, 1u);
  write(at("g"), "other\n");
  write(at("a"), at("g"));
  fs::remove(at("h"));
  EXPECT_EQ(run_counts(command()).ran, 1u);
  EXPECT_EQ(read(at("b")), "other\n");
  write(at("h"), "nobody reads it any more\n");
  EXPECT_EQ(run_counts(command()).cached, 1u);
}

TEST_F(WithDepfile, HeaderChangedWhileTheCommandRanIsNotFresh) {
  const auto command = compile("test -e \"$2.changed\" || { touch \"$2.changed\"; "
                               "echo late > \"$2\"; };");
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("b")), "source\nheader\n");
  EXPECT_EQ(read(at("h")), "late\n");
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("b")), "source\nlate\n");
  EXPECT_EQ(run_counts(command).cached, 1u);
}

// In a depfile, by the name that {out} stood for, and by another spelling of its own.
TEST_F(Commands, DepfileThatNamesWhatTheCommandMakes) {
  write(at("a"), "source");
  const auto command = Command::make(
      {.argv = {"sh", "-c",
                "cp \"$1\" \"$2\"; cp \"$2\" \"$3\"; cp \"$2\" \"$4/deep/../in place\"; "
                "echo x: \"$2\" \"$4/deep/../in\\ place\" > \"$5\"",
                "sh", "{in}", "{out[0]}", "{out[1]}", at(""), "{depfile}"},
       .inputs = {at("a")},
       .outputs = {at("b"), at("c"), at("in place")}});
  fs::create_directory(at("deep"));
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).cached, 1u);
  write(at("in place"), "by hand");
  EXPECT_EQ(run_counts(command).ran, 1u);
}

// What they change is when it was changed, and nothing else.
TEST_F(WithDepfile, HeaderOfAnotherModeWhileTheCommandRan) {
  const auto command = compile("chmod u+x \"$2\"; ln -f \"$2\" \"$2.link\";");
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).ran, 1u) << "it had not been seen before";
  EXPECT_EQ(run_counts(command).cached, 1u);
}

TEST_F(Commands, DepfileByTheCommandsOwnName) {
  write(at("h"), "one");
  const auto command = Command::make(
      {.argv = {"sh", "-c", "cp \"$1\" \"$2\"; echo x: \"$1\" > \"$2.d\"", "sh", at("h"), at("b")},
       .outputs = {at("b")},
       .depfile = at("b.d")});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).cached, 1u);
  write(at("h"), "two");
  EXPECT_EQ(run_counts(command).ran, 1u);
}

TEST_F(Commands, DepfileThatIsMissingOrNone) {
  EXPECT_TRUE(contains(failure_of(Command::make({.argv = {"true", "{depfile}"}})),
                       "did not make its depfile"));
  EXPECT_TRUE(contains(
      failure_of(Command::make({.argv = {"sh", "-c", "echo hello > \"$1\"", "sh", "{depfile}"}})),
      "not in Makefile syntax: line 1"));
  EXPECT_TRUE(
      contains(failure_of(Command::make({.argv = {"truncate", "-s", "67108865", "{depfile}"}})),
               "larger than 64 MiB"));
}

struct ReadsList : Task<ReadsList, std::string(std::string)> {
  File list;
  explicit ReadsList(const std::string& name) : list(name) {}
  std::string run_task() {
    std::ifstream names(*list);
    std::string text;
    for (std::string name; std::getline(names, name);) {
      add_input(File(name));
      text += fs::exists(name) ? read(name) : "-";
    }
    return text;
  }
};

TEST_F(Commands, FoundInputsOfAnyTask) {
  RunOptions in_processes;
  in_processes.executor = processes(1);
  RunOptions in_prefix;
  in_prefix.prefixes = {{ReadsList::make("").task_name(), "env"}};
  for (const RunOptions& options : {RunOptions(), in_processes, in_prefix}) {
    const std::string list =
        at("list " + std::to_string(options.prefixes.size()) + options.executor.name());
    write(list, at("a") + "\n" + at("b") + "\n" + list + "\n");
    write(at("a"), "A");
    fs::remove(at("b"));
    const auto task = ReadsList::make(list);
    EXPECT_EQ(task.run_graph(options).value, "A-" + read(list));
    EXPECT_EQ(task.run_graph(options).stats.ran, 0u);
    write(at("b"), "B");
    EXPECT_EQ(task.run_graph(options).value, "AB" + read(list)) << "one that was not there appears";
    EXPECT_TRUE(contains(task.why(), "found")) << task.why();
    fs::remove(at("a"));
    EXPECT_EQ(task.run_graph(options).value, "-B" + read(list));
    cache.close();
    fs::remove(cache.root() / "index.sqlite");
    cache.open();
    EXPECT_EQ(task.run_graph(options).stats.ran, 0u);
    write(at("a"), "again");
    EXPECT_EQ(task.run_graph(options).value, "againB" + read(list));
  }
}

// Relative to where the task works.
TEST_F(Commands, FoundInputsOfWorkersInAnotherDirectory) {
  RunOptions options;
  options.executor = processes(1);
  options.working_directory = at("");
  write(at("list"), "a\n");
  write(at("a"), "A");
  const auto task = ReadsList::make(at("list"));
  EXPECT_EQ(task.run_graph(options).value, "A");
  EXPECT_EQ(task.run_graph(options).stats.ran, 0u);
  write(at("a"), "B");
  EXPECT_EQ(task.run_graph(options).value, "B");
}

// --- Names that lead elsewhere than they look --------------------------------------------------

// "include/../h", where include is a link, is beside the directory that it leads to.
struct BehindALink : Commands {
  BehindALink() {
    fs::create_directories(at("real/foo/include"));
    fs::create_directory_symlink("real/foo/include", at("include"));
    write(at("real/foo/h"), "right");
    write(at("h"), "decoy");
    write(at("a"), "source");
  }
};

TEST_F(BehindALink, AHeader) {
  const auto command = Command::make(
      {.argv = {"sh", "-c",
                "cat \"$1/include/../h\" > \"$2\"; echo x: \"$1/include/../h\" > \"$3\"", "sh",
                at(""), "{out}", "{depfile}"},
       .inputs = {at("a")},
       .outputs = {at("made/b")}});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).cached, 1u);
  write(at("real/foo/h"), "changed");
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("made/b")), "changed");
  fs::remove(at("h"));
  EXPECT_EQ(run_counts(command).cached, 1u);
}

TEST_F(BehindALink, AnInput) {
  const auto command = copy(at("include/../h"), at("made/b"));
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("made/b")), "right");
  write(at("real/foo/h"), "changed");
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("made/b")), "changed");
}

TEST_F(BehindALink, TheDirectoryOfACommand) {
  fs::current_path(tree.path());
  const auto command = Command::make({.argv = {"cp", "{in}", "{out}"},
                                      .inputs = {"h"},
                                      .outputs = {"made/b"},
                                      .directory = "include"});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("made/b")), "decoy");
}

TEST_F(BehindALink, AnInputAsTheDirectoryOfACommandSeesIt) {
  fs::current_path(tree.path());
  fs::create_directory("sub");
  const auto command = Command::make({.argv = {"cp", "{in}", "{out}"},
                                      .inputs = {"include/../h"},
                                      .outputs = {"made/b"},
                                      .directory = "sub"});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("made/b")), "right");
  write(at("h"), "changed");
  EXPECT_EQ(run_counts(command).cached, 1u);
}

// "src/a" seen from "../build" is not "src/a".
TEST_F(Commands, TheDirectoryOfACommandBesideTheWorkingDirectory) {
  for (const std::string name : {"main", "build"}) {
    fs::create_directories(at(name + "/src"));
    fs::create_directories(at(name + "/made"));
    write(at(name + "/src/a"), name);
  }
  fs::current_path(at("main"));
  const auto command = Command::make({.argv = {"cp", "{in}", "{out}"},
                                      .inputs = {"src/a"},
                                      .outputs = {"made/b"},
                                      .directory = "../build"});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read("made/b"), "main");
  write("src/a", "changed");
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read("made/b"), "changed");
}

// What was no link may become one.
TEST_F(BehindALink, ADirectoryThatBecomesOne) {
  fs::remove(at("include"));
  fs::create_directory(at("include"));
  const auto command = copy(at("include/../h"), at("made/b"));
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("made/b")), "decoy");
  fs::remove(at("include"));
  fs::create_directory_symlink("real/foo/include", at("include"));
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("made/b")), "right");
}

// --- What is no file ---------------------------------------------------------------------------

TEST_F(WithDepfile, DirectoryInADepfileIsWhatItHolds) {
  fs::create_directory(at("assets"));
  write(at("assets/one"), "one");
  const auto command = Command::make(
      {.argv = {"sh", "-c", "cat \"$1\"/assets/* > \"$2\"; echo x: \"$1/assets\" > \"$3\"", "sh",
                at(""), "{out}", "{depfile}"},
       .inputs = {at("a")},
       .outputs = {at("b")}});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).cached, 1u);
  write(at("assets/two"), "two");
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("b")), "onetwo");
  EXPECT_EQ(run_counts(command).cached, 1u);
}

TEST_F(WithDepfile, DirectoryInADepfileThatChangesWhileTheCommandRuns) {
  fs::create_directory(at("assets"));
  write(at("assets/one"), "one");
  for (const bool keeps : {false, true}) {
    write(at("assets/one"), "one");
    const std::string made = "made" + std::to_string(keeps);
    const auto command = Command::make(
        {.argv = {"sh", "-c",
                  "cat \"$1\"/assets/one > \"$2\"; echo x: \"$1/assets\" > \"$3\"; "
                  "test -e \"$2.done\" || { : > \"$2.done\"; echo two > \"$1/assets/one\"; }",
                  "sh", at(""), at(made), "{depfile}"},
         .inputs = {at("a")},
         .outputs = {at(made)},
         .keep_outputs = keeps});
    EXPECT_EQ(run_counts(command).ran, 1u);
    EXPECT_EQ(read(at(made)), "one");
    EXPECT_EQ(run_counts(command).ran, 1u);
    EXPECT_EQ(read(at(made)), "two\n");
    EXPECT_EQ(run_counts(command).cached, 1u);
  }
}

struct ReadsOne : Task<ReadsOne, std::string(std::string)> {
  Directory directory;
  explicit ReadsOne(const std::string& path) : directory(path) {}
  std::string run_task() { return read(*directory / "one"); }
};

// One that was looked at in vain is not taken for seen, whatever its times say.
TEST_F(WithDepfile, DirectoryInADepfileThatMayNotBeRead) {
  if (stook::test::done_as_nobody()) return;
  fs::create_directory(at("assets"));
  write(at("assets/one"), "one");
  write(at("assets/secret"), "");
  fs::permissions(at("assets/secret"), fs::perms::none);
  const detail::ExternalSpec assets(detail::ExternalSpec::What::directory, at("assets"), nullptr);
  EXPECT_FALSE(assets.may_be_read());
  while (assets.fingerprint().empty()) {  // it is young at first
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const auto command =
      Command::make({.argv = {"sh", "-c", "echo x: \"$1/assets\" > \"$2\"; : > \"$3\"", "sh",
                              at(""), "{depfile}", "{out}"},
                     .inputs = {at("a")},
                     .outputs = {at("b")}});
  EXPECT_EQ(run_counts(command).ran, 1u);
  const auto task = ReadsOne::make(at("assets"));
  EXPECT_THROW((void)task.run_graph(), CacheError);
  fs::permissions(at("assets/secret"), fs::perms::owner_all);
  EXPECT_TRUE(assets.may_be_read());
  EXPECT_EQ(task.run_graph().value, "one");
  fs::permissions(at("assets/secret"), fs::perms::none);
  write(at("assets/one"), "two");
  EXPECT_THROW((void)task.run_graph(), CacheError);
}

TEST_F(Commands, DirectoryIsNoFileThatIsFound) {
  RunOptions in_processes;
  in_processes.executor = processes(1);
  fs::create_directory(at("directory"));
  for (const RunOptions& options : {RunOptions(), in_processes}) {
    write(at("list"), at("directory") + "\n");
    const auto failures = stook::test::failures_of(ReadsList::make(at("list")), options);
    ASSERT_EQ(failures.size(), 1u);
    EXPECT_TRUE(contains(failures[0].cause, "is a directory")) << failures[0].cause;
  }
}

// Who opens a pipe waits for who writes.
TEST_F(Commands, InputThatHasBecomeAPipe) {
  write(at("a"), "text");
  const auto command = copy(at("a"), at("b"));
  EXPECT_EQ(run_counts(command).ran, 1u);
  fs::remove(at("a"));
  ASSERT_EQ(::mkfifo(at("a").c_str(), 0600), 0);
  EXPECT_THROW((void)command.run_graph(), InvalidArgument);
  EXPECT_EQ(run_counts(Command::make({.argv = {"true"}})).ran, 1u);
}

// --- A task that goes to another directory ----------------------------------------------------

struct Goes : Task<Goes, int(std::string)> {
  const std::string to;
  explicit Goes(const std::string& directory) : to(directory) {}
  int run_task() {
    fs::current_path(to);
    return 1;
  }
};
struct ReadsHere : Task<ReadsHere, std::string(std::string)> {
  Future<int> goes;
  File file{"in"};
  explicit ReadsHere(const std::string& elsewhere) : goes(Goes::make(elsewhere)) {}
  std::string run_task() { return read(*file); }
};
struct GoesAndFinds : Task<GoesAndFinds, std::string(std::string)> {
  const std::string to;
  explicit GoesAndFinds(const std::string& directory) : to(directory) {}
  std::string run_task() {
    fs::current_path(to);
    add_input(File("in"));
    return read("in");
  }
};

// Where nothing can be opened by a relative name, tasks have other ways.
TEST_F(Commands, TasksBeginInADirectoryThatMayNotBeSearched) {
  if (stook::test::done_as_nobody()) return;
  RunOptions options;
  options.executor = processes(1);
  fs::create_directory(at("here"));
  fs::current_path(at("here"));
  write(at("list"), at("a") + "\n");
  write(at("a"), "A");
  fs::permissions(at("here"), fs::perms::none);
  const auto task = ReadsList::make(at("list"));
  EXPECT_EQ(task.run_graph(options).value, "A");
  EXPECT_EQ(task.run_graph(options).stats.ran, 0u);
  fs::permissions(at("here"), fs::perms::owner_all);
}

TEST_F(Commands, TaskThatGoesElsewhereGoesAlone) {
  fs::create_directory(at("sub"));
  write(at("in"), "top");
  write(at("sub/in"), "sub");
  RunOptions options;
  options.executor = processes(1);
  options.working_directory = tree.path();
  fs::current_path(tree.path());
  EXPECT_EQ(ReadsHere::make(at("sub")).run_graph(options).value, "top");
  const auto finds = GoesAndFinds::make(at("sub"));
  EXPECT_EQ(finds.run_graph(options).value, "sub");
  EXPECT_EQ(finds.run_graph(options).stats.ran, 0u);
  write(at("sub/in"), "other");
  EXPECT_EQ(finds.run_graph(options).value, "other");
}

struct FindsMany : Task<FindsMany, int(std::string)> {
  const std::string directory;
  explicit FindsMany(const std::string& of) : directory(of) {}
  int run_task() {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([this, t] {
        for (int i = 0; i < 50; ++i) add_input(File(name(t * 50 + i)));
      });
    }
    for (std::thread& thread : threads) thread.join();
    return 1;
  }
  [[nodiscard]] std::string name(int i) const { return directory + "/" + std::to_string(i); }
};

TEST_F(Commands, InputsAreFoundInSeveralThreads) {
  RunOptions in_processes;
  in_processes.executor = processes(1);
  for (const RunOptions& options : {RunOptions(), in_processes}) {
    const auto task = FindsMany::make(at(options.executor.name()));
    fs::create_directory(at(options.executor.name()));
    EXPECT_EQ(task.run_graph(options).stats.ran, 1u);
    EXPECT_EQ(task.run_graph(options).stats.ran, 0u);
    for (const int i : {0, 77, 150, 199}) {
      write(at(options.executor.name()) + "/" + std::to_string(i), "text");
      EXPECT_EQ(task.run_graph(options).stats.ran, 1u) << i;
    }
  }
}

bool holds_second = true;

struct Changing : Task<Changing, int()> {
  Future<int> first, second;
  struct One : Task<One, int(int)> {
    const int n;
    explicit One(int number) : n(number) {}
    int run_task() { return n; }
  };
  Changing() {
    first = One::make(1);
    if (holds_second) second = One::make(2);
  }
  int run_task() { return *first + (second ? *second : 0); }
};

TEST_F(Commands, UpstreamThatIsGoneIsNotTakenForFound) {
  holds_second = true;
  EXPECT_EQ(Changing::make().run_graph().value, 3);
  holds_second = false;
  Changing::One::make(1).clear_task();
  EXPECT_EQ(Changing::make().run_graph().value, 1);
}

}  // namespace
