// A name that comes to lead to another file: by a link, or by a directory that is renamed. That
// file may be as old as it likes.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <thread>

#include <stook/command.hpp>

#include "src/external.h"
#include "tests/support/commands.h"

namespace {

using namespace stook;
namespace fs = std::filesystem;
using stook::test::Commands;
using stook::test::contains;
using stook::test::read;
using stook::test::run_counts;
using stook::test::shell;
using stook::test::write;

// $1: the tree. Once, as long as nothing is called done.
const std::map<std::string, std::string> swaps = {
    {"link", "test -e $1/done || { ln -s v2 $1/next; mv -T $1/next $1/current; touch $1/done; }"},
    {"directory", "test -e $1/done || { mv $1/current $1/v1; mv $1/v2 $1/current; "
                  "touch $1/current/new $1/done; }"},
};

struct SwappedPath : Commands, testing::WithParamInterface<std::string> {
  SwappedPath() {
    const bool link = GetParam() == "link";
    for (const std::string name : {link ? "v1" : "current", "v2"}) {
      fs::create_directories(at(name) + "/deep");
      write(at(name) + "/deep/h", name == "v2" ? "second" : "first");
    }
    if (link) fs::create_symlink("v1", at("current"));
    write(at("a"), "source");
    fs::create_directory(at("made"));
    stook::test::let_a_tick_pass(at("made"));  // of all that is there the last
  }
  [[nodiscard]] std::string swap() const { return swaps.at(GetParam()); }
  // As it was when the run looked at it.
  void swap_back() const {
    if (GetParam() == "link") {
      fs::remove(at("current"));
      fs::create_symlink("v1", at("current"));
    } else {
      fs::rename(at("current"), at("v2"));
      fs::rename(at("v1"), at("current"));
    }
  }
};
INSTANTIATE_TEST_SUITE_P(SwappedPath, SwappedPath, testing::Values("link", "directory"),
                         [](const auto& param) { return param.param; });

TEST_P(SwappedPath, OfAHeader) {
  const auto command = Command::make(
      {.argv = {"sh", "-c",
                "cat \"$1/current/deep/h\" > \"$2\"; echo x: \"$1/current/deep/h\" > \"$3\"; " +
                    swap(),
                "sh", at(""), "{out}", "{depfile}"},
       .inputs = {at("a")},
       .outputs = {at("made/b")}});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("made/b")), "first");
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("made/b")), "second");
  EXPECT_EQ(run_counts(command).cached, 1u);
}

// One command swaps and the next one swaps back: at its end the name leads where the run once saw
// it lead.
struct ThereAndBack : SwappedPath {
  void expect_it_is_seen(bool young);
};
INSTANTIATE_TEST_SUITE_P(SwappedPath, ThereAndBack, testing::Values("link", "directory"),
                         [](const auto& param) { return param.param; });

