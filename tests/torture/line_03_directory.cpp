// Line 3, of a task with a directory: each system call that can fail does, once, in each way it
// can, while it is rebuilt with another content, and while somebody opens the cache in which a
// rebuild was killed. Value and directory are both of the last good result or both of the new one,
// and with the trouble gone it can be rebuilt.
#include <fstream>

#include "tests/torture/directory_task.h"
#include "tests/torture/failing.h"
#include "tests/torture/line.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kQuickStep = 23;  // no multiple of the ways in which one call fails

struct DirectoryOperation {
  std::string name;
  std::function<int(const fs::path&, Steps&)> perform;
  fs::path prepared;
  bool opens = false;  // a cache in which a rebuild was killed
};

class FailingDirectory {
 public:
  FailingDirectory(Line& line, const DirectoryOperation& operation, fs::path cache)
      : line_(line), operation_(operation), cache_(std::move(cache)) {}

  // The n-th way to fail, counted over all calls. False: there are not so many.
  bool fail(std::uint64_t n) {
    copy_cache(operation_.prepared, cache_);
    steps_.reset();
    begun_ = false;
    const auto [ending, where] = fail_once(
        n,
        [this] {
          return perform([this] { return operation_.perform(cache_, steps_); }, error_file());
        },
        [this](const Call& call) { return is_of_interest(call); });
    if (where.empty()) return false;
    if (const auto fault = check(ending); !fault.empty()) {
      line_.violation(operation_.name + ", " + where + ": " + fault);
    }
    return true;
  }

 private:
  [[nodiscard]] fs::path error_file() const { return cache_.string() + ".error"; }

  // From when it is open, or from when it is found that a rebuild was killed; at night all of it.
  bool is_of_interest(const Call& call) {
    begun_ =
        begun_ || line_.nightly() || steps_.is_open() || (operation_.opens && names_marker(call));
    return begun_ && steps_.count() == 0;
  }

  std::string check(const Ending& ending) {
    const std::string error = read_text(error_file());
    if (auto fault = fault_of(ending, error); !fault.empty()) return fault;
    const bool rebuilt = !operation_.opens && steps_.count() > 0;
    if (auto found = look_at_directory(cache_, rebuilt); !found.fault.empty()) {
      return found.fault + (error.empty() ? "" : ", after " + error);
    }
    Steps again;
    const Ending rebuild = run_child([&] { return rebuild_directory(cache_, again); });
    if (!rebuild.exited || rebuild.status != 0) return "it cannot be rebuilt";
    const std::string fault = look_at_directory(cache_, true).fault;
    return fault.empty() ? "" : "rebuilt, " + fault;
  }

  Line& line_;
  const DirectoryOperation& operation_;
  const fs::path cache_;
  Steps steps_;
  bool begun_ = false;
};

int run(Line& line) {
  if (const std::string why = why_no_tracing(); !why.empty()) line.skip(why);
  const fs::path good = line.directory() / "good";
  if (const Ending built = run_child([&] { return build_directory(good); }); built.status != 0) {
    line.violation("it cannot be built at all");
  }
  const auto killed = killed_rebuilds(line.directory(), good);
  std::vector<DirectoryOperation> operations = {{"rebuild", rebuild_directory, good}};
  for (const auto& [shape, cache] : killed) {
    operations.push_back({"opened with " + shape, ask_for_directory, cache, true});
  }
  std::uint64_t trials = 0;
  for (const DirectoryOperation& operation : operations) {
    trials += line.in_slices(kSlices, [&](int slice) {
      FailingDirectory calls(line, operation, line.directory() / ("cache" + std::to_string(slice)));
      const std::uint64_t step = line.nightly() ? 1 : kQuickStep, first = line.seed() % step;
      std::uint64_t done = 0;
      for (auto n = first + slice * step; calls.fail(n); n += kSlices * step) ++done;
      return done;
    });
  }
  return line.finish("a task with a directory, each system call failing in each way: " +
                     std::to_string(trials) + " times, in its rebuild and in opening after " +
                     std::to_string(killed.size()) + " that were killed");
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
