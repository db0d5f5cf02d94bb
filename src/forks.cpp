#include "src/forks.h"

#include <pthread.h>

#include <mutex>
#include <unordered_map>

#include "src/mutant.h"

namespace stook::detail {
namespace {

struct Registry {
  std::mutex mutex;
  std::unordered_map<Fd*, SharedMapping*> all;
};

// Never destroyed: what is static in a program may fork while it ends.
Registry& registry() {
  static Registry& made = *new Registry;
  return made;
}

void before_fork() { registry().mutex.lock(); }
void in_parent() { registry().mutex.unlock(); }
void in_child() {
  if (!STOOK_MUTANT("closed-in-forks")) {
    for (const auto& [fd, mapping] : registry().all) {
      *fd = Fd();
      if (mapping != nullptr) mapping->let_go();
    }
  }
  registry().mutex.unlock();
}

}  // namespace

ClosedInForks::ClosedInForks(Fd& fd, SharedMapping* mapping) : fd_(fd) {
  static const int hooked = ::pthread_atfork(&before_fork, &in_parent, &in_child);
  (void)hooked;  // without memory for it, forks are as before
  const std::lock_guard lock(registry().mutex);
  registry().all.emplace(&fd_, mapping);
}

ClosedInForks::~ClosedInForks() {
  const std::lock_guard lock(registry().mutex);
  registry().all.erase(&fd_);
}

}  // namespace stook::detail
