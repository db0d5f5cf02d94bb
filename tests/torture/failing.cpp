#include "tests/torture/failing.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include <stook/errors.hpp>

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

constexpr int kHalf = -1;  // not an error: half of the bytes

// A lock can be refused, asking for one too, and waiting for one interrupted; letting go of one
// always succeeds.
std::vector<int> errors_of_lock(const Call& call) {
  const auto command = static_cast<int>(call.arguments[1]);
  if (command == F_GETLK || command == F_OFD_GETLK) return {ENOLCK};
  const bool waits = command == F_SETLKW || command == F_OFD_SETLKW;
  if (!waits && command != F_SETLK && command != F_OFD_SETLK) return {};
  const std::string lock = read_memory(call.thread, call.arguments[2], sizeof(short));
  short type = F_UNLCK;
  std::memcpy(&type, lock.data(), lock.size());
  if (type == F_UNLCK) return {};
  return waits ? std::vector<int>{ENOLCK, EINTR} : std::vector<int>{ENOLCK};
}

// How a call can fail.
std::vector<int> errors_of(const Call& call) {
  switch (call.number) {
    case SYS_open:
    case SYS_openat: return {ENOSPC, EIO, EDQUOT, EMFILE, EINTR};
    case SYS_write:
    case SYS_pwrite64: return {ENOSPC, EIO, EDQUOT, EINTR, kHalf};
    case SYS_read:
    case SYS_pread64: return {EIO, EINTR, kHalf};
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_syncfs:
    case SYS_ftruncate:
    case SYS_fallocate: return {ENOSPC, EIO, EDQUOT, EINTR};
    case SYS_rename:
    case SYS_renameat2:
    case SYS_unlink:
    case SYS_unlinkat:
    case SYS_mkdir:
    case SYS_rmdir: return {ENOSPC, EIO, EDQUOT};
    case SYS_stat:
    case SYS_fstat:
    case SYS_lstat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_access:
    case SYS_statfs:
    case SYS_chmod:
    case SYS_fchmodat:
    case SYS_utimensat:
    case SYS_getdents64: return {EIO};
    case SYS_link:
    case SYS_linkat: return {ENOSPC, EIO, EDQUOT};
    case SYS_sendto:
    case SYS_recvfrom: return {EINTR, kHalf};
    case SYS_sendmsg:
    case SYS_recvmsg:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_epoll_wait:
    case SYS_epoll_pwait: return {EINTR};
    case SYS_epoll_ctl: return {ENOSPC, ENOMEM};
    case SYS_pipe2:
    case SYS_socketpair:
    case SYS_epoll_create1:
    case SYS_eventfd2:
    case SYS_timerfd_create:
    case SYS_memfd_create: return {EMFILE};
    case SYS_pidfd_open: return {EMFILE, ENOSYS};
    case SYS_fork:
    case SYS_vfork: return {EAGAIN};
    case SYS_execve: return {ENOMEM};
    case SYS_fcntl: return errors_of_lock(call);
    case SYS_mmap: {
      const bool of_a_file = static_cast<int>(call.arguments[4]) >= 0;
      return of_a_file ? std::vector<int>{ENOMEM} : std::vector<int>{};
    }
    default: return {};
  }
}

// At the entry of the call; empty: it is not one that fails.
std::vector<Order> ways_to_fail(const Call& call) {
  std::vector<Order> ways;
  for (const int error : errors_of(call)) {
    ways.push_back(error == kHalf ? Order{Verdict::shorten} : Order{Verdict::fail, error});
  }
  return ways;
}

std::string text_of(const Call& call, const Order& way) {
  const bool has_path = call.number == SYS_openat;
  return call_name(call.number) +
         (has_path
              ? " of " + fs::path(read_path(call.thread, call.arguments[1])).filename().string()
              : "") +
         " gives " +
         (way.verdict == Verdict::shorten ? "half of the bytes" : strerrorname_np(way.error));
}

}  // namespace

FailedOnce fail_once(std::uint64_t n, const std::function<int()>& body,
                     const std::function<bool(const Call&)>& of_interest, Follow follow) {
  FailedOnce failed;
  std::uint64_t next = 0;
  const auto decide = [&](const Call& call) -> Order {
    if (!call.entering || !failed.where.empty() || !of_interest(call)) return {};
    for (const Order& way : ways_to_fail(call)) {
      if (next++ != n) continue;
      failed.where = text_of(call, way) + ", number " + std::to_string(n);
      return way;
    }
    return {};
  };
  failed.ending = trace(body, decide, follow);
  return failed;
}

FailedOnce kill_once(std::uint64_t n, const std::function<int()>& body,
                     const std::function<bool(const Call&)>& of_interest, Follow follow) {
  FailedOnce killed;
  std::uint64_t next = 0;
  const auto decide = [&](const Call& call) -> Order {
    if (!call.entering || !killed.where.empty() || !of_interest(call) || next++ != n) return {};
    killed.where = "killed before " + call_name(call.number) + ", number " + std::to_string(n);
    return {Verdict::kill, 0};
  };
  killed.ending = trace(body, decide, follow);
  return killed;
}

int perform(const std::function<int()>& body, const fs::path& error_file) {
  std::string text;
  int status = 0;
  try {
    if (body() != 0) status = 3;
  } catch (const Error& error) {
    text = error.what();
    status = 1;
  } catch (const std::exception& error) {
    text = error.what();
    status = 2;
  }
  if (!error_file.empty()) std::ofstream(error_file) << text;
  return status;
}

std::string read_text(const fs::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

std::string fault_of(const Ending& ending, const std::string& error) {
  if (ending.signal == kHungSignal) return "it hangs";
  if (!ending.exited) return "it dies by signal " + std::to_string(ending.signal);
  if (ending.status == 2) return "what was thrown is no stook::Error: " + error;
  if (ending.status > 2) return "it ends with another result";
  if (ending.status == 1 && error.find(": ") == std::string::npos) {
    return "the error does not say what failed: " + error;
  }
  return {};
}

}  // namespace stook::torture
