// Line 2, of a task with a directory: SIGKILL at every system call of its being rebuilt with
// another content. Afterwards value and directory are both of the last good result or both of the
// new one.
#include <sys/syscall.h>

#include <fstream>
#include <stook/stook.hpp>

#include "tests/torture/line.h"
#include "tests/torture/operation.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

long generation = 0;  // what a task makes that is executed now

}  // namespace

struct Source : Task<Source, long()> {
  long run_task() { return 7; }
};

struct Output : Task<Output, long()> {
  Future<long> source = Source::make();
  long run_task() {
    std::ofstream(task_directory() / "file") << generation;
    return generation;
  }
};

namespace {

namespace fs = std::filesystem;

CacheOptions silent() {
  CacheOptions options;
  options.warn = [](std::string_view) {};
  return options;
}

int build(const fs::path& directory) {
  generation = 1;
  const Cache cache(directory, silent());
  return Output::make().run_graph().value == 1 ? 0 : 1;
}

int rebuild(const fs::path& directory, Steps& steps) {
  generation = 2;
  const Cache cache(directory, silent());
  steps.opened();
  Source::make().clear_task();
  RunOptions options;
  options.rebuild = Rebuild::downstream;
  options.jobs = 1;
  if (Output::make().run_graph(options).value != 2) return 1;
  steps.done();
  return 0;
}

// 0: all is well; 1: neither result is there; 2: value and directory differ; 3: the new one is
// lost.
int look(const fs::path& directory, bool done) {
  generation = 3;
  const Cache cache(directory, silent());
  auto output = Output::make();
  const long value = output.run_graph().value;
  long in_file = 0;
  std::ifstream(output.task_directory() / "file") >> in_file;
  if (value == 3) return 1;
  if (value != in_file) return 2;
  return done && value != 2 ? 3 : 0;
}

const char* text_of(int status) {
  switch (status) {
    case 1: return "neither result is there";
    case 2: return "value and directory are of two results";
    case 3: return "the new result is lost";
    default: return "it cannot be looked at";
  }
}

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
        trace([&] { return rebuild(cache, steps); },
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
    const Ending looked = run_child([&] { return look(cache, steps.count() > 0); });
    if (looked.exited && looked.status == 0) continue;
    line.violation("killed " + where + ", stop " + std::to_string(n) + ": " +
                   (looked.exited ? text_of(looked.status) : "looking at it crashes or hangs"));
  }
}

int run(Line& line) {
  if (const std::string why = why_no_tracing(); !why.empty()) line.skip(why);
  const fs::path good = line.directory() / "good";
  if (const Ending built = run_child([&] { return build(good); }); built.status != 0) {
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
