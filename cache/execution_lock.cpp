#include "cache/execution_lock.h"

#include <fcntl.h>

#include <algorithm>
#include <thread>
#include <utility>

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

// It is found out when it is first asked: the descriptor is opened after this was made.
bool Orphans::may_be() {
  if (!any_)
    any_ = !alone_ || os_is_locked(claims_.get(), kFirstExecutionByte, kFirstExecutionByte);
  return *any_;
}

bool Orphans::is_executed(const Key& key) {
  if (!os_is_locked(claims_.get(), byte_of(key))) return false;
  const std::lock_guard lock(mutex_);
  any_ = true;
  return true;
}

bool Orphans::has(const Key& key) {
  if (alone_) {
    const std::lock_guard lock(mutex_);
    if (!may_be()) return false;
  }
  if (!is_executed(key)) {
    forget(key);
    return false;
  }
  constexpr std::chrono::seconds kAsksOften{1};  // else it may be another one
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  Asked& asked = asked_[key];
  if (now - asked.last > kAsksOften) asked.first = now;
  asked.last = now;
  count_ = asked_.size();
  return now - asked.first < kFence;
}

void Orphans::forget(const Key& key) {
  if (count_ == 0) return;
  const std::lock_guard lock(mutex_);
  asked_.erase(key);
  count_ = asked_.size();
}

}  // namespace stook::detail
