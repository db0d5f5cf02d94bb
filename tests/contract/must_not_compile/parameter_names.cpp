// expect: stook: task_parameters needs one name for each argument of the task
#include <stook/stook.hpp>
struct Bad : stook::Task<Bad, int(int, int)> {
  static constexpr std::array task_parameters{"n"};
  Bad(int, int) {}
  int run_task() { return 1; }
};
void use() { (void)Bad::make(1, 2); }
