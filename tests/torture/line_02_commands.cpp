// Line 2, of commands: SIGKILL of the driver before each of its system calls. The next run says
// what is right and leaves the right files, executes nothing again that was there, and so does one
// after all has been changed back.
#include "tests/torture/commands_run.h"

int main(int argc, char** argv) {
  using namespace stook::torture;
  Line line(argc, argv);
  WholeRun whole = commands_run();
  whole.quick_step = 53;
  return line.finish("drivers killed" +
                     harm_whole_runs(line, whole, Harm::killed, commands_scenarios()));
}
