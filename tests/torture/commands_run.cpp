#include "tests/torture/commands_run.h"

#include <fstream>
#include <stook/command.hpp>
#include <stook/stook.hpp>

#include "tests/torture/failing.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

// The first words of the input and of a header that only its depfile names.
TaskRef<Command> joined() {
  return Command::make({.argv = {"sh", "-c",
                                 "read -r word rest < \"$0\" && read -r head rest < header &&"
                                 " echo \"$word $head\" > \"$1\" && echo \"x: header\" > \"$2\"",
                                 "{in}", "{out}", "{depfile}"},
                        .inputs = {"input"},
                        .outputs = {"made/joined"}});
}

// Its outputs are kept in the cache, too.
TaskRef<Command> kept() {
  return Command::make({.argv = {"cp", "{in}", "{out}"},
                        .inputs = {joined()},
                        .outputs = {"made/kept"},
                        .keep_outputs = true});
}

// Makes its output where it is to be.
TaskRef<Command> plain() {
  return Command::make({.argv = {"sh", "-c", "cat \"$0\" \"$1\" > made/plain", "{in}"},
                        .inputs = {joined(), kept()},
                        .outputs = {"made/plain"}});
}

}  // namespace

// What is in the directory, and in a file that it names while it runs.
struct Tally : Task<Tally, std::string()> {
  Directory tree{"tree"};
  Future<CommandResult> made = plain();
  std::string run_task() {
    std::string text = made->outputs.at(0).path;
    for (const fs::path name : {"one", "two"}) {
      if (fs::exists(*tree / name)) text += " " + read(*tree / name);
    }
    add_input(File("extra"));
    return text + " " + read("extra");
  }

 private:
  static std::string read(const fs::path& path) {
    std::string word;
    std::ifstream file(path);
    if (!(file >> word)) throw std::runtime_error("cannot read " + path.string());
    return word;
  }
};

namespace {

void write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

void prepare() {
  write("input", "first and more\n");
  write("header", "head\n");
  fs::remove_all("tree");
  fs::create_directories("tree");
  write("tree/one", "1\n");
  write("extra", "more\n");
}

std::string first_word(const fs::path& path) {
  std::string word;
  std::ifstream(path) >> word;
  return word;
}

bool files_are_right() {
  const std::string line = first_word("input") + " " + first_word("header") + "\n";
  return read_text("made/joined") == line && read_text("made/kept") == line &&
         read_text("made/plain") == line + line;
}

std::string expected() {
  const std::string two = fs::exists("tree/two") ? " " + first_word("tree/two") : "";
  return "made/plain " + first_word("tree/one") + two + " " + first_word("extra");
}

Answer ask(Steps& steps) {
  const Cache cache("cache", silent());
  steps.opened();
  const auto outcome = Tally::make().run_graph(one_job());
  steps.done();
  return {outcome.stats.ran, outcome.value};
}

}  // namespace

WholeRun commands_run() {
  WholeRun whole;
  whole.prepare = prepare;
  whole.ask = ask;
  whole.expected = expected;
  whole.made = files_are_right;
  whole.found = {"header", "extra"};
  return whole;
}

std::vector<Scenario> commands_scenarios() {
  const auto nothing = [] {};
  const auto same_again = [] { write("input", "first again\n"); };
  const auto header = [] { write("header", "foot\n"); };
  const auto outputs_lost = [] {
    fs::remove("made/kept");
    fs::remove("made/plain");
  };
  const auto inputs = [] {
    write("tree/two", "2\n");
    write("extra", "less\n");
  };
  return {{"asked", nothing, 0},
          {"same again", same_again, 1},
          {"header", header, 4},
          {"outputs lost", outputs_lost, 2},
          {"inputs", inputs, 1}};
}

}  // namespace stook::torture
