#include "tests/torture/workers_run.h"

#include <fstream>
#include <stook/stook.hpp>

#include "tests/torture/failing.h"

namespace stook::torture {

// The first word of the file; what follows makes no difference.
struct WordOf : Task<WordOf, std::string()> {
  File input{"input"};
  std::string run_task() {
    std::string word;
    std::ifstream file(*input);
    if (!(file >> word)) throw std::runtime_error("cannot read the input");
    return word;
  }
};

// A result too large to travel with its message, a directory, an input found meanwhile.
struct Long : Task<Long, std::string()> {
  Future<std::string> word = WordOf::make();
  std::string run_task() {
    std::string text = *word;
    std::uint64_t state = text.size();
    while (text.size() < (std::size_t{1100} << 10)) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      text += static_cast<char>(state >> 56);
    }
    std::ofstream file(task_directory() / "file");
    if (!(file << *word).flush()) throw std::runtime_error("cannot write the file");
    std::printf("printed\n");
    return text;
  }
};

struct Both : Task<Both, std::string()> {
  Future<std::string> large = Long::make();
  Future<std::string> word = WordOf::make();
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
    for (const auto* info : {&class_info<WordOf>(), &class_info<Long>(), &class_info<Both>()}) {
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
  return word + " " + word + " " + read_text("extra") + ", " + word + " " +
         std::to_string(std::size_t{1100} << 10) + ", " + word;
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

}  // namespace

WholeRun workers_run(const Workers& workers) {
  WholeRun whole;
  whole.prepare = [] {
    write("input", "first and more");
    write("extra", "extra");
  };
  whole.ask = [by_files = workers.by_files](Steps& steps) { return ask(steps, by_files); };
  whole.expected = expected;
  whole.found = {"extra"};
  whole.in_workers = workers.harmed;
  return whole;
}

std::vector<Scenario> workers_scenarios(const Workers& workers) {
  const std::string whose = workers.name;
  return {{whose + ", same again", [] { write("input", "first and something else"); }, 1},
          {whose + ", changed", [] { write("input", "second"); }, 3}};
}

}  // namespace stook::torture
