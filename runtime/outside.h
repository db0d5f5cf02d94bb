// outside.h - tasks on their way to other processes and back: claims, jobs, results, publications.
// Owns a thread on which all of that happens; tasks hold none while they wait.
// Unaware of the order of tasks. submit() may be called from any thread.
// Design: runtime/executors/README.md
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "runtime/execution.h"

#include <stook/options.hpp>

namespace stook::detail {

struct OutsideOptions {
  const RunOptions* run = nullptr;
  int workers = 1;
  int compress_level = 3;
  std::uint64_t run_number = 0;
};

class Outside {
 public:
  // `report`: what has become of tasks, and how many batches came to their end with that. Called
  // on Outside's thread.
  using Report = std::function<void(std::vector<Completion>&&, int batches)>;
  Outside(Store& store, Plan& plan, Execution& execution, const OutsideOptions& options,
          Report report);
  // Ends the processes; nothing is reported any more.
  ~Outside();
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

  // Tasks for one worker, one after the other. `brief`: they may wait there behind others.
  void submit(std::vector<NodeIndex> batch, bool brief);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stook::detail
