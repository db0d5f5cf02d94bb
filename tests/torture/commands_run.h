// commands_run.h - a program whose tasks are commands (a depfile, outputs kept, outputs made in
// place), with inputs that are directories or are found while a task runs.
#pragma once

#include "tests/torture/whole_run.h"

namespace stook::torture {

[[nodiscard]] WholeRun commands_run();
[[nodiscard]] std::vector<Scenario> commands_scenarios();

}  // namespace stook::torture
