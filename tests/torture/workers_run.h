// workers_run.h - a program whose tasks are executed by a worker process: a result that is an
// object, a directory, an input that is found. Its main() begins with stook::init().
#pragma once

#include "tests/torture/whole_run.h"

namespace stook::torture {

struct Workers {
  const char* name;
  bool by_files;
  bool harmed;  // they themselves, not their driver
};
inline constexpr Workers kWorkers[] = {{"worker", false, true},
                                       {"driver of workers", false, false},
                                       {"behind a prefix", true, true},
                                       {"driver with a prefix", true, false}};

[[nodiscard]] WholeRun workers_run(const Workers& workers);
[[nodiscard]] std::vector<Scenario> workers_scenarios(const Workers& workers);

}  // namespace stook::torture
