// flow.h - the flow graph of a run: a serial node that keeps the books, a parallel one that
// executes. The only file pair that knows TBB.
// Design: runtime/README.md
#pragma once

#include "runtime/execution.h"
#include "runtime/outside.h"
#include "runtime/scheduler.h"

namespace stook::detail {

struct FlowOptions {
  int jobs = 1;           // tasks at once in threads
  std::uint64_t run = 0;  // number of the run, for the records
  bool outside = false;   // some classes are executed in other processes:
  OutsideOptions processes;
};

// Executes what the scheduler hands out until nothing is left to be done. Returns when all of it
// has come back.
void run_flow(Scheduler& scheduler, Execution& execution, Plan& plan, Store& store,
              const FlowOptions& options);

}  // namespace stook::detail
