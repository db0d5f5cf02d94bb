// worker.h - a process of this program that executes tasks for another one, the driver.
// Design: runtime/executors/README.md
#pragma once

namespace stook::detail {

// PROGRAM --stook-worker STEM: serves the socket at descriptor 3 until it ends; what tasks print
// goes to STEM.stdout and STEM.stderr meanwhile.
inline constexpr const char* worker_flag = "--stook-worker";
// PROGRAM --stook-job FILE: executes the one job in FILE.
inline constexpr const char* job_flag = "--stook-job";

// PROGRAM --stook-pilot DIRECTORY: as a worker, for the driver that is to be found by what is
// there: the files `in` and `out`, or an address and a token.
inline constexpr const char* pilot_flag = "--stook-pilot";

// PROGRAM --stook-array STEM: as --stook-job, the file being STEM-INDEX.job of the array's element.
inline constexpr const char* array_flag = "--stook-array";

inline constexpr int worker_socket = 3;
inline constexpr int worker_mark = 4;  // shared memory: the number of the job that has begun

// Where the command line says that this process is a worker it becomes one and never returns.
// Else notes that this program can be one.
void become_worker(int argc, char** argv);
// Was become_worker() called?
[[nodiscard]] bool can_be_worker();

}  // namespace stook::detail
