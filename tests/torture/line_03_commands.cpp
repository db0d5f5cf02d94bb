// Line 3, of commands: each system call of the driver that can fail does, once, in each way it can.
// What the run says is right or one clear error, and so are the files; so is the next run, and one
// after all has been changed back.
#include "tests/torture/commands_run.h"

int main(int argc, char** argv) {
  using namespace stook::torture;
  Line line(argc, argv);
  WholeRun whole = commands_run();
  whole.quick_step = 97;  // no multiple of the ways in which one call fails
  return line.finish("runs in which a system call fails" +
                     harm_whole_runs(line, whole, Harm::fails, commands_scenarios()));
}
