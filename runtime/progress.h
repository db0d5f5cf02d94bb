// progress.h - shows a run on stderr: on a terminal one line for each busy class of tasks, else a
// plain line now and then. Unaware of how the run works: it is an observer.
// Design: runtime/README.md
#pragma once

#include <memory>

#include "runtime/observer.h"

namespace stook::detail {

// An observer that shows nothing for Progress::none.
[[nodiscard]] std::unique_ptr<RunObserver> make_progress(Progress how);

}  // namespace stook::detail
