// Line 2, of tasks in worker processes: SIGKILL of a worker, or of its driver, before each of its
// system calls.
#include <stook/init.hpp>

#include "tests/torture/workers_run.h"

int main(int argc, char** argv) {
  using namespace stook::torture;
  stook::init(argc, argv);
  Line line(argc, argv);
  std::string figure = "runs in which one is killed";
  for (const Workers& workers : kWorkers) {
    WholeRun whole = workers_run(workers);
    whole.quick_step = 97;
    figure += harm_whole_runs(line, whole, Harm::killed, workers_scenarios(workers));
  }
  return line.finish(figure);
}
