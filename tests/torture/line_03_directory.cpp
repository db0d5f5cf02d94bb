// Line 3, of a task with a directory: each system call that can fail does, once, in each way it
// can, while it is rebuilt with another content, and while somebody opens the cache in which a
// rebuild was killed. Value and directory are both of the last good result or both of the new one,
// and with the trouble gone it can be rebuilt.
#include <fstream>
#include <sstream>

#include "tests/torture/directory_task.h"
#include "tests/torture/failing.h"
#include "tests/torture/line.h"
#include "tests/torture/tracer.h"

#include <stook/errors.hpp>

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kQuickStep = 11;  // no multiple of the ways in which one call fails

struct DirectoryOperation {
  std::string name;
  std::function<int(const fs::path&, Steps&)> perform;
  fs::path prepared;
  bool opens = false;  // a cache in which a rebuild was killed
};

std::string read_text(const fs::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

// 0: done; 1: one clear error; 2: anything else that was thrown, 3: what must not be.
int perform(const DirectoryOperation& operation, const fs::path& cache, Steps& steps) {
  std::string text;
  int status = 0;
  try {
    if (operation.perform(cache, steps) != 0) status = 3;
  } catch (const Error& error) {
    text = error.what();
    status = 1;
  } catch (const std::exception& error) {
    text = error.what();
    status = 2;
  }
  std::ofstream(cache.string() + ".error") << text;
  return status;
}

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
        n, [this] { return perform(operation_, cache_, steps_); },
        [this](const Call& call) { return is_of_interest(call); });
    if (where.empty()) return false;
    if (const auto fault = check(ending); !fault.empty()) {
      line_.violation(operation_.name + ", " + where + ": " + fault);
    }
    return true;
  }

 private:
  // From when it is open, or from when it is found that a rebuild was killed; at night all of it.
  bool is_of_interest(const Call& call) {
    begun_ =
        begun_ || line_.nightly() || steps_.is_open() || (operation_.opens && names_marker(call));
    return begun_ && steps_.count() == 0;
  }

  std::string check(const Ending& ending) {
    if (ending.signal == kHungSignal) return "it hangs";
    if (!ending.exited) return "it dies by signal " + std::to_string(ending.signal);
    const std::string error = read_text(cache_.string() + ".error");
    if (ending.status == 2) return "what was thrown is no stook::Error: " + error;
    if (ending.status > 2) return "it ends with another result";
    if (ending.status == 1 && error.find(": ") == std::string::npos) {
      return "the error does not say what failed: " + error;
    }
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
