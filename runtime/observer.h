// observer.h - the seam through which a run tells what it does. Called by one thread at a time.
// Unaware of who listens: the progress display, the run log, tests.
#pragma once

#include "src/plan.h"

#include <stook/errors.hpp>
#include <stook/options.hpp>

namespace stook::detail {

class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void run_started(const Plan& /*plan*/) {}
  virtual void task_started(const Plan& /*plan*/, NodeIndex /*node*/) {}
  // The node's state is final.
  virtual void task_finished(const Plan& /*plan*/, NodeIndex /*node*/, double /*seconds*/) {}
  // The node was suspect and has been proven fresh, or another run has made its result.
  virtual void task_unchanged(const Plan& /*plan*/, NodeIndex /*node*/) {}
  virtual void task_failed(const Plan& /*plan*/, NodeIndex /*node*/, const Failure&) {}
  // The node is not being executed by this run: another one is at it, or it waits again.
  virtual void task_elsewhere(const Plan& /*plan*/, NodeIndex /*node*/) {}
  virtual void run_finished(const Stats& /*stats*/) {}
};

}  // namespace stook::detail
