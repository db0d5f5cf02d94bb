// workers_run.h - a program whose tasks are executed by a worker process: a result that is an
// object, a directory, an input that is found. Its main() begins with stook::init().
#pragma once

#include "tests/torture/whole_run.h"

namespace stook::torture {

[[nodiscard]] WholeRun workers_run(bool in_workers);
[[nodiscard]] std::vector<Scenario> workers_scenarios(bool in_workers);

}  // namespace stook::torture
