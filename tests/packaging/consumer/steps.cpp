// In a static library, mentioned by nothing but its name in the program: it must be registered.
#include "steps.h"

long Twice::run_task() { return 2 * n_; }
