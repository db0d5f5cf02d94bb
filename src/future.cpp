#include <atomic>
#include <mutex>
#include <stdexcept>

#include "src/context.h"
#include "src/hash.h"
#include "src/mutant.h"

#include <stook/composite.hpp>
#include <stook/errors.hpp>
#include <stook/future.hpp>

namespace stook::detail {

constinit thread_local ConstructionFrame* construction_frame = nullptr;
constinit thread_local const TaskSpec* running_task = nullptr;

void ConstructionFrame::enter(const void* future) {
  const auto* at = static_cast<const std::byte*>(future);
  if (at >= begin && at < end) offsets.push_back(static_cast<std::uint32_t>(at - begin));
}

void ConstructionFrame::leave(const void* future) {
  const auto* at = static_cast<const std::byte*>(future);
  if (at >= begin && at < end) std::erase(offsets, static_cast<std::uint32_t>(at - begin));
}

namespace {

std::atomic<OutsideLoader> outside_loader = nullptr;

constexpr std::uint32_t max_element_depth = 256;

Key derived_key(std::string_view domain, const Key& base, std::string_view bytes) {
  Hasher hasher;
  hasher.update("stook key 1 ");
  hasher.update(domain);
  const std::uint64_t size = bytes.size();
  hasher.update(&base, sizeof base);
  hasher.update(&size, sizeof size);
  hasher.update(bytes);
  return Key{hasher.finish()};
}

struct Composite {
  const CompositeSpec* spec;
  std::vector<Value> parts;
  std::once_flag once;
  Value whole;
};

bool is_composite(const Spec& spec) {
  return spec.kind == SpecKind::list || spec.kind == SpecKind::dict;
}

Composite* as_composite(const Value& bound) {
  return static_cast<Composite*>(const_cast<void*>(bound.get()));
}

}  // namespace

void set_outside_loader(OutsideLoader loader) { outside_loader = loader; }

const Spec& FutureBase::required_spec() const {
  const SpecPtr& named = spec();
  if (!named) {
    throw NotReady("this future names nothing: assign it what make(), Const() or call<>() gives");
  }
  return *named;
}

const void* FutureBase::resolve() const {
  const Spec& named = required_spec();
  if (bound_) return plain_value(named, value_).get();
  if (named.kind == SpecKind::constant) return static_cast<const ConstantSpec&>(named).value.get();
  if (running_task != nullptr) {
    throw UndeclaredDependency(
        "run_task() of " + future_text(*running_task) + " uses " + future_text(named) +
        ", which is not a member of the task, so nobody has computed it for this task; hold it as "
        "a Future member (many of them: a stook::FutureList or FutureDict member instead of a "
        "container of futures)");
  }
  const OutsideLoader loader = outside_loader.load();
  if (loader == nullptr) throw CacheError(no_cache_text);
  value_ = loader(named);
  return value_.get();
}

ConstantSpec::ConstantSpec(const ValueType& type, Value constant)
    : ConstantSpec(type, constant, digest_of_value(type, constant)) {}

ConstantSpec::ConstantSpec(const ValueType& type, Value constant, const Digest& constant_digest)
    : Spec(SpecKind::constant, derived_key("constant", Key{constant_digest}, type.signature), type),
      value(std::move(constant)), digest(Digest{key}) {}

namespace {

class NamedSpec final : public Spec {
 public:
  NamedSpec(const Key& key, const ValueType& type) : Spec(SpecKind::named, key, type) {}
};

}  // namespace

SpecPtr named_spec(const Key& key, const ValueType& type) {
  return SpecPtr(new NamedSpec(key, type));
}

ElementSpec::ElementSpec(const ValueType& type, SpecPtr element_base, std::string way)
    : Spec(SpecKind::element, derived_key("element", element_base->key, way), type),
      base(std::move(element_base)), step(std::move(way)),
      depth(base->kind == SpecKind::element ? static_cast<const ElementSpec&>(*base).depth + 1
                                            : 1) {
  if (!STOOK_MUTANT("depth-of-elements") && depth > max_element_depth) {
    throw InvalidArgument("an element of an element ... of a future, more than 256 deep");
  }
}

void bind_element(const FutureBase& element, const ElementSpec& spec, const FutureBase& base) {
  if (base.is_bound()) element.bind(spec.access(plain_value(*spec.base, base.bound_value())));
}

Value bind_composite(const CompositeSpec& spec, std::vector<Value> parts) {
  auto composite = std::make_shared<Composite>();
  composite->spec = &spec;
  composite->parts = std::move(parts);
  return composite;
}

Value plain_value(const Spec& spec, const Value& bound) {
  if (!is_composite(spec)) return bound;
  Composite& composite = *as_composite(bound);
  std::call_once(composite.once,
                 [&] { composite.whole = composite.spec->assemble(composite.parts); });
  return composite.whole;
}

bool item_of(const FutureBase& list, std::int64_t index, FutureBase& item) {
  if (!list.spec() || list.spec()->kind != SpecKind::list) return false;
  const auto& items = static_cast<const CompositeSpec&>(*list.spec()).items;
  const auto size = static_cast<std::int64_t>(items.size());
  const std::int64_t at = index < 0 ? index + size : index;
  if (at < 0 || at >= size) return false;
  item.assign(FutureBase(items[static_cast<std::size_t>(at)]));
  if (list.is_bound()) {
    item.bind(as_composite(list.bound_value())->parts[static_cast<std::size_t>(at)]);
  }
  return true;
}

std::string index_step(std::int64_t index) { return "[" + std::to_string(index) + "]"; }
std::string key_step(std::string_view bytes) {
  constexpr std::size_t shown = 1000;
  std::string text = canonical_to_text(bytes, std::string::npos);
  // Longer ones may begin alike: the hash tells them apart.
  if (text.size() > shown) {
    text = canonical_to_text(bytes, shown) + " " + to_hex(hash_bytes(bytes));
  }
  return "[" + text + "]";
}
std::string name_step(std::string_view name) { return "[\"" + std::string(name) + "\"]"; }

void throw_no_element(const std::string& what, std::size_t size) {
  throw std::out_of_range("there is no element " + what + " in an upstream result of " +
                          std::to_string(size) + " elements");
}

std::string_view last_name(std::string_view pretty_function) {
  // "... [with auto Pointer = &Split::train; ..." or "... [Pointer = &Split::train]"
  const auto start = pretty_function.find("Pointer = ");
  const auto end = pretty_function.find_first_of(";]", start);
  std::string_view pointer = pretty_function.substr(start, end - start);
  return pointer.substr(pointer.rfind(':') + 1);
}

Key composite_key(std::string_view domain, std::string_view names,
                  const std::vector<SpecPtr>& items) {
  Hasher hasher;
  hasher.update("stook key 1 ");
  hasher.update(domain);
  const std::uint64_t sizes[] = {names.size(), items.size()};
  hasher.update(sizes, sizeof sizes);
  hasher.update(names);
  for (const SpecPtr& item : items) hasher.update(&item->key, sizeof item->key);
  return Key{hasher.finish()};
}

void throw_empty_item() {
  throw InvalidArgument(
      "a future that names nothing cannot be an item of a FutureList or FutureDict");
}

void throw_type_mismatch(const Spec& spec, const ValueType& wanted) {
  throw InvalidArgument(future_text(spec) + " gives a " + demangled(*spec.value_type.type) +
                        ", not the " + demangled(*wanted.type) + " that is wanted here");
}

std::string future_text(const Spec& spec) {
  switch (spec.kind) {
    case SpecKind::task: return task_text(static_cast<const TaskSpec&>(spec));
    case SpecKind::constant: return "a constant of type " + demangled(*spec.value_type.type);
    case SpecKind::external: return "an external input";
    case SpecKind::element: {
      const auto& element = static_cast<const ElementSpec&>(spec);
      return "element " + element.step + " of " + future_text(*element.base);
    }
    case SpecKind::list: return "a list of futures";
    case SpecKind::dict: return "a dictionary of futures";
    case SpecKind::named: return "the future " + to_hex(spec.key);
  }
  return "a future";
}

}  // namespace stook::detail
