// outside.h - tasks on their way to other processes and back: claims, jobs, results, publications.
// Owns a thread on which all of that happens; tasks hold none while they wait.
// Unaware of the order of tasks. submit() may be called from any thread.
// Design: runtime/executors/README.md
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "runtime/execution.h"
#include "runtime/executors/prefixes.h"

#include <stook/options.hpp>

namespace stook::detail {

struct OutsideOptions {
  const RunOptions* run = nullptr;
  const std::map<std::string, Prefix>* prefixes = nullptr;
  int workers = 1;
  int compress_level = 3;
  std::uint64_t run_number = 0;
};

class Outside {
 public:
  // `report`: what has become of tasks, how many batches came to their end with that, and how many
  // of the tasks were behind a prefix. Called on Outside's thread.
  using Report = std::function<void(std::vector<Completion>&&, int batches, int prefixed)>;
  Outside(Store& store, Plan& plan, Execution& execution, const OutsideOptions& options,
          Report report);
  // Ends the processes; nothing is reported any more.
  ~Outside();
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

  // Tasks for one worker, one after the other. `brief`: they may wait there behind others.
  void submit(std::vector<NodeIndex> batch, bool brief);
  // Tasks of classes that have a prefix command: a process for each.
  void submit_prefixed(std::vector<NodeIndex> tasks);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stook::detail
