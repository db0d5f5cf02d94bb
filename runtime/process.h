// process.h - runs one program to its end: no shell, a process group of its own, its output kept
// from the end, killed with all it started when somebody wants to stop.
// Unaware of tasks. Thread-safe: each call waits in its own thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "runtime/executors/launcher.h"

namespace stook::detail {

struct ProcessRequest {
  std::vector<std::string> argv;                   // argv[0] is looked up in PATH as execvp does
  std::map<std::string, std::string> environment;  // added to that of this process
  std::string directory;                           // empty: that of this process
};

struct ProcessEnd {
  Exit exit;
  std::string output;    // the end of its stdout and stderr, in the order of writing
  bool cut = false;      // `output` does not begin at the beginning
  bool stopped = false;  // killed, because stop() said so
};

// The most that is kept of a program's output, in bytes.
constexpr std::size_t most_output_bytes = 64 << 10;

// stdin is /dev/null; other descriptors of this process are closed. What the program leaves running
// in its group when it ends is killed. `stop` is asked every 50 ms; when it says yes the group gets
// SIGTERM, and SIGKILL half a second later. Throws ExecutorError where it cannot be started.
[[nodiscard]] ProcessEnd run_process(const ProcessRequest& request,
                                     const std::function<bool()>& stop);

}  // namespace stook::detail
