// The only file that knows Boost.Process. Boost 1.81's vfork launcher tells the execution context,
// in the child, that it was forked: the reactor then makes itself a new epoll descriptor, in memory
// that the child shares with the parent and in a descriptor table that it does not. So the launcher
// here is our own, on Boost's parts. A plain fork of a large process takes long.
#define BOOST_PROCESS_V2_SEPARATE_COMPILATION
#include "runtime/executors/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
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
#include <mutex>
#include <set>

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
namespace bp = boost::process::v2;

// The limit of open files as it was; zero: it was not raised.
rlimit files_limit{0, 0};

// The pids of what has been started and has not ended.
std::mutex started_mutex;
std::set<pid_t> started;

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
    if (files_limit.rlim_cur != 0) ::setrlimit(RLIMIT_NOFILE, &files_limit);
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
  throw ExecutorError("cannot start '" + name + "': there is no such program in PATH");
}

int null_device() {
  static const int device = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  return device;
}

const char* advice(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE: return "; raise the limit of open files (ulimit -n)";
    case EAGAIN: return "; raise the limit of processes (ulimit -u)";
    default: return "";
  }
}

class BoostLauncher final : public ProcessLauncher {
 public:
  explicit BoostLauncher(asio::io_context& context) : context_(context) {}

  pid_t start(const LaunchSpec& spec, std::function<void(Exit)> on_exit) override {
    const pid_t pid = start_process(spec);
    const auto watched = watch(pid, spec.argv.front());
    watched->async_wait([watched, pid, on_exit = std::move(on_exit)](bp::error_code, int) {
      forget_started(pid);
      on_exit(exit_of(watched->native_exit_code()));
    });
    return pid;
  }

 private:
  // Kills it where its end could not be seen.
  std::shared_ptr<bp::process> watch(pid_t pid, const std::string& name) {
    const int handle = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    int error = errno;
    if (handle >= 0) {
      try {
        return std::make_shared<bp::process>(context_.get_executor(), pid, handle);
      } catch (const boost::system::system_error& failed) { error = failed.code().value(); }
      ::close(handle);
    }
    signal_group(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    forget_started(pid);
    throw ExecutorError("cannot wait for '" + name + "', which was started and is killed again: " +
                        std::strerror(error) + advice(error));
  }

  asio::io_context& context_;
};

}  // namespace

std::unique_ptr<ProcessLauncher> make_launcher(asio::io_context& context) {
  return std::make_unique<BoostLauncher>(context);
}

// Whoever started us may have ignored SIGCHLD, and exec keeps that: how a child ended would then
// never be known.
void want_ends_of_children() {
  struct sigaction action {};
  ::sigaction(SIGCHLD, nullptr, &action);
  if (action.sa_handler == SIG_IGN) ::signal(SIGCHLD, SIG_DFL);
}

pid_t start_process(const LaunchSpec& spec) {
  want_ends_of_children();
  if (spec.argv.empty() || spec.argv.front().empty()) {
    throw ExecutorError("cannot start a process: its command is empty");
  }
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
  ChildSetup setup{spec, directory.empty() ? nullptr : directory.c_str(), null_device(),
                   spec.environment ? environment.data() : nullptr, highest + 1};
  const std::vector<std::string> arguments(spec.argv.begin() + 1, spec.argv.end());
  const pid_t pid = VforkLauncher().start(program, arguments, setup);
  if (setup.error != 0) {
    if (pid > 0) ::waitpid(pid, nullptr, 0);
    throw ExecutorError("cannot start '" + spec.argv.front() + "': " + std::strerror(setup.error) +
                        advice(setup.error));
  }
  const std::lock_guard lock(started_mutex);
  started.insert(pid);
  return pid;
}

void forget_started(pid_t pid) noexcept {
  const std::lock_guard lock(started_mutex);
  started.erase(pid);
}

Exit exit_of(int wait_status) {
  if (WIFSIGNALED(wait_status)) return {0, WTERMSIG(wait_status)};
  return {WEXITSTATUS(wait_status), 0};
}

std::string describe_exit(const Exit& exit) {
  if (exit.signal == 0) return "exit status " + std::to_string(exit.code);
  const char* const name = ::sigabbrev_np(exit.signal);
  const char* const text = ::sigdescr_np(exit.signal);
  std::string out = "signal " + std::to_string(exit.signal);
  if (name != nullptr && text != nullptr) out += std::string(" (SIG") + name + ": " + text + ")";
  return out;
}

void allow_many_files() {
  rlimit limit{};
  if (files_limit.rlim_cur != 0 || ::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  files_limit = limit;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void kill_all_started() noexcept {
  const std::unique_lock lock(started_mutex, std::try_to_lock);
  for (const pid_t pid : started) signal_group(pid, SIGKILL);
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

std::optional<std::vector<std::string>> environment_with(
    const std::map<std::string, std::string>& replaced) {
  if (replaced.empty()) return std::nullopt;
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    std::string entry(*variable);
    if (!replaced.contains(entry.substr(0, entry.find('=')))) {
      environment.push_back(std::move(entry));
    }
  }
  for (const auto& [name, value] : replaced) environment.push_back(name + "=" + value);
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
