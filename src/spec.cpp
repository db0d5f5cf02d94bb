#include <vector>

#include <stook/spec.hpp>

namespace stook::detail {

// A Spec's destructor lets go of other Specs. The outermost call on a thread does the deleting,
// those inside it only queue theirs.
void SpecPtr::dispose(const Spec* spec) noexcept {
  thread_local std::vector<const Spec*>* queue = nullptr;
  if (queue != nullptr) {
    queue->push_back(spec);
    return;
  }
  std::vector<const Spec*> local;
  queue = &local;
  delete spec;
  while (!local.empty()) {
    const Spec* next = local.back();
    local.pop_back();
    delete next;
  }
  queue = nullptr;
}

}  // namespace stook::detail
