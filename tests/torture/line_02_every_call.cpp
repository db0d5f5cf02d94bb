// Line 2: SIGKILL before every system call of an operation, and after (quick: after those that
// leave something). What is seen afterwards is the cache before or after it, and doing it again
// succeeds.
#include "tests/torture/line.h"
#include "tests/torture/operation.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

class EveryCall {
 public:
  EveryCall(Line& line, const Operation& operation, fs::path cache)
      : line_(line), operation_(operation), cache_(std::move(cache)) {}

  // Kills at the n-th stop. False: it has ended before.
  bool kill_at(std::uint64_t n) {
    copy_cache(operation_.prepared, cache_);
    steps_.reset();
    std::uint64_t stop = 0;
    std::string where;
    const Ending ending = trace([&] { return perform(operation_, cache_, steps_); },
                                [&](const Call& call) -> Order {
                                  if (!is_of_interest()) return {};
                                  // Nothing lies between the end of most calls and the next one but
                                  // work in memory.
                                  if (!call.entering && !line_.nightly() && !leaves_something(call))
                                    return {};
                                  if (stop++ != n) return {};
                                  where = (call.entering ? "before " : "after ") +
                                          call_name(call.number) + ", stop " + std::to_string(n);
                                  return {Verdict::kill, 0};
                                });
    if (!ending.killed) {
      if (!ending.exited || ending.status != 0) line_.violation(operation_.name + " fails");
      return false;
    }
    check(where);
    return true;
  }

 private:
  // Opening is disturbed once, and each time at night.
  [[nodiscard]] bool is_of_interest() const {
    return operation_.opens_only || steps_.is_open() || line_.nightly();
  }

  void check(const std::string& where) {
    const std::string head = operation_.name + ", killed " + where + ": ";
    if (const auto fault = judge(operation_, cache_, steps_.count()); !fault.empty()) {
      return line_.violation(head + fault);
    }
    if (const auto fault = complete(operation_, cache_, true); !fault.empty()) {
      line_.violation(head + fault);
    }
  }

  Line& line_;
  const Operation& operation_;
  const fs::path cache_;
  Steps steps_;
};

int run(Line& line) {
  if (const std::string why = why_no_tracing(); !why.empty()) line.skip(why);
  const auto operations = all_operations(line.directory());
  std::string figure;
  // Threads make the number of calls differ a little from run to run: nightly looks more than once.
  const int rounds = line.nightly() ? 2 : 1;
  for (const Operation& operation : operations) {
    if (!line.wants(operation.name)) continue;
    const std::uint64_t step = line.nightly() ? 1 : operation.quick_step;
    const std::uint64_t first = line.seed() % step;
    const std::uint64_t kills = line.in_slices(kSlices, [&](int slice) {
      EveryCall every(line, operation, line.directory() / ("cache" + std::to_string(slice)));
      std::uint64_t done = 0;
      for (int round = 0; round < rounds; ++round) {
        for (auto n = first + slice * step; every.kill_at(n); n += kSlices * step) ++done;
      }
      return done;
    });
    figure += (figure.empty() ? "" : ", ") + operation.name + " " + std::to_string(kills);
  }
  return line.finish("killed before and after every system call: " + figure);
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
