// Command: programs that make files from files, and inputs that a task finds while it runs.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <thread>

#include <stook/command.hpp>

#include "runtime/run.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

namespace {

using namespace stook;
using stook::test::TempCache;
using stook::test::TempDirectory;
namespace fs = std::filesystem;
using stook::test::contains;
using stook::test::read;
using stook::test::write;

// `script` gets the inputs, then the outputs, as $1, $2, ...
CommandArguments shell(const std::string& script) {
  return {.argv = {"sh", "-c", script, "sh", "{in}", "{out}"}};
}

Counts run_counts(const TaskRef<Command>& command) {
  return command.run_graph().stats.by_class["stook::Command"];
}

// The text of the only failure.
std::string failure_of(const Future<CommandResult>& command) {
  try {
    (void)command.run_graph();
  } catch (const TaskFailed& error) {
    EXPECT_EQ(error.failures().size(), 1u);
    return error.failures().at(0).cause;
  }
  ADD_FAILURE() << "it did not fail";
  return {};
}

// Names of files in the tree that a command should have removed.
std::size_t entries_in(const fs::path& directory) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

struct Commands : testing::Test {
  TempCache cache;
  TempDirectory tree;
  [[nodiscard]] std::string at(const std::string& name) const { return (tree / name).string(); }

  TaskRef<Command> copy(const std::string& from, const std::string& to) const {
    return Command::make({.argv = {"cp", "{in}", "{out}"}, .inputs = {from}, .outputs = {to}});
  }
};

TEST_F(Commands, MakeAFileFromAFile) {
  write(at("a"), "text");
  const auto command = copy(at("a"), at("deep/er/b"));
  const auto [result, stats] = command.run_graph();
  EXPECT_EQ(stats.ran, 1u);
  ASSERT_EQ(result.outputs.size(), 1u);
  EXPECT_EQ(result.outputs[0].path, at("deep/er/b"));
  EXPECT_EQ(read(at("deep/er/b")), "text");
  EXPECT_EQ(entries_in(at("deep/er")), 1u) << "no temporary file is left";
  EXPECT_EQ(run_counts(command).cached, 1u);
  write(at("a"), "other");
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("deep/er/b")), "other");
}

TEST_F(Commands, NeedNoFiles) {
  const auto command = Command::make({.argv = {"true"}});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).cached, 1u);
  command.clear_task();
  EXPECT_EQ(run_counts(command).ran, 1u);
}

TEST_F(Commands, FailureTellsStatusCommandAndOutput) {
  write(at("b"), "earlier");
  CommandArguments arguments = shell("echo half > \"$1\"; echo 'no such luck' >&2; exit 3");
  arguments.outputs = {at("b")};
  const std::string cause = failure_of(Command::make(arguments));
  EXPECT_TRUE(contains(cause, "exit status 3")) << cause;
  EXPECT_TRUE(contains(cause, "no such luck")) << cause;
  EXPECT_TRUE(contains(cause, "sh -c ")) << cause;
  EXPECT_TRUE(contains(cause, at("b"))) << cause;
  EXPECT_EQ(read(at("b")), "earlier");
  EXPECT_EQ(entries_in(tree.path()), 1u);
}

TEST_F(Commands, SignalIsNamed) {
  const std::string cause = failure_of(Command::make(shell("kill -SEGV $$")));
  EXPECT_TRUE(contains(cause, "SIGSEGV")) << cause;
}

TEST_F(Commands, ProgramThatIsNotThere) {
  const std::string cause = failure_of(Command::make({.argv = {"no-such-program-anywhere", "x"}}));
  EXPECT_TRUE(contains(cause, "cannot start 'no-such-program-anywhere'")) << cause;
  EXPECT_TRUE(contains(cause, "there is no such program in PATH")) << cause;
}

TEST_F(Commands, LongOutputIsShownFromItsEnd) {
  const std::string cause = failure_of(Command::make(
      shell("i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); done; exit 1")));
  EXPECT_TRUE(contains(cause, "line 59999"));
  EXPECT_FALSE(contains(cause, "line 100\n"));
  EXPECT_LT(cause.size(), 20000u);
}

TEST_F(Commands, OutputThatWasNotMade) {
  write(at("b"), "earlier");
  const std::string cause =
      failure_of(Command::make({.argv = {"true", "{out}"}, .outputs = {at("b")}}));
  EXPECT_TRUE(contains(cause, "did not make its output " + at("b"))) << cause;
  EXPECT_EQ(read(at("b")), "earlier");
}

