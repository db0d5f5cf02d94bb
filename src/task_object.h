// task_object.h - one task as a C++ object: constructing it, what it holds, giving that values.
// Unaware of plans, stores and threads. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <stook/future.hpp>
#include <stook/task.hpp>

namespace stook::detail {

// Memory and base of a constructed task, and where in it futures lie, in the order of declaration.
struct TaskObject {
  TaskBase* object = nullptr;
  void* place = nullptr;
  std::vector<std::uint32_t> offsets;
};

// Throws what the constructor throws; nothing is left behind then.
[[nodiscard]] TaskObject construct_task(const TaskSpec& task, TaskContext* context);
void destroy_task(const ClassInfo& info, TaskBase* object, void* place);

[[nodiscard]] inline const FutureBase& future_at(const void* place, std::uint32_t offset) {
  return *reinterpret_cast<const FutureBase*>(static_cast<const std::byte*>(place) + offset);
}

// Leaves are what a graph is made of: tasks, constants, external inputs. Visits those `start` names
// in order, without recursion.
template <class Visit> void for_each_leaf(const SpecPtr& start, Visit visit) {
  std::vector<const SpecPtr*> stack{&start};
  while (!stack.empty()) {
    const SpecPtr& spec = *stack.back();
    stack.pop_back();
    switch (spec->kind) {
      case SpecKind::element: stack.push_back(&static_cast<const ElementSpec&>(*spec).base); break;
      case SpecKind::list:
      case SpecKind::dict: {
        const auto& items = static_cast<const CompositeSpec&>(*spec).items;
        for (auto item = items.rbegin(); item != items.rend(); ++item) stack.push_back(&*item);
        break;
      }
      default: visit(spec);
    }
  }
}

// The value of `spec` as a bound future holds it, made of the leaves' values.
using LeafValue = std::function<Value(const Spec& leaf)>;
[[nodiscard]] Value value_of(const Spec& spec, const LeafValue& leaf);

}  // namespace stook::detail
