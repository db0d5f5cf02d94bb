#include "tests/torture/whole_run.h"

#include <fstream>

#include "tests/torture/failing.h"
#include "tests/torture/shared_value.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

class HarmedRuns {
 public:
  HarmedRuns(Line& line, const WholeRun& whole, Harm harm, const Scenario& scenario, fs::path good,
             fs::path place)
      : line_(line), whole_(whole), harm_(harm), scenario_(scenario), good_(std::move(good)),
        place_(std::move(place)) {}

  // The n-th harm. False: there are not so many.
  bool harm(std::uint64_t n) {
    copy_place();
    fs::current_path(place_);
    scenario_.change();
    forget();
    const auto body = [this] { return look(); };
    const auto of_interest = [this](const Call& call) {
      return call.of_child == whole_.in_workers && steps_.count() == 0 &&
             (steps_.is_open() || line_.nightly());
    };
    const Follow follow = whole_.in_workers ? Follow::processes : Follow::threads;
    const auto [ending, where] = harm_ == Harm::fails ? fail_once(n, body, of_interest, follow)
                                                      : kill_once(n, body, of_interest, follow);
    if (where.empty()) return false;
    const bool disk = where.find("EIO") != std::string::npos;
    if (const std::string fault = check(ending, disk, n); !fault.empty()) {
      line_.violation(scenario_.name + ", " + where + ": " + fault);
    }
    return true;
  }

 private:
  void copy_place() const {
    fs::remove_all(place_);
    fs::create_directories(place_);
    for (const auto& entry : fs::directory_iterator(good_)) {
      const fs::path to = place_ / entry.path().filename();
      if (to.filename() == "cache") {
        copy_cache(entry.path(), to);
      } else {
        fs::copy(entry.path(), to, fs::copy_options::recursive);
      }
    }
  }

  void forget() {
    steps_.reset();
    *ran_ = 0;
  }

  int look() {
    return perform(
        [this] {
          const Answer answer = whole_.ask(steps_);
          *ran_ = answer.ran;
          std::ofstream("said") << answer.said;
          return 0;
        },
        "error");
  }

  [[nodiscard]] bool is_right() const {
    return read_text("said") == whole_.expected() && whole_.made();
  }

  // What is wrong with what it says when nothing fails; empty: nothing.
  std::string look_again() {
    forget();
    const Ending ending = run_child([this] { return look(); });
    if (!ending.exited || ending.status != 0) return "it cannot be asked: " + read_text("error");
    return is_right() ? "" : "what it says is wrong";
  }

  // An answer that no longer can be had.
  std::string look_without(std::uint64_t n) {
    if (whole_.found.empty()) return {};
    const std::string& file = whole_.found[n % whole_.found.size()];
    const std::string text = read_text(file);
    fs::remove(file);
    const Ending ending = run_child([this] { return look(); });
    std::ofstream(file) << text;
    const bool fails = ending.exited && ending.status == 1;
    return fails ? "" : "without " + file + " it does not fail";
  }

  std::string check(const Ending& ending, bool disk, std::uint64_t n) {
    const std::string error = ending.killed ? "it was killed" : read_text("error");
    if (auto fault = fault_of(ending, error); !ending.killed && !fault.empty()) return fault;
    const std::size_t first = *ran_;
    if (ending.exited && ending.status == 0 && !is_right()) return "what it says is wrong";
    const std::string before = "; before: " + error;
    if (auto fault = look_without(n); !fault.empty()) return "then " + fault + before;
    if (auto fault = look_again(); !fault.empty()) return "then " + fault + before;
    const std::size_t ran = first + *ran_;
    if (!disk && ran > scenario_.runs) {
      return "executed are " + std::to_string(first) + " and then " + std::to_string(*ran_) +
             " tasks, not " + std::to_string(scenario_.runs) + before;
    }
    whole_.prepare();
    if (auto fault = look_again(); !fault.empty()) return "with all changed back " + fault + before;
    return {};
  }

  Line& line_;
  const WholeRun& whole_;
  const Harm harm_;
  const Scenario& scenario_;
  const fs::path good_;
  const fs::path place_;
  Steps steps_;
  SharedValue<std::size_t> ran_;
};

void build(Line& line, const WholeRun& whole, const fs::path& good) {
  fs::remove_all(good);
  fs::create_directories(good);
  const Ending built = run_child([&] {
    fs::current_path(good);
    whole.prepare();
    Steps steps;
    return whole.ask(steps).said == whole.expected() && whole.made() ? 0 : 1;
  });
  if (!built.exited || built.status != 0) line.violation("it cannot be built at all");
}

}  // namespace

std::string harm_whole_runs(Line& line, const WholeRun& whole, Harm harm,
                            const std::vector<Scenario>& scenarios) {
  if (const std::string why = why_no_tracing(); !why.empty()) line.skip(why);
  const fs::path good = line.directory() / "good";
  build(line, whole, good);
  std::string figure;
  for (const Scenario& scenario : scenarios) {
    if (!line.wants(scenario.name)) continue;
    const std::uint64_t trials = line.in_slices(kSlices, [&](int slice) {
      const fs::path place = line.directory() / ("place" + std::to_string(slice));
      HarmedRuns runs(line, whole, harm, scenario, good, place);
      const std::uint64_t step = line.nightly() ? 1 : whole.quick_step, first = line.seed() % step;
      std::uint64_t done = 0;
      for (auto n = first + slice * step; runs.harm(n); n += kSlices * step) ++done;
      return done;
    });
    figure += ", " + scenario.name + " " + std::to_string(trials);
  }
  return figure;
}

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

}  // namespace stook::torture
