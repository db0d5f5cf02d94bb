// Line 3, of whole runs: each system call that can fail does, once, in each way it can, while a
// program asks for what is there, and while it runs what a changed input, or one that makes no
// difference, has made suspect. It says what is right or one clear error; afterwards nothing is
// wrong, and what was there before is not computed again but for what the disk did not give back.
#include <fstream>
#include <stook/stook.hpp>

#include "tests/torture/failing.h"
#include "tests/torture/line.h"
#include "tests/torture/operation.h"

namespace stook::torture {

// The first word of the file; what follows makes no difference.
struct FirstWord : Task<FirstWord, std::string()> {
  File input{"input"};
  std::string run_task() {
    std::string word;
    std::ifstream file(*input);
    if (!(file >> word)) throw std::runtime_error("cannot read the input");
    return word;
  }
};

// An object of its own.
struct LargeText : Task<LargeText, std::string()> {
  Future<std::string> word = FirstWord::make();
  std::string run_task() {
    std::string text = *word;
    std::uint64_t state = text.size();
    while (text.size() < (std::size_t{1100} << 10)) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      text += static_cast<char>(state >> 56);
    }
    return text;
  }
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

namespace fs = std::filesystem;

constexpr std::uint64_t kQuickStep = 7;  // no multiple of the ways in which one call fails

CacheOptions silent() {
  CacheOptions options;
  options.warn = [](std::string_view) {};
  return options;
}

RunOptions one_job() {
  RunOptions options;
  options.jobs = 1;
  return options;
}

std::string right_answer() {
  const std::string input = read_text("input");
  const std::string word = input.substr(0, input.find(' '));
  return word + " " + word + " " + std::to_string(std::size_t{1100} << 10);
}

struct Seen {
  std::size_t ran = 0;
  bool right = false;
};

// All results of a cache, each asked for by itself.
Seen ask(const fs::path& directory, Steps& steps) {
  const std::string right = right_answer();
  const Cache cache(directory, silent());
  steps.opened();
  const auto outcome = Together::make().run_graph(one_job());
  Seen seen;
  seen.ran = outcome.stats.ran;
  seen.right = outcome.value == right;
  const auto large = LargeText::make().run_graph(one_job());
  const auto left = InDirectory::make().run_graph(one_job());
  seen.ran += large.stats.ran + left.stats.ran;
  seen.right = seen.right && right.starts_with(left.value + " ") &&
               large.value.starts_with(left.value) && large.value.size() == (1100u << 10);
  steps.done();
  seen.right = seen.right && read_text(InDirectory::make().task_directory() / "file") == left.value;
  return seen;
}

struct Scenario {
  std::string name;
  std::string input;
  std::size_t runs;  // so many tasks are executed when nothing fails
};

class FailingRun {
 public:
  FailingRun(Line& line, const Scenario& scenario, fs::path good, fs::path place)
      : line_(line), scenario_(scenario), good_(std::move(good)), place_(std::move(place)) {}

  // The n-th way to fail. False: there are not so many.
  bool fail(std::uint64_t n) {
    copy_cache(good_, place_ / "cache");
    std::ofstream(place_ / "input") << scenario_.input;
    steps_.reset();
    *seen_ = Seen();
    const auto [ending, where] = fail_once(
        n, [this] { return look(); },
        [this](const Call&) {
          return steps_.count() == 0 && (steps_.is_open() || line_.nightly());
        });
    if (where.empty()) return false;
    const bool disk = where.find("EIO") != std::string::npos;
    if (const std::string fault = check(ending, disk); !fault.empty()) {
      line_.violation(scenario_.name + ", " + where + ": " + fault);
    }
    return true;
  }

 private:
  int look() {
    fs::current_path(place_);
    return perform(
        [this] {
          *seen_ = ask("cache", steps_);
          return 0;
        },
        "error");
  }

  std::string check(const Ending& ending, bool disk) {
    const std::string error = read_text(place_ / "error");
    if (auto fault = fault_of(ending, error); !fault.empty()) return fault;
    const Seen first = *seen_;
    if (ending.status == 0 && !first.right) return "what it says is wrong";
    steps_.reset();
    *seen_ = Seen();
    const Ending again = run_child([this] { return look(); });
    if (!again.exited || again.status != 0) {
      return "then it cannot be asked: " + read_text(place_ / "error");
    }
    if (!seen_->right) return "then what it says is wrong; before: " + error;
    const std::size_t ran = first.ran + seen_->ran;
    if (disk || ran <= scenario_.runs) return {};
    return "executed are " + std::to_string(first.ran) + " and then " + std::to_string(seen_->ran) +
           " tasks, not " + std::to_string(scenario_.runs) + "; the error: " + error;
  }

  Line& line_;
  const Scenario& scenario_;
  const fs::path good_;
  const fs::path place_;
  Steps steps_;
  SharedValue<Seen> seen_;
};

void build(Line& line, const fs::path& good) {
  const Ending built = run_child([&] {
    fs::current_path(line.directory());
    std::ofstream("input") << "first and more";
    Steps steps;
    return ask(good, steps).right ? 0 : 1;
  });
  if (!built.exited || built.status != 0) line.violation("it cannot be built at all");
}

int run(Line& line) {
  if (const std::string why = why_no_tracing(); !why.empty()) line.skip(why);
  const fs::path good = line.directory() / "good";
  build(line, good);
  const std::vector<Scenario> scenarios = {{"asked", "first and more", 0},
                                           {"same again", "first and something else", 2},
                                           {"changed", "second", 5}};
  std::string figure;
  for (const Scenario& scenario : scenarios) {
    if (!line.wants(scenario.name)) continue;
    const std::uint64_t trials = line.in_slices(kSlices, [&](int slice) {
      const fs::path place = line.directory() / ("place" + std::to_string(slice));
      fs::create_directories(place);
      FailingRun runs(line, scenario, good, place);
      const std::uint64_t step = line.nightly() ? 1 : kQuickStep, first = line.seed() % step;
      std::uint64_t done = 0;
      for (auto n = first + slice * step; runs.fail(n); n += kSlices * step) ++done;
      return done;
    });
    figure += ", " + scenario.name + " " + std::to_string(trials);
  }
  return line.finish("runs in which a system call fails" + figure);
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