void ThereAndBack::expect_it_is_seen(bool young) {
  const bool link = GetParam() == "link";
  const std::string there =
      link ? "ln -sfn v2 $1/current; " : "mv $1/current $1/v1; mv $1/v2 $1/current; ";
  const std::string back =
      link ? "ln -sfn v1 $1/current; " : "mv $1/current $1/v2; mv $1/v1 $1/current; ";
  const auto reads = [&](const std::string& before, const std::string& after,
                         const CommandInput& input, const std::string& made) {
    return Command::make({.argv = {"sh", "-c",
                                   before + "cat \"$1/current/deep/h\" > \"$2\"; " +
                                       "echo x: \"$1/current/deep/h\" > \"$3\"; " + after,
                                   "sh", at(""), "{out}", "{depfile}"},
                          .inputs = {input},
                          .outputs = {at("made/" + made)}});
  };
  const auto last = reads("", back, reads(there, "", reads("", "", at("a"), "1"), "2"), "3");
  const detail::ExternalSpec header(detail::ExternalSpec::What::file, at("v2/deep/h"), nullptr);
  while (header.fingerprint().empty()) {  // what is young is not remembered
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  if (young) write(at("v2/deep/h"), "second");
  EXPECT_EQ(run_counts(last).ran, 3u);
  EXPECT_EQ(read(at("made/3")), "second");
  EXPECT_TRUE(contains(last.why(), "current/deep/h\"]: CHANGED since")) << last.why();
  write(at("a"), "another");  // and by now it is on record
  EXPECT_EQ(run_counts(last).ran, 3u);
  EXPECT_TRUE(contains(last.why(), "current/deep/h\"]: CHANGED since")) << last.why();
}

TEST_P(ThereAndBack, InOneRun) { expect_it_is_seen(false); }
TEST_P(ThereAndBack, InOneRunToAYoungFile) { expect_it_is_seen(true); }

TEST_P(SwappedPath, OfADirectoryInADepfile) {
  for (const std::string named : {"current", "current/deep"}) {
    fs::remove(at("done"));
    const std::string made = at("made/of " + std::to_string(named.size()));
    const auto command = Command::make(
        {.argv = {"sh", "-c",
                  "cat \"$1/current/deep/h\" > \"$2\"; echo x: \"$1/$4\" > \"$3\"; " + swap(), "sh",
                  at(""), "{out}", "{depfile}", named},
         .inputs = {at("a")},
         .outputs = {made}});
    EXPECT_EQ(run_counts(command).ran, 1u);
    EXPECT_EQ(read(made), "first");
    EXPECT_EQ(run_counts(command).ran, 1u) << named;
    EXPECT_EQ(read(made), "second") << named;
    EXPECT_EQ(run_counts(command).cached, 1u);
    swap_back();
  }
}

TEST_P(SwappedPath, OfAnInputOfACommand) {
  const auto command = Command::make(
      {.argv = {"sh", "-c", swap() + "; cat \"$2\" > \"$3\"", "sh", at(""), "{in}", "{out}"},
       .inputs = {at("current/deep/h")},
       .outputs = {at("made/b")}});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("made/b")), "second");
  fs::rename(at("current"), at("v3"));
  fs::rename(at("v1"), at("current"));
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(read(at("made/b")), "first");
  EXPECT_EQ(run_counts(command).cached, 1u);
}

struct ReadsThrough : Task<ReadsThrough, std::string(std::string, std::string, bool)> {
  std::string script;
  std::string path;
  bool finds;
  File declared;
  ReadsThrough(const std::string& swap, const std::string& file, bool is_found)
      : script(swap), path(file), finds(is_found), declared(is_found ? file + ".none" : file) {}
  std::string run_task() {
    if (finds) add_input(File(path));
    EXPECT_EQ(std::system(script.c_str()), 0);
    return read(path);
  }
};

TEST_P(SwappedPath, OfAnInputOfATask) {
  write(at("current/deep/h.none"), "");
  write(at("v2/deep/h.none"), "");
  const std::string script = "set -- " + at("") + "; " + swap();
  for (const bool finds : {false, true}) {
    for (const bool workers : {false, true}) {
      RunOptions options;
      if (workers) options.executor = processes(1);
      fs::remove(at("done"));
      const auto task = ReadsThrough::make(script, at("current/deep/h"), finds);
      EXPECT_EQ(task.run_graph(options).value, "second") << finds << workers;
      swap_back();
      EXPECT_EQ(task.run_graph(options).value, "first") << finds << workers;
      EXPECT_EQ(task.run_graph(options).stats.cached, 1u);
      task.clear_task();
    }
  }
}

// That directories change is no such thing: in most trees what is made lies beside what is read.
TEST_F(Commands, MadeBesideWhatIsReadIsNoSwap) {
  fs::create_directories(at("src/util"));
  write(at("src/util/a"), "source");
  write(at("src/util/h"), "header");
  const auto command = Command::make(
      {.argv = {"sh", "-c",
                "cat \"$2\" \"$1/src/util/h\" > \"$3\"; touch \"$1\"/of \"$1\"/src/of; "
                "echo x: \"$1/src/util/h\" > \"$4\"",
                "sh", at(""), "{in}", "{out}", "{depfile}"},
       .inputs = {at("src/util/a")},
       .outputs = {at("src/util/o")}});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).cached, 1u);
}

