#include "tests/torture/workers_run.h"

#include <fstream>

#include "tests/torture/failing.h"
#include "tests/torture/first_word.h"

namespace stook::torture {

// A result too large to travel with its message, a directory, an input found meanwhile.
struct Long : Task<Long, std::string()> {
  Future<std::string> word = FirstWord::make();
  std::string run_task() {
    std::ofstream file(task_directory() / "file");
    if (!(file << *word).flush()) throw std::runtime_error("cannot write the file");
    std::printf("printed\n");
    return grown(*word);
  }
};

struct Both : Task<Both, std::string()> {
  Future<std::string> large = Long::make();
  Future<std::string> word = FirstWord::make();
  std::string run_task() {
    add_input(File("extra"));
    std::string extra;
    std::ifstream file("extra");
    if (!(file >> extra)) throw std::runtime_error("cannot read the file");
    return large->substr(0, word->size()) + " " + *word + " " + extra;
  }
};

namespace {

void write(const char* path, const std::string& text) { std::ofstream(path) << text; }

RunOptions elsewhere(bool by_files) {
  RunOptions options = one_job();
  if (by_files) {
    using detail::class_info;
    for (const auto* info : {&class_info<FirstWord>(), &class_info<Long>(), &class_info<Both>()}) {
      options.prefixes[info->name] = "";
    }
    options.result_wait = 0.5;
  } else {
    options.executor = processes(1);
  }
  return options;
}

std::string expected() {
  const std::string input = read_text("input");
  const std::string word = input.substr(0, input.find(' '));
  return word + " " + word + " " + read_text("extra") + ", " + word + " " + std::to_string(kGrown) +
         ", " + word;
}

Answer ask(Steps& steps, bool by_files) {
  const Cache cache("cache", silent());
  steps.opened();
  const auto outcome = Both::make().run_graph(elsewhere(by_files));
  steps.done();
  const auto large = Long::make().run_graph(one_job());
  const std::string word = read_text(Long::make().task_directory() / "file");
  return {outcome.stats.ran + large.stats.ran,
          outcome.value + ", " + large.value.substr(0, word.size()) + " " +
              std::to_string(large.value.size()) + ", " + word};
}

struct Workers {
  const char* name;
  bool by_files;
  bool harmed;  // they themselves, not their driver
};
constexpr Workers kWorkers[] = {{"worker", false, true},
                                {"driver of workers", false, false},
                                {"behind a prefix", true, true},
                                {"driver with a prefix", true, false}};

}  // namespace

std::string harm_workers(Line& line, Harm harm, std::uint64_t quick_step) {
  std::string figure;
  for (const Workers& workers : kWorkers) {
    WholeRun whole;
    whole.prepare = [] {
      write("input", "first and more");
      write("extra", "extra");
    };
    whole.ask = [&workers](Steps& steps) { return ask(steps, workers.by_files); };
    whole.expected = expected;
    whole.found = {"extra"};
    whole.in_workers = workers.harmed;
    whole.quick_step = quick_step;
    const std::string whose = workers.name;
    figure += harm_whole_runs(
        line, whole, harm,
        {{whose + ", same again", [] { write("input", "first and something else"); }, 1},
         {whose + ", changed", [] { write("input", "second"); }, 3}});
  }
  return figure;
}

}  // namespace stook::torture