TEST_F(Commands, OutputMadeWhereItIs) {
  write(at("b"), "earlier");
  const auto command = [&](const std::string& script) {
    return Command::make({.argv = {"sh", "-c", script, "sh", at("b")}, .outputs = {at("b")}});
  };
  EXPECT_TRUE(contains(failure_of(command("cat \"$1\" 2>/dev/null; echo new > \"$1\"; exit 1")),
                       "status 1"));
  EXPECT_EQ(read(at("b")), "earlier");
  EXPECT_EQ(run_counts(command("echo new > \"$1\"")).ran, 1u);
  EXPECT_EQ(read(at("b")), "new\n");
  EXPECT_EQ(entries_in(tree.path()), 1u);
}

TEST_F(Commands, OutputDeletedOrChangedIsMadeAgain) {
  write(at("a"), "text");
  const auto middle = copy(at("a"), at("b"));
  const auto last =
      Command::make({.argv = {"cp", "{in}", "{out}"}, .inputs = {middle}, .outputs = {at("c")}});
  EXPECT_EQ(run_counts(last).ran, 2u);
  EXPECT_EQ(run_counts(last).cached, 1u);

  fs::remove(at("b"));
  Counts counts = run_counts(last);
  EXPECT_EQ(counts.ran, 1u) << "the same file comes out: what is made from it need not run";
  EXPECT_EQ(counts.unchanged, 1u);
  EXPECT_EQ(read(at("b")), "text");
  EXPECT_EQ(run_counts(last).cached, 1u);

  write(at("c"), "tampered with");
  EXPECT_EQ(run_counts(last).ran, 1u);
  EXPECT_EQ(read(at("c")), "text");

  // Of the same length.
  write(at("c"), "TEXT");
  EXPECT_EQ(run_counts(last).ran, 1u);
  EXPECT_EQ(read(at("c")), "text");
  EXPECT_EQ(run_counts(last).cached, 1u);
}

TEST_F(Commands, TwoVersionsOfACommandTakeTurns) {
  const auto say = [&](const std::string& word) {
    return Command::make(
        {.argv = {"sh", "-c", "echo " + word + " > \"$1\"", "sh", "{out}"}, .outputs = {at("b")}});
  };
  for (const std::string word : {"one", "two", "one", "two"}) {
    EXPECT_EQ(run_counts(say(word)).ran, 1u);
    EXPECT_EQ(read(at("b")), word + "\n");
    EXPECT_EQ(run_counts(say(word)).cached, 1u);
  }
}

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
  EXPECT_EQ(entries_in(tree.path()), 3u) << "the depfile is gone";
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

