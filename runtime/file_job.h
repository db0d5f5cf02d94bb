// file_job.h - executes the one job in a file of the spool and leaves its result beside it: what a
// process behind a prefix command, or an element of a job array, does.
// Design: runtime/executors/README.md
#pragma once

#include <filesystem>

namespace stook::detail {

// Gives the exit status: 0 also where somebody else has begun the job already. SIGTERM asks the
// task to stop; the process ends with its group where the driver is gone or has given the job up.
int execute_file(const std::filesystem::path& job);

}  // namespace stook::detail
