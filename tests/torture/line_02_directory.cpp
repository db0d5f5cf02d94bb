// Line 2, of a task with a directory: SIGKILL at every system call of its being rebuilt with
// another content. Afterwards value and directory are both of the last good result or both of the
// new one.
#include "tests/torture/directory_task.h"
#include "tests/torture/line.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

std::uint64_t kill_everywhere(Line& line, const fs::path& good, int slice) {
  const fs::path cache = line.directory() / ("cache" + std::to_string(slice));
  Steps steps;
  std::uint64_t kills = 0;
  for (auto n = static_cast<std::uint64_t>(slice);; n += kSlices) {
    fs::remove_all(cache);
    fs::copy(good, cache, fs::copy_options::recursive);
    steps.reset();
    std::uint64_t stop = 0;
    std::string where;
    const Ending ending =
        trace([&] { return rebuild_directory(cache, steps); },
              [&](const Call& call) -> Order {
                if (!steps.is_open() && !line.nightly()) return {};
                if (stop++ != n) return {};
                where = (call.entering ? "before " : "after ") + call_name(call.number);
                return {Verdict::kill, 0};
              });
    if (!ending.killed) {
      if (!ending.exited || ending.status != 0) line.violation("the rebuild fails");
      return kills;
    }
    ++kills;
    const DirectoryLook looked = look_at_directory(cache, steps.count() > 0);
    if (looked.fault.empty()) continue;
    line.violation("killed " + where + ", stop " + std::to_string(n) + ": " + looked.fault);
  }
}

int run(Line& line) {
  if (const std::string why = why_no_tracing(); !why.empty()) line.skip(why);
  const fs::path good = line.directory() / "good";
  if (const Ending built = run_child([&] { return build_directory(good); }); built.status != 0) {
    line.violation("it cannot be built at all");
  }
  std::uint64_t kills = 0;
  for (int round = 0; round < (line.nightly() ? 10 : 1); ++round) {
    kills += line.in_slices(kSlices, [&](int slice) { return kill_everywhere(line, good, slice); });
  }
  return line.finish("a task with a directory rebuilt and killed at every system call: " +
                     std::to_string(kills));
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
