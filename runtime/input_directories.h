// input_directories.h - the directories of a task's inputs while it is executed: those the plan
// took for answers, whole, and nobody makes them anew.
// Unaware of how a task is executed. Design: runtime/README.md, "Directories"
#pragma once

#include "runtime/scheduler.h"
#include "src/plan.h"
#include "src/store.h"

namespace stook::detail {

// Claims a task's key, and the directories of its inputs until the claim ends. False: `completion`
// says who has it, or has done it, or has made another one of an input. Throws CacheError.
[[nodiscard]] bool claim_task(Store& store, Plan& plan, Node& node, Completion& completion);

}  // namespace stook::detail
