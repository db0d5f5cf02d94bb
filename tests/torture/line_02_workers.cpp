// Line 2, of tasks in worker processes: SIGKILL of a worker, or of its driver, before each of its
// system calls.
#include <stook/init.hpp>

#include "tests/torture/workers_run.h"

int main(int argc, char** argv) {
  using namespace stook::torture;
  stook::init(argc, argv);
  Line line(argc, argv);
  return line.finish("runs in which one is killed" + harm_workers(line, Harm::killed, 97));
}
