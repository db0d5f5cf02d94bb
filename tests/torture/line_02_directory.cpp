// Line 2, of a task with a directory: SIGKILL at every system call of its being rebuilt with
// another content, or with none any more, and of a cache being opened in which such a rebuild was
// killed. Afterwards value and directory are both of the last good result or both of the new one.
#include "tests/torture/directory_task.h"
#include "tests/torture/line.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kQuickStep = 9, kQuickRebuildStep = 3;  // entries and exits, by turns

// Rebuilds it, or opens a cache in which a rebuild was killed.
struct Killed {
  std::string name;
  std::function<int(const fs::path&, Steps&)> perform;
  fs::path prepared;
  bool opens = false;
  bool drops = false;  // the other content is none at all
};

std::uint64_t kill_everywhere(Line& line, const Killed& operation, int slice) {
  const fs::path cache = line.directory() / ("cache" + std::to_string(slice));
  if (operation.drops) second_leaves_nothing();  // slices are processes
  Steps steps;
  std::uint64_t kills = 0;
  const std::uint64_t quick_step = operation.opens ? kQuickStep : kQuickRebuildStep;
  const std::uint64_t step = line.nightly() ? 1 : quick_step;
  for (auto n = line.seed() % step + slice * step;; n += kSlices * step) {
    copy_cache(operation.prepared, cache);
    steps.reset();
    std::uint64_t stop = 0;
    bool begun = line.nightly();
    std::string where;
    const Ending ending =
        trace([&] { return operation.perform(cache, steps); },
              [&](const Call& call) -> Order {
                begun = begun || steps.is_open() || (operation.opens && names_marker(call));
                if (!begun || (operation.opens && steps.is_open()) || stop++ != n) return {};
                where = (call.entering ? "before " : "after ") + call_name(call.number);
                return {Verdict::kill, 0};
              });
    if (!ending.killed) {
      if (!ending.exited || ending.status != 0) line.violation(operation.name + " fails");
      return kills;
    }
    ++kills;
    const bool rebuilt = !operation.opens && steps.count() > 0;
    const DirectoryLook looked = look_at_directory(cache, rebuilt);
    if (looked.fault.empty()) continue;
    line.violation(operation.name + ", killed " + where + ", stop " + std::to_string(n) + ": " +
                   looked.fault);
  }
}

int run(Line& line) {
  if (const std::string why = why_no_tracing(); !why.empty()) line.skip(why);
  const fs::path good = line.directory() / "good";
  if (const Ending built = run_child([&] { return build_directory(good); }); built.status != 0) {
    line.violation("it cannot be built at all");
  }
  const auto rebuilds = killed_rebuilds(line.directory(), good);
  std::vector<Killed> operations = {
      {"a rebuild", rebuild_directory, good},
      {"a rebuild without a directory", rebuild_without, good, false, true}};
  for (const auto& [shape, cache] : rebuilds) {
    operations.push_back({"opened with " + shape, ask_for_directory, cache, true, false});
  }
  std::uint64_t kills = 0;
  for (int round = 0; round < (line.nightly() ? 3 : 1); ++round) {
    for (const Killed& operation : operations) {
      kills += line.in_slices(kSlices,
                              [&](int slice) { return kill_everywhere(line, operation, slice); });
    }
  }
  return line.finish("a task with a directory killed at every system call, " +
                     std::to_string(kills) + " times: rebuilt, and opened after " +
                     std::to_string(rebuilds.size()) + " rebuilds that were killed");
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
