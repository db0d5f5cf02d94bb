// What a handle can do outside of a run: read, clear, name its id and paths, explain itself.

#include "runtime/explain.h"
#include "runtime/run.h"
#include "src/context.h"
#include "src/external.h"

#include <stook/cache.hpp>
#include <stook/errors.hpp>
#include <stook/task.hpp>

namespace stook::detail {
namespace {

Entry entry_of(Store& store, const Key& key) {
  Entry entry;
  store.lookup({&key, 1}, {&entry, 1});
  return entry;
}

Value load_task(Store& store, const TaskSpec& task) {
  const Entry entry = entry_of(store, task.key);
  if (entry.state == RecordState::missing) {
    throw NotReady("there is no result of " + task_text(task) + " in the cache " +
                   store.root().string() + ": run it with run_graph()");
  }
  const auto payload = store.read_value(entry, task.value_type.signature);
  if (!payload) {
    store.mark_damaged(task.key, entry, task_text(task) + ": " + payload.reason());
    throw NotReady("the result of " + task_text(task) + " cannot be read: " + payload.reason() +
                   "; run_graph() computes it again");
  }
  Reader reader((*payload)->bytes());
  reader.set_root(store.root().string());
  Value value = task.value_type.decode(reader);
  reader.finish();
  return value;
}

Value load_bound(Store& store, const Spec& spec) {
  switch (spec.kind) {
    case SpecKind::task: return load_task(store, static_cast<const TaskSpec&>(spec));
    case SpecKind::constant: return static_cast<const ConstantSpec&>(spec).value;
    case SpecKind::external: return static_cast<const ExternalSpec&>(spec).value();
    case SpecKind::element: {
      const auto& element = static_cast<const ElementSpec&>(spec);
      return element.access(plain_value(*element.base, load_bound(store, *element.base)));
    }
    case SpecKind::list:
    case SpecKind::dict: {
      const auto& composite = static_cast<const CompositeSpec&>(spec);
      std::vector<Value> parts;
      for (const SpecPtr& item : composite.items) parts.push_back(load_bound(store, *item));
      return bind_composite(composite, std::move(parts));
    }
    case SpecKind::named: break;
  }
  return {};
}

}  // namespace

Value load_outside(const Spec& spec) {
  const Value bound = load_bound(current_store(), spec);
  return plain_value(spec, bound);
}

std::size_t clear_one(const TaskSpec& spec) { return current_store().clear(spec.key).suspected; }

std::size_t clear_class(const ClassInfo& info) {
  return current_store().clear_class(info.name).suspected;
}

std::uint64_t id_in_cache(const TaskSpec& spec) {
  return current_store().show_id(spec.key, spec.info.name);
}

std::filesystem::path path_in_cache(const TaskSpec& spec, std::string_view name) {
  return current_store().task_path(spec.info.name, id_in_cache(spec)) / name;
}

std::string explain(const TaskSpec& spec) { return explain_task(current_store(), spec); }

}  // namespace stook::detail
