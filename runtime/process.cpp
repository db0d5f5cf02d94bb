#include "runtime/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int look_ms = 50;
constexpr auto grace = std::chrono::milliseconds(500);
constexpr const char* taken =
    "how a program ended is not known: something in this process has waited for all its children "
    "(wait(), or SIGCHLD that is ignored)";

// A started program, until it is reaped.
class Child {
 public:
  Child(pid_t pid, Fd output) : pid_(pid), output_(std::move(output)) {
#ifdef SYS_pidfd_open
    ended_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
#endif
  }

  ProcessEnd wait(const std::function<bool()>& stop) {
    ProcessEnd end;
    while (!has_ended()) {
      if (!end.stopped && stop && stop()) {
        end.stopped = true;
        stopped_at_ = Clock::now();
        kill(-pid_, SIGTERM);
      } else if (end.stopped && Clock::now() - stopped_at_ > grace) {
        kill(-pid_, SIGKILL);
      }
      // Without a pidfd its end is seen at the next look, or by the end of its output.
      pollfd watched[] = {{open_ ? output_.get() : -1, POLLIN, 0}, {ended_.get(), POLLIN, 0}};
      const int timeout = ended_ || open_ ? look_ms : 1;
      if (poll(watched, 2, timeout) > 0 && watched[0].revents != 0) read_some(end);
    }
    // Not reaped yet, so that the number of the group is still its own.
    siginfo_t info{};
    const bool ours =
        waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
    if (ours) kill(-pid_, SIGKILL);
    while (open_ && read_some(end)) {}
    forget_started(pid_);
    if (!ours) throw ExecutorError(taken);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0) {
      if (errno != EINTR) throw ExecutorError(taken);
    }
    end.exit = exit_of(status);
    return end;
  }

 private:
  [[nodiscard]] bool has_ended() const {
    siginfo_t info{};
    const int got = waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
    return got == 0 ? info.si_pid == pid_ : errno == ECHILD;
  }

  // False where there is nothing to read now.
  bool read_some(ProcessEnd& end) {
    char buffer[16384];
    const ssize_t count = read(output_.get(), buffer, sizeof buffer);
    if (count < 0) return errno == EINTR;
    if (count == 0) {
      open_ = false;
      return false;
    }
    end.output.append(buffer, static_cast<std::size_t>(count));
    if (end.output.size() > 2 * most_output_bytes) cut(end);
    return true;
  }

  static void cut(ProcessEnd& end) {
    end.output.erase(0, end.output.size() - most_output_bytes);
    end.cut = true;
  }

  const pid_t pid_;
  const Fd output_;
  Fd ended_;
  bool open_ = true;
  Clock::time_point stopped_at_;
};

}  // namespace

ProcessEnd run_process(const ProcessRequest& request, const std::function<bool()>& stop) {
  int ends[2];
  // Only our side does not wait: that of the program must.
  if (::pipe2(ends, O_CLOEXEC) != 0 || ::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
    throw ExecutorError(std::string("cannot make a pipe: ") + std::strerror(errno));
  }
  Fd output(ends[0]);
  Fd input(ends[1]);
  LaunchSpec spec;
  spec.argv = request.argv;
  spec.environment = environment_with(request.environment);
  spec.directory = request.directory;
  spec.out = spec.err = input.get();
  const pid_t pid = start_process(spec);
  input = Fd();  // or its end would never be read
  return Child(pid, std::move(output)).wait(stop);
}

}  // namespace stook::detail
