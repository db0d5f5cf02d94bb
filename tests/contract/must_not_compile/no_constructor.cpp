// expect: stook: the task needs a constructor that takes the arguments of its signature
#include <stook/stook.hpp>
struct Bad : stook::Task<Bad, int(int)> {
  int run_task() { return 1; }
};
void use() { (void)Bad::make(1); }
