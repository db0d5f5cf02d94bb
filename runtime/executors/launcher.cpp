// The only file that knows Boost.Process. Boost 1.81's vfork launcher tells the execution context,
// in the child, that it was forked: the reactor then makes itself a new epoll descriptor, in memory
// that the child shares with the parent and in a descriptor table that it does not. So the launcher
// here is our own, on Boost's parts. A plain fork of a large process takes long.
#define BOOST_PROCESS_V2_SEPARATE_COMPILATION
#include "runtime/executors/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/process/v2.hpp>
#include <boost/process/v2/posix/default_launcher.hpp>
#include <boost/process/v2/src.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
namespace bp = boost::process::v2;

// Runs in the child between vfork and exec: no allocation, no locks. The child shares the parent's
// memory until then, so the error it leaves in `error` is seen.
struct ChildSetup {
  const LaunchSpec& spec;
  const char* directory;  // null: stay
  int null;               // /dev/null
  char* const* environment;
  int highest;  // above every descriptor that is wanted
  int error = 0;

  bool prepare() {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    if (::setpgid(0, 0) != 0) return false;
    if (::prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return false;
    // First out of the way, then to their places, so that none overwrites another.
    int moved[8];
    std::size_t count = 0;
    for (const auto& [from, to] : spec.descriptors) {
      if (count == std::size(moved)) break;
      moved[count++] = ::fcntl(from, F_DUPFD, highest);
    }
    if (::dup2(null, 0) < 0) return false;
    if (::dup2(spec.out >= 0 ? spec.out : null, 1) < 0) return false;
    if (::dup2(spec.err >= 0 ? spec.err : null, 2) < 0) return false;
    for (std::size_t i = 0; i < count; ++i) {
      if (::dup2(moved[i], spec.descriptors[i].second) < 0) return false;
    }
    return directory == nullptr || ::chdir(directory) == 0;
  }
};

// As bp::posix::vfork_launcher, but for what is said at the head of this file.
struct VforkLauncher : bp::posix::default_launcher {
  pid_t start(const std::string& program, const std::vector<std::string>& arguments,
              ChildSetup& setup) {
    const auto argv = build_argv_(program, arguments);
    if (setup.environment != nullptr) env = setup.environment;
    for (const auto& [from, to] : setup.spec.descriptors) fd_whitelist.push_back(to);
    std::sort(fd_whitelist.begin(), fd_whitelist.end());
    const pid_t child = ::vfork();
    if (child < 0) setup.error = errno;
    if (child != 0) return child;
    bp::error_code error;
    if (setup.prepare()) {
      close_all_fds(error);
      ::execve(program.c_str(), const_cast<char* const*>(argv), const_cast<char* const*>(env));
    }
    setup.error = errno;
    ::_exit(127);  // not exit(): the handlers of the parent are not the child's
  }
};

std::string find_program(const std::string& name) {
  if (name.empty()) throw ExecutorError("start a process: its command is empty");
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  std::string_view left = path != nullptr ? path : "/usr/bin:/bin";
  for (;;) {
    const auto colon = left.find(':');
    std::string candidate(left.substr(0, colon));
    candidate = (candidate.empty() ? "." : candidate) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    if (colon == std::string_view::npos) break;
    left = left.substr(colon + 1);
  }
  throw ExecutorError("start '" + name + "': there is no such program in PATH");
}

Exit exit_of(int status) {
  if (WIFSIGNALED(status)) return {0, WTERMSIG(status)};
  return {WEXITSTATUS(status), 0};
}

class BoostLauncher final : public ProcessLauncher {
 public:
  explicit BoostLauncher(asio::io_context& context)
      : context_(context), null_(::open("/dev/null", O_RDWR | O_CLOEXEC)) {}
  ~BoostLauncher() override { ::close(null_); }

  pid_t start(const LaunchSpec& spec, std::function<void(Exit)> on_exit) override {
    std::vector<char*> environment;
    if (spec.environment) {
      for (const std::string& entry : *spec.environment) {
        environment.push_back(const_cast<char*>(entry.c_str()));
      }
      environment.push_back(nullptr);
    }
    const std::string program = find_program(spec.argv.front());
    const std::string directory = spec.directory.string();
    int highest = 3;
    for (const auto& [from, to] : spec.descriptors) highest = std::max({highest, from, to});
    ChildSetup setup{spec, directory.empty() ? nullptr : directory.c_str(), null_,
                     spec.environment ? environment.data() : nullptr, highest + 1};
    const std::vector<std::string> arguments(spec.argv.begin() + 1, spec.argv.end());
    const pid_t pid = VforkLauncher().start(program, arguments, setup);
    if (setup.error != 0) {
      if (pid > 0) ::waitpid(pid, nullptr, 0);
      throw ExecutorError("start '" + program + "': " + std::strerror(setup.error) +
                          advice(setup.error));
    }
    auto watched = std::make_shared<bp::process>(context_.get_executor(), pid);
    watched->async_wait([watched, on_exit = std::move(on_exit)](bp::error_code, int) {
      on_exit(exit_of(watched->native_exit_code()));
    });
    return pid;
  }

 private:
  static const char* advice(int error) {
    switch (error) {
      case EMFILE:
      case ENFILE: return "; raise the limit of open files (ulimit -n)";
      case EAGAIN: return "; raise the limit of processes (ulimit -u)";
      default: return "";
    }
  }

  asio::io_context& context_;
  const int null_;
};

}  // namespace

std::unique_ptr<ProcessLauncher> make_launcher(asio::io_context& context) {
  return std::make_unique<BoostLauncher>(context);
}

std::string describe_exit(const Exit& exit) {
  if (exit.signal == 0) return "exit status " + std::to_string(exit.code);
  return "signal " + std::to_string(exit.signal) + " (" + ::strsignal(exit.signal) + ")";
}

void signal_group(pid_t pid, int signal) noexcept {
  if (pid > 1) ::kill(-pid, signal);
}

std::optional<std::vector<std::string>> allowed_environment(
    const std::vector<std::string>& allowed) {
  if (allowed.empty()) return std::nullopt;
  std::vector<std::string> environment;
  for (const std::string& name : allowed) {
    if (const char* value = std::getenv(name.c_str())) environment.push_back(name + "=" + value);
  }
  return environment;
}

std::string own_program() {
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  if (length <= 0 || length == sizeof path) {
    throw ExecutorError("cannot find this program's own file (/proc/self/exe)");
  }
  return std::string(path, static_cast<std::size_t>(length));
}

}  // namespace stook::detail
