#include "runtime/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>
#include <system_error>

#include "src/os.h"

namespace stook::detail {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int look_ms = 50;
constexpr auto grace = std::chrono::milliseconds(500);

[[noreturn]] void fail(int error, const std::string& doing) {
  throw std::system_error(error, std::generic_category(), doing);
}

void check(int error, const char* doing) {
  if (error != 0) fail(error, doing);
}

class SpawnSettings {
 public:
  SpawnSettings(int output, const std::string& directory) {
    check(posix_spawn_file_actions_init(&actions_), "posix_spawn_file_actions_init");
    check(posix_spawnattr_init(&attributes_), "posix_spawnattr_init");
    if (!directory.empty()) {
      check(posix_spawn_file_actions_addchdir_np(&actions_, directory.c_str()), "addchdir");
    }
    check(posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0), "addopen");
    check(posix_spawn_file_actions_adddup2(&actions_, output, 1), "adddup2");
    check(posix_spawn_file_actions_adddup2(&actions_, output, 2), "adddup2");
    check(posix_spawn_file_actions_addclosefrom_np(&actions_, 3), "addclosefrom");
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    check(posix_spawnattr_setsigmask(&attributes_, &none), "setsigmask");
    check(posix_spawnattr_setsigdefault(&attributes_, &all), "setsigdefault");
    check(posix_spawnattr_setpgroup(&attributes_, 0), "setpgroup");
    check(posix_spawnattr_setflags(
              &attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF),
          "setflags");
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  pid_t spawn(const std::vector<std::string>& argv, char** environment) const {
    std::vector<char*> words;
    for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    pid_t pid = -1;
    const int error =
        posix_spawnp(&pid, words[0], &actions_, &attributes_, words.data(), environment);
    if (error != 0) fail(error, "cannot start '" + argv[0] + "'");
    return pid;
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// The process's environment with some variables replaced; that itself where there are none.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& replaced) {
    if (replaced.empty()) return;
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string_view text(*variable);
      const std::string name(text.substr(0, text.find('=')));
      if (!replaced.contains(name)) words_.push_back(*variable);
    }
    texts_.reserve(replaced.size());
    for (const auto& [name, value] : replaced) {
      words_.push_back(texts_.emplace_back(name + "=" + value).data());
    }
    words_.push_back(nullptr);
  }
  [[nodiscard]] char** get() { return words_.empty() ? environ : words_.data(); }

 private:
  std::vector<std::string> texts_;
  std::vector<char*> words_;
};

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
    kill(-pid_, SIGKILL);
    while (open_ && read_some(end)) {}
    while (waitpid(pid_, &end.wait_status, 0) < 0 && errno == EINTR) {}
    return end;
  }

 private:
  [[nodiscard]] bool has_ended() const {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid_;
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
  if (pipe2(ends, O_CLOEXEC) != 0) fail(errno, "cannot make a pipe");
  Fd output(ends[0]);
  pid_t pid = -1;
  {
    const Fd input(ends[1]);
    // Only this side: that of the program must stay blocking.
    if (fcntl(output.get(), F_SETFL, O_NONBLOCK) != 0) fail(errno, "cannot set up a pipe");
    Environment environment(request.environment);
    pid = SpawnSettings(input.get(), request.directory).spawn(request.argv, environment.get());
  }
  return Child(pid, std::move(output)).wait(stop);
}

std::string wait_status_text(int wait_status) {
  if (WIFEXITED(wait_status)) {
    return "exited with status " + std::to_string(WEXITSTATUS(wait_status));
  }
  if (!WIFSIGNALED(wait_status)) return "ended with wait status " + std::to_string(wait_status);
  const int signal = WTERMSIG(wait_status);
  const char* name = sigabbrev_np(signal);
  const char* text = sigdescr_np(signal);
  std::string out = "was killed by ";
  out += name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(signal);
  return text != nullptr ? out + " (" + text + ")" : out;
}

}  // namespace stook::detail
