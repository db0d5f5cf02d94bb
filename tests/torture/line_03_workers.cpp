// Line 3, of tasks in worker processes: each system call of a worker, or of the driver while it has
// workers, fails once in each way it can.
#include <stook/init.hpp>

#include "tests/torture/workers_run.h"

int main(int argc, char** argv) {
  using namespace stook::torture;
  stook::init(argc, argv);
  Line line(argc, argv);
  std::string figure = "runs in which a system call fails";
  for (const Workers& workers : kWorkers) {
    WholeRun whole = workers_run(workers);
    whole.quick_step = 193;  // no multiple of the ways in which one call fails
    figure += harm_whole_runs(line, whole, Harm::fails, workers_scenarios(workers));
  }
  return line.finish(figure);
}