TEST_F(Commands, InputChangedWhileTheCommandRanIsNotFresh) {
  write(at("a"), "early\n");
  CommandArguments arguments = shell("cp \"$1\" \"$2\"; test -e \"$1.changed\" || "
                                     "{ touch \"$1.changed\"; echo late > \"$1\"; }");
  arguments.inputs = {at("a")};
  arguments.outputs = {at("b")};
  EXPECT_EQ(run_counts(Command::make(arguments)).ran, 1u);
  // As it was, but the command may have seen it otherwise.
  write(at("a"), "early\n");
  EXPECT_EQ(run_counts(Command::make(arguments)).ran, 1u);
  EXPECT_EQ(read(at("b")), "early\n");
  EXPECT_EQ(run_counts(Command::make(arguments)).cached, 1u);
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

TEST_F(Commands, ManyUpstreamAsAList) {
  FutureList<CommandResult> parts;
  std::vector<CommandInput> inputs;
  for (int i = 0; i < 5; ++i) {
    write(at("a" + std::to_string(i)), std::to_string(i));
    parts.push_back(copy(at("a" + std::to_string(i)), at("b" + std::to_string(i))));
  }
  write(at("tail"), "!");
  CommandArguments arguments{.argv = {"sh", "-c", "cat \"$@\" > $0", "{out}", "{in}"},
                             .inputs = {parts, File(at("tail"))},
                             .outputs = {at("all")}};
  const auto all = Command::make(arguments);
  EXPECT_EQ(run_counts(all).ran, 6u);
  EXPECT_EQ(read(at("all")), "01234!");
  write(at("a3"), "three");
  const Counts counts = run_counts(all);
  EXPECT_EQ(counts.ran, 2u);
  EXPECT_EQ(read(at("all")), "012three4!");
  EXPECT_EQ(run_counts(all).cached, 1u);
}

TEST_F(Commands, GeneratedHeaderIsImplicit) {
  write(at("a"), "generated");
  const auto header = copy(at("a"), at("h"));
  const auto command =
      Command::make({.argv = {"sh", "-c", "cp \"$1\" \"$2\"; echo x: \"$1\" > \"$3\"", "sh",
                              at("h"), "{out}", "{depfile}"},
                     .implicit_inputs = {header},
                     .outputs = {at("b")}});
  EXPECT_EQ(run_counts(command).ran, 2u);
  EXPECT_EQ(run_counts(command).cached, 1u);
  write(at("a"), "anew");
  EXPECT_EQ(run_counts(command).ran, 2u);
  EXPECT_EQ(read(at("b")), "anew");
  EXPECT_EQ(run_counts(command).cached, 1u);
}

struct MakesPath : Task<MakesPath, fs::path()> {
  fs::path run_task() {
    write(task_directory() / "made", "by a task");
    return task_directory() / "made";
  }
};

TEST_F(Commands, InputOfAnyTaskThatGivesAPath) {
  const auto command = Command::make(
      {.argv = {"cp", "{in}", "{out}"}, .inputs = {MakesPath::make()}, .outputs = {at("b")}});
  (void)command.run_graph();
  EXPECT_EQ(read(at("b")), "by a task");
}

TEST_F(Commands, OddFileNames) {
  for (const std::string name :
       {"a b", "it's \"so\"", "line\nbreak", "caf\xc3\xa9", "-n", "$HOME;", "{in}", "*", "\\"}) {
    write(at(name), name);
    const auto command = copy(at(name), at("to " + name));
    EXPECT_EQ(run_counts(command).ran, 1u) << name;
    EXPECT_EQ(read(at("to " + name)), name);
    EXPECT_EQ(run_counts(command).cached, 1u) << name;
  }
}

TEST_F(Commands, DirectoryAndEnvironment) {
  fs::create_directories(at("sub"));
  write(at("a"), "text ");
  CommandArguments arguments{
      .argv = {"sh", "-c",
               "cat \"$1\" > \"$2\"; printf %s \"$WORD\" >> \"$2\"; pwd >> \"$2\"; "
               "cat >> \"$2\"; printf 'x: ../h\\n' > \"$3\"",
               "sh", "{in}", "{out}", "{depfile}"},
      .inputs = {at("a")},
      .outputs = {at("sub/b")},
      .environment = {{"WORD", "hello "}},
      .directory = at("sub")};
  write(at("h"), "one");
  EXPECT_EQ(run_counts(Command::make(arguments)).ran, 1u);
  EXPECT_EQ(read(at("sub/b")), "text hello " + at("sub") + "\n");
  EXPECT_EQ(run_counts(Command::make(arguments)).cached, 1u);
  write(at("h"), "two");
  EXPECT_EQ(run_counts(Command::make(arguments)).ran, 1u) << "its names count from its directory";
  arguments.environment["WORD"] = "other ";
  EXPECT_EQ(run_counts(Command::make(arguments)).ran, 1u);
}

TEST_F(Commands, RefusedBeforeAnythingRuns) {
  const auto refused = [](const CommandArguments& arguments, const std::string& message) {
    try {
      (void)Command::make(arguments).run_graph();
      ADD_FAILURE() << message;
    } catch (const ConstructionFailed& error) {
      EXPECT_TRUE(contains(error.what(), message)) << error.what();
    }
  };
  refused({}, "argv is empty");
  refused({.argv = {"true", "{in[0]}"}}, "counts from 0");
  refused({.argv = {"true"}, .outputs = {at("b"), at("./b")}}, "given twice");
  const auto one = Command::make({.argv = {"true", "1"}, .outputs = {at("b")}});
  refused({.argv = {"true", "2", "{in}"}, .inputs = {one}, .outputs = {at("b")}},
          "two commands of this run make");
}

TEST_F(Commands, KeptOutputsAreRestoredWithoutRunning) {
  write(at("a"), "text");
  const auto command = [&] {
    return Command::make({.argv = {"sh", "-c",
                                   "echo x >> \"$0\"; cp \"$1\" \"$2\"; cp \"$1\" \"$3\"; "
                                   "echo x: \"$4\" > \"$5\"",
                                   at("log"), "{in}", "{out}", at("h"), "{depfile}"},
                          .inputs = {at("a")},
                          .outputs = {at("b"), at("c")},
                          .keep_outputs = true});
  };
  write(at("h"), "header");
  const auto runs = [&] { return read(at("log")).size() / 2; };
  EXPECT_EQ(run_counts(command()).ran, 1u);
  EXPECT_EQ(fs::hard_link_count(at("b")), 2u);
  fs::remove(at("b"));
  (void)command().run_graph();
  EXPECT_EQ(read(at("b")), "text");
  EXPECT_EQ(runs(), 1u);
  EXPECT_EQ(run_counts(command()).cached, 1u);

  fs::remove(at("c"));
  write(at("c"), "tampered with");
  (void)command().run_graph();
  EXPECT_EQ(read(at("c")), "text");
  EXPECT_EQ(runs(), 1u);

  // Written through the link, into the cache: found out, and made anew.
  fs::permissions(at("c"), fs::perms::owner_write, fs::perm_options::add);
  write(at("c"), "TEXT");
  (void)command().run_graph();
  EXPECT_EQ(read(at("c")), "text");
  EXPECT_EQ(runs(), 2u);

  fs::remove(at("b"));
  write(at("h"), "another header");
  (void)command().run_graph();
  EXPECT_EQ(runs(), 3u);
  command().clear_task();
  (void)command().run_graph();
  EXPECT_EQ(runs(), 4u);
}

TEST_F(Commands, StoppedRunKillsAllTheyStarted) {
  // Both the program and what it started hold the pipe open: its end tells that they are dead.
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  std::atomic<bool> stop{false};
  std::string rest = "not at its end";
  std::thread watcher([&] {
    std::ifstream pipe(at("pipe"));
    std::string line;
    std::getline(pipe, line);
    EXPECT_EQ(line, "started");
    stop = true;
    rest.assign(std::istreambuf_iterator<char>(pipe), {});
  });
  write(at("b"), "earlier");
  const auto command = Command::make(
      {.argv = {"sh", "-c",
                "exec > \"$1\"; trap '' TERM; sleep 1000 & echo started; echo half > \"$2\"; wait; "
                "sleep 1000",
                "sh", at("pipe"), "{out}"},
       .outputs = {at("b")}});
  detail::RunRequest request;
  request.roots = {command.spec()};
  request.stop = &stop;
  const auto result = detail::run(cache->store(), request);
  watcher.join();
  EXPECT_TRUE(result.stopped);
  EXPECT_EQ(rest, "");
  EXPECT_EQ(read(at("b")), "earlier");
  EXPECT_EQ(entries_in(tree.path()), 2u);
}

TEST_F(Commands, WhatIsLeftRunningIsEnded) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  std::string heard;
  std::thread watcher([&] {
    std::ifstream pipe(at("pipe"));
    heard.assign(std::istreambuf_iterator<char>(pipe), {});
  });
  CommandArguments arguments = shell("exec > '" + at("pipe") + "'; sleep 1000 & echo started");
  (void)Command::make(arguments).run_graph();
  watcher.join();
  EXPECT_EQ(heard, "started\n");
}

TEST_F(Commands, AreNamedByTheirArguments) {
  const auto command = copy("a", "b");
  const Json json = command.to_json();
  EXPECT_EQ(json.at("argv").dump(), R"(["cp","{in}","{out}"])");
  EXPECT_EQ(json.at("inputs").dump(), R"(["a"])");
  EXPECT_EQ(command.key(), copy("a", "b").key());
  EXPECT_NE(command.key(), copy("a", "c").key());
}

// --- Inputs that a task of the user's finds ---------------------------------------------------

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

TEST_F(Commands, RunInTheDriverWhateverTheExecutor) {
  write(at("a"), "text");
  RunOptions options;
  options.executor = processes(2);
  const auto made = Command::make(
      {.argv = {"cp", "{in}", "{out}"}, .inputs = {MakesPath::make()}, .outputs = {at("b")}});
  EXPECT_EQ(made.run_graph(options).stats.ran, 2u);
  EXPECT_EQ(read(at("b")), "by a task");
  fs::remove(at("b"));
  EXPECT_EQ(made.run_graph(options).stats.ran, 1u);
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
