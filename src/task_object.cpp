#include "src/task_object.h"

#include <algorithm>
#include <new>

namespace stook::detail {
namespace {

// Memory for task objects. The aligned operator new is several times slower than the plain one.
void* allocate_object(const ClassInfo& info) {
  if (info.object_alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) {
    return ::operator new(info.object_size);
  }
  return ::operator new(info.object_size, std::align_val_t(info.object_alignment));
}

void free_object(const ClassInfo& info, void* place) {
  if (info.object_alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) return ::operator delete(place);
  ::operator delete(place, std::align_val_t(info.object_alignment));
}

// Sets the frame in which the futures of the object under construction register themselves.
class FrameScope {
 public:
  FrameScope(void* place, std::size_t size, TaskContext* context) : previous_(construction_frame) {
    frame.begin = static_cast<const std::byte*>(place);
    frame.end = frame.begin + size;
    frame.context = context;
    construction_frame = &frame;
  }
  ~FrameScope() { construction_frame = previous_; }
  FrameScope(const FrameScope&) = delete;
  FrameScope& operator=(const FrameScope&) = delete;

  ConstructionFrame frame;

 private:
  ConstructionFrame* previous_;
};

}  // namespace

TaskObject construct_task(const TaskSpec& task, TaskContext* context) {
  TaskObject made;
  made.place = allocate_object(task.info);
  FrameScope scope(made.place, task.info.object_size, context);
  try {
    made.object = task.construct(made.place);
  } catch (...) {
    free_object(task.info, made.place);
    throw;
  }
  made.offsets = std::move(scope.frame.offsets);
  // In the order of declaration, also where a member was filled later (an optional one).
  std::sort(made.offsets.begin(), made.offsets.end());
  return made;
}

void destroy_task(const ClassInfo& info, TaskBase* object, void* place) {
  info.destroy(object);
  free_object(info, place);
}

Value value_of(const Spec& spec, const LeafValue& leaf) {
  switch (spec.kind) {
    case SpecKind::element: {
      const auto& element = static_cast<const ElementSpec&>(spec);
      return element.access(plain_value(*element.base, value_of(*element.base, leaf)));
    }
    case SpecKind::list:
    case SpecKind::dict: {
      const auto& composite = static_cast<const CompositeSpec&>(spec);
      std::vector<Value> parts;
      parts.reserve(composite.items.size());
      for (const SpecPtr& item : composite.items) parts.push_back(value_of(*item, leaf));
      return bind_composite(composite, std::move(parts));
    }
    default: return leaf(spec);
  }
}

}  // namespace stook::detail
