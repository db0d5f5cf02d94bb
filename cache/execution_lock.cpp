#include "cache/execution_lock.h"

#include <fcntl.h>

#include <algorithm>
#include <thread>

#include "cache/shared_state.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

std::uint64_t byte_of(const Key& key) {
  return kFirstExecutionByte + (key.low & (kFirstExecutionByte - 1));
}

}  // namespace

ExecutionLock::ExecutionLock(const std::filesystem::path& root)
    : file_(os_open(root / ".claims", O_RDWR)) {}

void ExecutionLock::lock(const Key& key, std::chrono::milliseconds longest) {
  constexpr std::chrono::milliseconds kMostBetween{20};
  if (!file_ || STOOK_MUTANT("lock-execution")) return;
  const auto until = std::chrono::steady_clock::now() + longest;
  std::chrono::milliseconds pause{1};
  while (!os_try_lock(file_.get(), byte_of(key), LockMode::exclusive)) {
    if (errno != EAGAIN && errno != EACCES) return;  // there are no locks here
    if (std::chrono::steady_clock::now() >= until) return;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kMostBetween);
  }
  byte_ = byte_of(key);
}

void ExecutionLock::unlock() noexcept {
  if (byte_ != 0) os_unlock(file_.get(), std::exchange(byte_, 0));
}

bool ExecutionLock::is_locked(int claims, const Key& key) {
  return os_is_locked(claims, byte_of(key));
}

bool ExecutionLock::is_any_locked(int claims) {
  return os_is_locked(claims, kFirstExecutionByte, kFirstExecutionByte);
}

}  // namespace stook::detail
