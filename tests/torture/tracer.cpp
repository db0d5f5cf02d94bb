#include "tests/torture/tracer.h"

#include <poll.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <stdexcept>
#include <system_error>

namespace stook::torture {
namespace {

constexpr int kCallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD

long control(int request, pid_t thread, std::uintptr_t address, void* data) {
  return ptrace(static_cast<__ptrace_request>(request), thread, address, data);
}

long control(int request, pid_t thread, std::uintptr_t data = 0) {
  return control(request, thread, 0, reinterpret_cast<void*>(data));
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

pid_t fork_child() {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid < 0) fail("fork");
  return pid;
}

[[noreturn]] void be_child(const std::function<int()>& body, unsigned seconds) {
  signal(SIGALRM, SIG_DFL);
  alarm(seconds);
  int status = 125;
  try {
    status = body();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "torture: a child threw: %s\n", error.what());
  }
  std::fflush(nullptr);
  _exit(status);
}

Ending ending_of(int status) {
  Ending ending;
  ending.exited = WIFEXITED(status);
  if (ending.exited) ending.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
  return ending;
}

// The process that a thread belongs to.
pid_t process_of(pid_t thread) {
  std::ifstream status("/proc/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("Tgid:")) return static_cast<pid_t>(std::stol(line.substr(5)));
  }
  return thread;
}

// One traced process, its threads, and what it has started where that is followed.
class Trace {
 public:
  Trace(pid_t pid, const std::function<Order(const Call&)>& decide, Follow follow)
      : pid_(pid), decide_(decide), follow_(follow) {}
  Ending run();

 private:
  struct Thread {
    Call call;
    int error = 0;  // to be given at the exit
    bool begun = false;
  };
  Thread& thread_of(pid_t id);
  void kill_the_rest();
  void stopped(pid_t thread, int status);
  void at_call(pid_t id, Thread& thread);
  void obey(pid_t id, Thread& thread, const Order& order);
  void resume(pid_t thread, int signal = 0) {
    control(PTRACE_SYSCALL, thread, static_cast<std::uintptr_t>(signal));
  }

