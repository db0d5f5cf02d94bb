// Command: programs that make files from files.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include <stook/command.hpp>

#include "runtime/run.h"
#include "tests/support/commands.h"

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

TEST_F(Commands, MakeAFileFromAFile) {
  write(at("a"), "text");
  const auto command = copy(at("a"), at("deep/er/b"));
  const auto [result, stats] = command.run_graph();
  EXPECT_EQ(stats.ran, 1u);
  ASSERT_EQ(result.outputs.size(), 1u);
  EXPECT_EQ(result.outputs[0].path, at("deep/er/b"));
  EXPECT_EQ(read(at("deep/er/b")), "text");
  EXPECT_EQ(entries_in(at("deep/er")), 1) << "no temporary file is left";
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
  EXPECT_EQ(entries_in(tree.path()), 1);
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
  EXPECT_EQ(entries_in(tree.path()), 1);
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
  EXPECT_EQ(entries_in(tree.path()), 2);
}

// The driver is killed, and what its command has started goes on: nobody can help that. It writes
// when the next one has made its output, and not yet ended.
TEST_F(Commands, OneOfADeadDriverWritesNothingForTheNext) {
  for (const char* pipe : {"begun", "go", "said"}) ASSERT_EQ(::mkfifo(at(pipe).c_str(), 0600), 0);
  const auto command = Command::make(
      {.argv = {"sh", "-c",
                "if mkdir \"$0/first\" 2> /dev/null; then trap '' TERM; echo > \"$0/begun\"; "
                "read -r go < \"$0/go\"; echo orphan > \"$1\"; echo > \"$0/said\"; "
                "else echo fresh > \"$1\"; test -e \"$0/over\" || { : > \"$0/over\"; "
                "echo > \"$0/go\"; read -r said < \"$0/said\"; }; fi",
                at(""), "{out}"},
       .outputs = {at("made/b")}});
  const auto in_another_process = [&] {
    const pid_t pid = ::fork();
    if (pid == 0) {
      CacheOptions options;
      options.warn = [](std::string_view) {};
      const Cache own(cache.root(), options);
      (void)command.run_graph();
      ::_exit(0);
    }
    return pid;
  };
  cache.close();
  const pid_t dies = in_another_process();
  std::string line;
  std::ifstream begun(at("begun"));
  std::getline(begun, line);
  ::kill(dies, SIGKILL);
  ::waitpid(dies, nullptr, 0);
  ::waitpid(in_another_process(), nullptr, 0);
  EXPECT_EQ(read(at("made/b")), "fresh\n");
  cache.open();
  EXPECT_EQ(run_counts(command).cached, 1u);
  // What the dead one has left goes when the command is executed next.
  fs::remove(at("made/b"));
  cache.close();
  ::waitpid(in_another_process(), nullptr, 0);
  EXPECT_EQ(read(at("made/b")), "fresh\n");
  EXPECT_EQ(entries_in(at("made")), 1);
  cache.open();
}

// What it makes is another's file: that one stays as it is, and so does the answer.
TEST_F(Commands, OutputsThatAreLinks) {
  for (const bool keeps : {false, true}) {
    for (const std::string how : {"-s", "-f"}) {
      const std::string from = at("from" + how + std::to_string(keeps));
      write(from, "text");
      fs::last_write_time(from, fs::last_write_time(from) - std::chrono::hours(1));
      const auto written = fs::last_write_time(from);
      const auto mode = fs::status(from).permissions();
      const auto command = Command::make({.argv = {"ln", how, "{in}", "{out}"},
                                          .inputs = {from},
                                          .outputs = {from + " to"},
                                          .keep_outputs = keeps});
      EXPECT_EQ(run_counts(command).ran, 1u);
      EXPECT_EQ(fs::last_write_time(from), written);
      EXPECT_EQ(fs::status(from).permissions(), mode);
      EXPECT_EQ(run_counts(command).cached, 1u) << how << keeps;
      write(from, "other");
      EXPECT_EQ(run_counts(command).ran, 1u) << how << keeps;
      fs::remove(from + " to");
      EXPECT_EQ(run_counts(command).ran, 1u) << how << keeps;
      EXPECT_EQ(read(from + " to"), "other");
    }
  }
}

