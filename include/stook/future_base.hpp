// future_base.hpp - what a future is below its type: its spec, the value it is bound to, and the
// specs of constants, elements and composites.
// Unaware of classes of tasks and of how a run works. Thread-safety: see future.hpp.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <stook/codec.hpp>
#include <stook/options.hpp>
#include <stook/spec.hpp>

namespace stook {

template <class T>
class Future;

namespace detail {

class TaskContext;

// The object that is being constructed on this thread. Futures inside it enter their offsets.
struct ConstructionFrame {
  const std::byte* begin;
  const std::byte* end;
  TaskContext* context;
  std::vector<std::uint32_t> offsets;

  void enter(const void* future);
  void leave(const void* future);
};
extern constinit thread_local ConstructionFrame* construction_frame;

// Everything of a Future that does not depend on its type.
class FutureBase {
 public:
  FutureBase() { enter(); }
  explicit FutureBase(SpecPtr spec) : spec_(std::move(spec)) { enter(); }
  FutureBase(const FutureBase& other)
      : spec_(other.spec()), value_(other.value_), bound_(other.bound_) {
    enter();
  }
  FutureBase(FutureBase&& other) : FutureBase(static_cast<const FutureBase&>(other)) {}
  FutureBase& operator=(const FutureBase& other) {
    spec_ = other.spec();
    value_ = other.value_;
    bound_ = other.bound_;
    return *this;
  }
  ~FutureBase() {
    if (construction_frame != nullptr) construction_frame->leave(this);
  }

  // What the future names; empty for a default-constructed one.
  [[nodiscard]] const SpecPtr& spec() const {
    if (!spec_ && builder_ != nullptr) spec_ = builder_(this);
    return spec_;
  }
  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(spec()); }
  [[nodiscard]] const Key& key() const { return required_spec().key; }

  void assign(const FutureBase& other) { *this = other; }

  // For the run: gives the future the value its task will see.
  void bind(Value value) const {
    value_ = std::move(value);
    bound_ = true;
  }
  void unbind() const {
    value_.reset();
    bound_ = false;
  }
  [[nodiscard]] bool is_bound() const { return bound_; }
  [[nodiscard]] const Value& bound_value() const { return value_; }

 protected:
  // The value, from the run this task is part of, else from the current cache.
  // Throws UndeclaredDependency, NotReady, CacheError.
  [[nodiscard]] const void* resolve() const;
  [[nodiscard]] const Spec& required_spec() const;
  mutable SpecPtr spec_;

  // A FutureList or FutureDict: its spec is made of its items when it is asked for.
  using Builder = SpecPtr (*)(const FutureBase* self);
  void set_builder(Builder builder) { builder_ = builder; }

 private:
  void enter() {
    if (construction_frame != nullptr) construction_frame->enter(this);
  }

  mutable Value value_;
  Builder builder_ = nullptr;
  mutable bool bound_ = false;
};

// A constant: a value that is already there.
class ConstantSpec final : public Spec {
 public:
  ConstantSpec(const ValueType& type, Value value);   // encodes the value to name it
  const Value value;
  const Digest digest;   // its key: the key names the value

 private:
  struct Named;
  ConstantSpec(const ValueType& type, Value value, const Digest& digest);
};

// Something whose key is known and nothing else; its type is whatever it is asked for as.
[[nodiscard]] SpecPtr named_spec(const Key& key, const ValueType& type);

// An element of another result.
class ElementSpec : public Spec {
 public:
  // `step` is the canonical form of the way from the base to the element.
  ElementSpec(const ValueType& type, SpecPtr base, std::string step);
  // The element inside `base`. Throws std::out_of_range naming the step.
  [[nodiscard]] virtual Value access(const Value& base) const = 0;

  const SpecPtr base;
  const std::string step;
  const std::uint32_t depth;
};

// Values of a list's or dictionary's items, put together when first asked for.
class CompositeSpec : public Spec {
 public:
  CompositeSpec(SpecKind kind, const Key& key, const ValueType& type, std::vector<SpecPtr> items)
      : Spec(kind, key, type), items(std::move(items)) {}
  [[nodiscard]] virtual Value assemble(const std::vector<Value>& parts) const = 0;

  const std::vector<SpecPtr> items;
};

// What a bound future of a CompositeSpec holds: the parts now, the whole on demand.
[[nodiscard]] Value bind_composite(const CompositeSpec& spec, std::vector<Value> parts);
// The value itself: composites are put together, everything else is as it is.
[[nodiscard]] Value plain_value(const Spec& spec, const Value& bound);
// Makes `item` the list's own item, bound where the list is: no need for the list's other items.
// False where `list` is not a FutureList or has no such item.
bool item_of(const FutureBase& list, std::int64_t index, FutureBase& item);

[[nodiscard]] std::string index_step(std::int64_t index);
[[nodiscard]] std::string name_step(std::string_view name);
// Of the canonical bytes of a map's key.
[[nodiscard]] std::string key_step(std::string_view bytes);
[[noreturn]] void throw_no_element(const std::string& what, std::size_t size);

void run_roots(const std::vector<SpecPtr>& roots, const RunOptions& options,
               std::vector<Value>* values, Stats& stats);
[[nodiscard]] std::string future_text(const Spec& spec);
[[noreturn]] void throw_type_mismatch(const Spec& spec, const ValueType& wanted);

// An element of a bound future is bound too.
void bind_element(const FutureBase& element, const ElementSpec& spec, const FutureBase& base);
// "field" of &S::field, the same on every compiler.
[[nodiscard]] std::string_view last_name(std::string_view pretty_function);
template <auto Pointer>
[[nodiscard]] std::string_view member_name() {
  return last_name(__PRETTY_FUNCTION__);
}

template <class T, class Access>
class ElementOf final : public ElementSpec {
 public:
  ElementOf(SpecPtr base, std::string step, Access access)
      : ElementSpec(value_type_of<T>(), std::move(base), std::move(step)),
        access_(std::move(access)) {}
  Value access(const Value& base) const override { return access_(base); }

 private:
  Access access_;
};

// A Future<T> for what `access(base value)` gives.
template <class T, class Access>
Future<T> make_element(const FutureBase& base, std::string step, Access access);

template <class T>
concept StringKeyed = requires(const T& t, const std::string& key) {
  typename T::mapped_type;
  { t.find(key) != t.end() } -> std::convertible_to<bool>;
};
template <class T>
concept Keyed = requires { typename T::mapped_type; typename T::key_type; };
template <class K, class T>
concept KeyFor = Keyed<T> && requires { requires std::convertible_to<K, typename T::key_type>; };
template <class T>
concept Sequence = !Keyed<T> && requires(const T& t) {
  typename T::value_type;
  { t[std::size_t{0}] } -> std::convertible_to<const typename T::value_type&>;
  { t.size() } -> std::convertible_to<std::size_t>;
};
template <class T>
concept Sliceable = Sequence<T> && requires {
  requires std::constructible_from<T, typename T::const_iterator, typename T::const_iterator>;
};
template <class T>
concept JsonLike = requires(const T& t) {
  { t.at("x") } -> std::convertible_to<const T&>;
  { t.is_object() } -> std::convertible_to<bool>;
};

}  // namespace detail

}  // namespace stook
