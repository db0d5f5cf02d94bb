// launcher.h - starts child processes and hears of their end. The seam between the executors and
// the system; the real one is Boost.Process v2.
// Unaware of tasks. A ProcessLauncher belongs to one io_context and the thread that runs it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace stook::detail {

struct LaunchSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH where it holds no '/'
  std::optional<std::vector<std::string>> environment;  // NAME=value; none: this process's
  std::filesystem::path directory;                      // empty: this process's
  int out = -1;                                         // becomes 1; -1: /dev/null
  int err = -1;                                         // becomes 2; -1: /dev/null
  std::vector<std::pair<int, int>> descriptors;         // of this process -> of the child, 3 and up
};

// How a process ended.
struct Exit {
  int code = 0;    // its exit status, where it was not killed
  int signal = 0;  // what killed it; 0: nothing did
};

[[nodiscard]] Exit exit_of(int wait_status);
// "exit status 3", "signal 11 (SIGSEGV: Segmentation fault)".
[[nodiscard]] std::string describe_exit(const Exit& exit);

// Starts a process in a process group of its own, whose number is its own; it gets SIGTERM when
// the thread that started it ends. Who reaps it says so to forget_started() before.
// Throws ExecutorError where it cannot be started. Thread-safe.
[[nodiscard]] pid_t start_process(const LaunchSpec& spec);
void forget_started(pid_t pid) noexcept;

class ProcessLauncher {
 public:
  virtual ~ProcessLauncher() = default;
  // As start_process(). `on_exit` is called on the io_context's thread, once.
  virtual pid_t start(const LaunchSpec& spec, std::function<void(Exit)> on_exit) = 0;
};

[[nodiscard]] std::unique_ptr<ProcessLauncher> make_launcher(boost::asio::io_context& context);

// Raises this process's limit of open files as far as it may; its children get the old one.
void allow_many_files();

// Kills every process that was started and has not ended, and all in its group: the last thing a
// process does that is ended by a signal.
void kill_all_started() noexcept;

// Sends a signal to a process and all it has started in its group.
void signal_group(pid_t pid, int signal) noexcept;

// This process's environment without what is not in `allowed`; all of it where that is empty.
[[nodiscard]] std::optional<std::vector<std::string>> allowed_environment(
    const std::vector<std::string>& allowed);
// This process's environment with some variables replaced or added.
[[nodiscard]] std::optional<std::vector<std::string>> environment_with(
    const std::map<std::string, std::string>& replaced);

// The path of this program, as a child can start it.
[[nodiscard]] std::string own_program();

}  // namespace stook::detail