// The one by a name from the working directory, the other by a whole one.
TEST_F(Commands, MadeBesideWhatIsReadIsNoSwapByAnotherName) {
  fs::current_path(tree.path());
  fs::create_directories("src/util");
  write("src/util/a", "source");
  write("src/util/h", "header");
  const auto command =
      Command::make({.argv = {"sh", "-c",
                              "cat \"$2\" \"$1/src/util/h\" > \"$3\"; touch of src/of; "
                              "echo x: \"$1/src/util/h\" > \"$4\"",
                              "sh", at(""), "{in}", "{out}", "{depfile}"},
                     .inputs = {"src/util/a"},
                     .outputs = {"src/util/o"}});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).cached, 1u);
}

// By the way from the directory in which the command works.
TEST_F(Commands, MadeBesideWhatIsReadIsNoSwapFromADirectoryBeside) {
  fs::current_path(tree.path());
  fs::create_directories("src/util");
  fs::create_directory("sub");
  write("src/util/a", "source");
  write("src/util/h", "header");
  const auto command =
      Command::make({.argv = {"sh", "-c",
                              "cat \"$1\" ../src/util/h > \"$2\"; touch ../of ../src/of; "
                              "echo x: ../src/util/h > \"$3\"",
                              "sh", "{in}", "{out}", "{depfile}"},
                     .inputs = {"src/util/a"},
                     .outputs = {"src/util/o"},
                     .directory = "sub"});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).cached, 1u);
}

// A file of which the run knows what it is, by another name: its user begins in the tick in which
// it was made.
TEST_F(Commands, GeneratedHeaderByAnotherName) {
  fs::current_path(tree.path());
  fs::create_directory("src");
  fs::create_directory("build");
  write("a", "source");
  for (int i = 0; i < 10; ++i) {
    write("in", std::to_string(i));
    const auto command = Command::make(
        {.argv = {"sh", "-c", "cat \"$1\" ../src/made > \"$2\"; echo x: ../src/made > \"$3\"", "sh",
                  "{in}", "{out}", "{depfile}"},
         .inputs = {"a"},
         .implicit_inputs = {copy("in", "src/made")},
         .outputs = {"build/b"},
         .directory = "build"});
    EXPECT_EQ(run_counts(command).ran, 2u);
    EXPECT_EQ(read("build/b"), "source" + std::to_string(i));
    EXPECT_EQ(run_counts(command).ran, 0u) << i;
  }
}

TEST_F(Commands, LinkMadeJustBeforeIsNoSwap) {
  fs::create_directory(at("lib"));
  write(at("a"), "source");
  for (int i = 0; i < 10; ++i) {
    write(at("in"), std::to_string(i));
    const auto library = copy(at("in"), at("lib/libx.so.1"));
    // What it leads to is of another tick of the clock.
    const auto link =
        Command::make({.argv = {"sh", "-c", "sleep 0.01; ln -sf libx.so.1 \"$1\"", "sh", "{out}"},
                       .implicit_inputs = {library},
                       .outputs = {at("lib/libx.so")}});
    CommandArguments arguments = shell("cat \"$1\" " + at("lib/libx.so") + " > \"$2\"");
    arguments.inputs = {at("a")};
    arguments.implicit_inputs = {link};
    arguments.outputs = {at("b")};
    const auto command = Command::make(arguments);
    EXPECT_EQ(run_counts(command).ran, 3u);
    EXPECT_EQ(read(at("b")), "source" + std::to_string(i));
    EXPECT_EQ(run_counts(command).ran, 0u) << i;
  }
}

// Nobody can know here; but one execution has to be enough to know the next time.
TEST_F(Commands, DirectoriesThatChangeAgainAndAgainRunOnceMore) {
  fs::create_directories(at("generated/deep"));
  write(at("generated/deep/h"), "header");
  write(at("a"), "source");
  const auto command = Command::make(
      {.argv = {"sh", "-c",
                "cat \"$2\" \"$1/generated/deep/h\" > \"$3\"; touch \"$1/generated/$$\" "
                "\"$1/generated/deep/$$\"; echo x: \"$1/generated/deep/h\" > \"$4\"",
                "sh", at(""), "{in}", "{out}", "{depfile}"},
       .inputs = {at("a")},
       .outputs = {at("made/o")}});
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).ran, 1u);
  EXPECT_EQ(run_counts(command).cached, 1u);
}

}  // namespace
