// Line 3, of whole runs: each system call that can fail does, once, in each way it can, while a
// program asks for what is there, and while it runs what a changed input, or one that makes no
// difference, has made suspect. It says what is right or one clear error; afterwards nothing is
// wrong, and what was there before is not computed again but for what the disk did not give back.
#include <fstream>

#include "tests/torture/failing.h"
#include "tests/torture/first_word.h"
#include "tests/torture/whole_run.h"

namespace stook::torture {

// An object of its own.
struct LargeText : Task<LargeText, std::string()> {
  Future<std::string> word = FirstWord::make();
  std::string run_task() { return grown(*word); }
};

struct InDirectory : Task<InDirectory, std::string()> {
  Future<std::string> word = FirstWord::make();
  std::string run_task() {
    std::ofstream file(task_directory() / "file");
    if (!(file << *word).flush()) throw std::runtime_error("cannot write the file");
    return *word;
  }
};

struct NotKept : Task<NotKept, std::size_t()> {
  static constexpr auto task_store = Store::never;
  Future<std::string> large = LargeText::make();
  std::size_t run_task() { return large->size(); }
};

struct Together : Task<Together, std::string()> {
  Future<std::string> large = LargeText::make();
  Future<std::string> left = InDirectory::make();
  Future<std::size_t> size = NotKept::make();
  std::string run_task() {
    return large->substr(0, left->size()) + " " + *left + " " + std::to_string(*size);
  }
};

namespace {

constexpr std::uint64_t kQuickStep = 13;  // no multiple of the ways in which one call fails

void write_input(const std::string& text) { std::ofstream("input") << text; }

std::string expected() {
  const std::string input = read_text("input");
  const std::string word = input.substr(0, input.find(' '));
  const std::string size = std::to_string(kGrown);
  return word + " " + word + " " + size + ", " + word + " " + size + ", " + word;
}

// All results of the cache, each asked for by itself.
Answer ask(Steps& steps) {
  const Cache cache("cache", silent());
  steps.opened();
  const auto outcome = Together::make().run_graph(one_job());
  const auto large = LargeText::make().run_graph(one_job());
  const auto left = InDirectory::make().run_graph(one_job());
  steps.done();
  const std::string word = read_text(InDirectory::make().task_directory() / "file");
  return {outcome.stats.ran + large.stats.ran + left.stats.ran,
          outcome.value + ", " + large.value.substr(0, word.size()) + " " +
              std::to_string(large.value.size()) + ", " + left.value};
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  using namespace stook::torture;
  Line line(argc, argv);
  const WholeRun whole{.prepare = [] { write_input("first and more"); },
                       .ask = ask,
                       .expected = expected,
                       .quick_step = kQuickStep};
  const std::vector<Scenario> scenarios = {
      {"asked", [] {}, 0},
      {"same again", [] { write_input("first and something else"); }, 2},
      {"changed", [] { write_input("second"); }, 5}};
  return line.finish("runs in which a system call fails" +
                     harm_whole_runs(line, whole, Harm::fails, scenarios));
}