// After a day nothing that it started is left.
TEST_F(Commands, OneOfADeadDriverIsRememberedForADay) {
  const fs::path young = cache.root() / "spool" / ("command-" + std::string(32, 'a'));
  const fs::path old = cache.root() / "spool" / ("command-" + std::string(32, 'b'));
  for (const fs::path& file : {young, old}) write(file, "00000001 r");
  fs::last_write_time(old, fs::last_write_time(old) - std::chrono::hours(25));
  cache.reopen();
  EXPECT_TRUE(fs::exists(young));
  EXPECT_FALSE(fs::exists(old));
  EXPECT_EQ(cache.warnings(), 0);
}

// The content that was there before the first of them is what comes back.
TEST_F(Commands, OneOfADeadDriverLeftItsOutputInPlace) {
  write(at("b"), "earlier");
  for (const char* pipe : {"begun", "never"}) ASSERT_EQ(::mkfifo(at(pipe).c_str(), 0600), 0);
  const auto command = Command::make(
      {.argv = {"sh", "-c",
                "mkdir \"$0/first\" || exit 3; echo half > \"$0/b\"; echo > \"$0/begun\"; "
                "read -r never < \"$0/never\"",
                at("")},
       .outputs = {at("b")}});
  cache.close();
  const pid_t dies = ::fork();
  if (dies == 0) {
    const Cache own(cache.root());
    (void)command.run_graph();
    ::_exit(0);
  }
  std::string line;
  std::ifstream begun(at("begun"));
  std::getline(begun, line);
  ::kill(dies, SIGKILL);
  ::waitpid(dies, nullptr, 0);
  cache.open();
  for (const auto& next : {command, Command::make({.argv = {"false"}, .outputs = {at("b")}})}) {
    EXPECT_FALSE(failure_of(next).empty());
    EXPECT_EQ(read(at("b")), "earlier");
  }
  fs::rename(at("b"), at(".stook-was-b"));
  write(at("b"), "half");
  const auto other =
      Command::make({.argv = {"cp", at("first/../a"), at("b")}, .outputs = {at("b")}});
  EXPECT_FALSE(failure_of(other).empty());
  EXPECT_EQ(read(at("b")), "earlier") << "of whichever command it was";
  write(at("a"), "made");
  EXPECT_EQ(run_counts(other).ran, 1u);
  EXPECT_EQ(read(at("b")), "made");
  EXPECT_FALSE(fs::exists(at(".stook-was-b")));
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

// What a directory holds is in no list that could be compared: it runs.
TEST_F(Commands, KeptOutputsOfADirectoryAreNotTakenForThoseOfAnother) {
  fs::create_directory(at("assets"));
  write(at("assets/a"), "one");
  write(at("plain"), "text");
  CommandArguments arguments = shell("cat \"$1\"/a \"$2\" > \"$3\"");
  arguments.inputs = {Future<fs::path>(Directory(at("assets"))), at("plain")};
  arguments.outputs = {at("b")};
  arguments.keep_outputs = true;
  EXPECT_EQ(run_counts(Command::make(arguments)).ran, 1u);
  write(at("assets/a"), "two");
  fs::remove(at("b"));
  EXPECT_EQ(run_counts(Command::make(arguments)).ran, 1u);
  EXPECT_EQ(read(at("b")), "twotext");
}

// Nor what lies where a task says: its record is of the path.
TEST_F(Commands, KeptOutputsOfAPathFromATaskAreNotTakenForLaterOnes) {
  write(at("plain"), "text");
  const auto path = MakesPath::make();
  CommandArguments arguments = shell("cat \"$1\" \"$2\" > \"$3\"");
  arguments.inputs = {path, at("plain")};
  arguments.outputs = {at("b")};
  arguments.keep_outputs = true;
  EXPECT_EQ(run_counts(Command::make(arguments)).ran, 1u);
  EXPECT_EQ(read(at("b")), "by a tasktext");
  write(path.task_directory() / "made", "by hand");
  fs::remove(at("b"));
  EXPECT_EQ(run_counts(Command::make(arguments)).ran, 1u);
  EXPECT_EQ(read(at("b")), "by handtext");
}

}  // namespace