  const pid_t pid_;
  const std::function<Order(const Call&)>& decide_;
  const Follow follow_;
  std::map<pid_t, Thread> threads_;
  bool killed_ = false;
};

Ending Trace::run() {
  int status = 0;
  if (waitpid(pid_, &status, __WALL) != pid_) fail("waitpid");
  if (!WIFSTOPPED(status)) throw std::runtime_error("the child cannot be traced");
  std::uintptr_t options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
  if (follow_ == Follow::processes) {
    options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;
  }
  control(PTRACE_SETOPTIONS, pid_, options);
  threads_[pid_].begun = true;
  resume(pid_);
  Ending ending;
  for (;;) {
    const pid_t thread = waitpid(-1, &status, __WALL);
    if (thread < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (WIFSTOPPED(status)) {
      stopped(thread, status);
      continue;
    }
    if (thread == pid_) {  // all others have gone
      ending = ending_of(status);
      break;
    }
    threads_.erase(thread);
  }
  kill_the_rest();
  ending.killed = killed_;
  return ending;
}

// Who has ended is waited for by whoever started it, or by nobody.
void Trace::kill_the_rest() {
  threads_.erase(pid_);
  for (const auto& [id, thread] : threads_) kill(id, SIGKILL);
  for (const auto& [id, thread] : threads_) {
    int status = 0;
    while (waitpid(id, &status, __WALL) == id && WIFSTOPPED(status)) {}
  }
}

Trace::Thread& Trace::thread_of(pid_t id) {
  const auto found = threads_.find(id);
  if (found != threads_.end()) return found->second;
  Thread& thread = threads_[id];
  if (follow_ == Follow::processes) thread.call.of_child = process_of(id) != pid_;
  return thread;
}

void Trace::stopped(pid_t id, int status) {
  Thread& thread = thread_of(id);
  const int signal = WSTOPSIG(status);
  if (signal == kCallStop) {
    at_call(id, thread);
  } else if (status >> 16 != 0) {
    resume(id);  // it has started a thread or a process, or another program
  } else if (signal == SIGSTOP && !thread.begun) {
    resume(id);  // it is one
  } else {
    resume(id, signal);
  }
  thread.begun = true;
}

void Trace::at_call(pid_t id, Thread& thread) {
  struct __ptrace_syscall_info info = {};
  if (control(PTRACE_GET_SYSCALL_INFO, id, sizeof info, &info) <= 0) return resume(id);
  thread.call.thread = id;
  thread.call.entering = info.op == PTRACE_SYSCALL_INFO_ENTRY;
  if (thread.call.entering) {
    thread.call.number = static_cast<long>(info.entry.nr);
    for (std::size_t i = 0; i < 6; ++i) thread.call.arguments[i] = info.entry.args[i];
    thread.call.result = 0;
    thread.error = 0;
  } else {
    if (thread.error != 0) {
      user_regs_struct registers = {};
      control(PTRACE_GETREGS, id, 0, &registers);
      registers.rax = static_cast<unsigned long long>(-thread.error);
      control(PTRACE_SETREGS, id, 0, &registers);
    }
    thread.call.result = thread.error != 0 ? -thread.error : static_cast<long>(info.exit.rval);
  }
  obey(id, thread, decide_(thread.call));
}

void Trace::obey(pid_t id, Thread& thread, const Order& order) {
  if (order.verdict == Verdict::kill) {
    const pid_t process = thread.call.of_child ? process_of(id) : pid_;
    killed_ = killed_ || process == pid_;
    kill(process, SIGKILL);
    return;
  }
  if (thread.call.entering && order.verdict != Verdict::go) {
    user_regs_struct registers = {};
    control(PTRACE_GETREGS, id, 0, &registers);
    if (order.verdict == Verdict::fail) {
      registers.orig_rax = ~0ull;
      thread.error = order.error;
    } else {
      registers.rdx = (registers.rdx + 1) / 2;
    }
    control(PTRACE_SETREGS, id, 0, &registers);
  }
  resume(id);
}

}  // namespace

std::string why_no_tracing() {
#if !defined(__x86_64__)
  return "the tracer knows x86-64 only";
#else
  bool seen = false;
  try {
    const Ending ending = trace([] { return static_cast<int>(syscall(SYS_getppid) < 0); },
                                [&](const Call& call) {
                                  seen = seen || call.number == SYS_getppid;
                                  return Order{};
                                });
    if (ending.exited && ending.status == 0 && seen) return {};
  } catch (const std::exception& error) { return error.what(); }
  return "ptrace shows no system calls here";
#endif
}

Ending trace(const std::function<int()>& body, const std::function<Order(const Call&)>& decide,
             Follow follow, unsigned seconds) {
  const pid_t pid = fork_child();
  if (pid == 0) {
    if (control(PTRACE_TRACEME, 0) != 0) _exit(126);
    raise(SIGSTOP);
    be_child(body, seconds);
  }
  return Trace(pid, decide, follow).run();
}

pid_t start_child(const std::function<int()>& body, unsigned seconds) {
  const pid_t pid = fork_child();
  if (pid == 0) be_child(body, seconds);
  return pid;
}

bool ends_within(pid_t child, int milliseconds) {
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  if (handle < 0) return true;
  pollfd ended{handle, POLLIN, 0};
  const bool seen = poll(&ended, 1, milliseconds) == 1;
  close(handle);
  return seen;
}

Ending run_child(const std::function<int()>& body, unsigned seconds) {
  const pid_t pid = start_child(body, seconds);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  return ending_of(status);
}

std::string read_memory(pid_t thread, std::uint64_t address, std::size_t size) {
  std::string bytes(size, '\0');
  const iovec here{bytes.data(), size};
  const iovec there{reinterpret_cast<void*>(address), size};
  const ssize_t n = process_vm_readv(thread, &here, 1, &there, 1, 0);
  bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return bytes;
}

std::string read_path(pid_t thread, std::uint64_t address) {
  std::string path;
  while (path.size() < PATH_MAX) {  // up to the end of a page at a time
    const std::size_t left = 4096 - (address + path.size()) % 4096;
    const std::string part = read_memory(thread, address + path.size(), left);
    const std::size_t end = part.find('\0');
    path += part.substr(0, end);
    if (part.empty() || end != std::string::npos) break;
  }
  return path;
}

bool leaves_something(const Call& call) {
  switch (call.number) {
    case SYS_open:
    case SYS_openat:
    case SYS_write:
    case SYS_pwrite64:
    case SYS_pwritev:
    case SYS_ftruncate:
    case SYS_fallocate:
    case SYS_rename:
    case SYS_renameat2:
    case SYS_unlink:
    case SYS_unlinkat:
    case SYS_mkdir:
    case SYS_rmdir: return true;
    default: return false;
  }
}

std::string call_name(long number) {
  static const std::map<long, const char*> names = {{SYS_read, "read"},
                                                    {SYS_write, "write"},
                                                    {SYS_open, "open"},
                                                    {SYS_close, "close"},
                                                    {SYS_stat, "stat"},
                                                    {SYS_fstat, "fstat"},
                                                    {SYS_lstat, "lstat"},
                                                    {SYS_mmap, "mmap"},
                                                    {SYS_munmap, "munmap"},
                                                    {SYS_pread64, "pread"},
                                                    {SYS_pwrite64, "pwrite"},
                                                    {SYS_access, "access"},
                                                    {SYS_fcntl, "fcntl"},
                                                    {SYS_fsync, "fsync"},
                                                    {SYS_fdatasync, "fdatasync"},
                                                    {SYS_syncfs, "syncfs"},
                                                    {SYS_ftruncate, "ftruncate"},
                                                    {SYS_fallocate, "fallocate"},
                                                    {SYS_rename, "rename"},
                                                    {SYS_renameat, "renameat"},
                                                    {SYS_renameat2, "renameat2"},
                                                    {SYS_mkdir, "mkdir"},
                                                    {SYS_rmdir, "rmdir"},
                                                    {SYS_unlink, "unlink"},
                                                    {SYS_unlinkat, "unlinkat"},
                                                    {SYS_openat, "openat"},
                                                    {SYS_newfstatat, "fstatat"},
                                                    {SYS_statx, "statx"},
                                                    {SYS_getdents64, "getdents"},
                                                    {SYS_statfs, "statfs"},
                                                    {SYS_chmod, "chmod"},
                                                    {SYS_futex, "futex"},
                                                    {SYS_clone3, "clone3"},
                                                    {SYS_lseek, "lseek"},
                                                    {SYS_vfork, "vfork"},
                                                    {SYS_execve, "execve"},
                                                    {SYS_pidfd_open, "pidfd_open"},
                                                    {SYS_pipe2, "pipe2"},
                                                    {SYS_socketpair, "socketpair"},
                                                    {SYS_poll, "poll"},
                                                    {SYS_sendto, "sendto"},
                                                    {SYS_sendmsg, "sendmsg"},
                                                    {SYS_recvfrom, "recvfrom"},
                                                    {SYS_recvmsg, "recvmsg"},
                                                    {SYS_epoll_wait, "epoll_wait"},
                                                    {SYS_epoll_ctl, "epoll_ctl"},
                                                    {SYS_epoll_create1, "epoll_create1"},
                                                    {SYS_eventfd2, "eventfd2"},
                                                    {SYS_timerfd_create, "timerfd_create"},
                                                    {SYS_memfd_create, "memfd_create"},
                                                    {SYS_link, "link"},
                                                    {SYS_linkat, "linkat"},
                                                    {SYS_utimensat, "utimensat"}};
  const auto found = names.find(number);
  return found != names.end() ? found->second : "call " + std::to_string(number);
}

}  // namespace stook::torture
