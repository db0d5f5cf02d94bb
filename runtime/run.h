// run.h - a run from its roots to their values: checks, plans, executes, and does it again where a
// stored value turned out damaged on the way.
// Unaware of command lines and displays. Thread-safe: runs are independent of each other.
// Design: runtime/README.md
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "runtime/observer.h"
#include "src/plan.h"
#include "src/store.h"

namespace stook::detail {

struct RunRequest {
  std::vector<SpecPtr> roots;
  RunOptions options;
  bool force_roots = false;  // they run even where they are fresh
  int compress_level = 3;    // of classes that do not say
  RunObserver* observer = nullptr;
  const std::atomic<bool>* stop = nullptr;  // true: start nothing new
};

struct RunResult {
  std::vector<Value> values;  // one per root
  Stats stats;
  std::vector<Failure> failures;
  bool stopped = false;
};

// Throws InvalidArgument, ConstructionFailed, Cycle, ExecutorError before anything has run, and
// CacheError. Failures of tasks are in the result.
[[nodiscard]] RunResult run(Store& store, const RunRequest& request);

// What a run does first: external inputs that changed and classes of another version make suspect
// what was made from them. Gives what is there now of those on record.
struct OutsideWorld {
  SeenInputs seen;
  std::size_t entered = 0;  // that were others on record
};
// One that could not be read is not tried before permissions say it can be: nearly all of a
// directory would be read in vain. `seen` since: it can be.
OutsideWorld check_outside_world(Store& store, const SeenInputs* seen = nullptr);

// Throws InvalidArgument for options that cannot be; returns warnings.
[[nodiscard]] std::vector<std::string> check_options(const RunOptions& options);

// The text of TaskFailed for these failures.
[[nodiscard]] std::string failure_text(const std::vector<Failure>& failures);

// The value of a future asked for outside of any task, from the current cache.
[[nodiscard]] Value load_outside(const Spec& spec);

// A line to the user about something that did not stop the work.
void warn(std::string_view text);

}  // namespace stook::detail
