// Line 3, of tasks in worker processes: each system call of a worker, or of the driver while it has
// workers, fails once in each way it can.
#include <stook/init.hpp>

#include "tests/torture/workers_run.h"

int main(int argc, char** argv) {
  using namespace stook::torture;
  stook::init(argc, argv);
  Line line(argc, argv);
  // The step is no multiple of the ways in which one call fails.
  return line.finish("runs in which a system call fails" + harm_workers(line, Harm::fails, 193));
}
