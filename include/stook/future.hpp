// future.hpp - Future<T>: a handle on a result of type T that is there, or will be.
// A Future held as a member of a task is an upstream of that task: it registers itself while the
// task's constructor runs, wherever in the object it lies, private or not.
// Unaware of classes of tasks (task.hpp) and of how a run works.
// Not thread-safe while it is assigned to; reading one from several threads is safe inside a task.
// Design: src/README.md
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <stook/canonical.hpp>
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
template <class T>
concept Sequence = !Keyed<T> && requires(const T& t) {
  typename T::value_type;
  { t[std::size_t{0}] } -> std::convertible_to<const typename T::value_type&>;
  { t.size() } -> std::convertible_to<std::size_t>;
};
template <class T>
concept JsonLike = requires(const T& t) {
  { t.at("x") } -> std::convertible_to<const T&>;
  { t.is_object() } -> std::convertible_to<bool>;
};

}  // namespace detail

// A result of type T. Copying one is cheap: it names the task, it does not hold its result.
template <class T>
class Future : public detail::FutureBase {
 public:
  using value_type = detail::Stored<T>;

  // Names nothing yet; to be assigned before the constructor of the task that holds it returns.
  Future() = default;
  Future(const Future&) = default;
  Future(Future&&) = default;
  Future& operator=(const Future&) = default;
  Future& operator=(Future&&) = default;

  explicit Future(detail::SpecPtr spec) : FutureBase(std::move(spec)) {}

  // As the constructor, for a spec of unknown type. Throws InvalidArgument where it is not a T.
  static Future from_spec(detail::SpecPtr spec) {
    const auto& type = detail::value_type_of<T>();
    if (spec && *spec->value_type.type != *type.type) detail::throw_type_mismatch(*spec, type);
    return Future(std::move(spec));
  }

  // The result. Inside run_task(): of an upstream held as a member. Outside: from the current
  // cache, read anew each time; the reference lives until the next call or the future's end.
  // Throws NotReady where it is not there, UndeclaredDependency inside a task that does not
  // hold this future as a member.
  [[nodiscard]] const value_type& get_result() const& {
    return *static_cast<const value_type*>(resolve());
  }
  [[nodiscard]] value_type get_result() && {
    return *static_cast<const value_type*>(resolve());
  }
  [[nodiscard]] const value_type& operator*() const& { return get_result(); }
  [[nodiscard]] value_type operator*() && { return std::move(*this).get_result(); }
  [[nodiscard]] const value_type* operator->() const { return &get_result(); }

  // Runs the graph above this future in the current cache and returns its value and statistics.
  // Throws InvalidArgument, ConstructionFailed, Cycle (nothing has run), TaskFailed, CacheError.
  Outcome<value_type> run_graph(const RunOptions& options = {}) const {
    std::vector<detail::Value> values;
    Stats stats;
    detail::run_roots({this->spec()}, options, &values, stats);
    return {*static_cast<const value_type*>(values.front().get()), std::move(stats)};
  }

  // The element of a map under `key`. A key that is not there fails the task that uses it.
  template <class K>
    requires detail::Keyed<value_type> && std::convertible_to<K, typename value_type::key_type>
  [[nodiscard]] auto operator[](const K& key) const {
    using Element = typename value_type::mapped_type;
    typename value_type::key_type typed(key);
    CanonicalWriter step;
    Argument<typename value_type::key_type>::encode(step, typed);
    std::string way = "[" + canonical_to_text(step.bytes(), 1000) + "]";
    return detail::make_element<Element>(
        *this, way, [typed, way](const detail::Value& base) -> detail::Value {
          const auto& map = *static_cast<const value_type*>(base.get());
          const auto found = map.find(typed);
          if (found == map.end()) detail::throw_no_element(way, map.size());
          return {base, &found->second};
        });
  }

  // The element of a sequence at `index`; negative counts from the end.
  template <std::integral I>
    requires detail::Sequence<value_type> && (!detail::JsonLike<value_type>)
  [[nodiscard]] auto operator[](I index) const {
    using Element = std::remove_cvref_t<typename value_type::value_type>;
    const auto wanted = static_cast<std::int64_t>(index);
    Future<Element> item;
    if (detail::item_of(*this, wanted, item)) return item;
    return detail::make_element<Element>(
        *this, detail::index_step(wanted), [wanted](const detail::Value& base) -> detail::Value {
          const auto& items = *static_cast<const value_type*>(base.get());
          const auto size = static_cast<std::int64_t>(items.size());
          const std::int64_t at = wanted < 0 ? wanted + size : wanted;
          if (at < 0 || at >= size) detail::throw_no_element(detail::index_step(wanted), size);
          if constexpr (std::is_lvalue_reference_v<decltype(items[0])>) {
            return {base, &items[static_cast<std::size_t>(at)]};
          } else {
            return std::make_shared<const Element>(items[static_cast<std::size_t>(at)]);
          }
        });
  }

  // The elements [begin, end) of a sequence, as a sequence; negative counts from the end, and what
  // lies outside is cut off.
  [[nodiscard]] Future slice(std::int64_t begin, std::int64_t end) const
    requires detail::Sequence<value_type> && std::constructible_from<value_type,
        typename value_type::const_iterator, typename value_type::const_iterator>
  {
    std::string step = "slice" + detail::index_step(begin) + detail::index_step(end);
    return detail::make_element<T>(
        *this, std::move(step), [begin, end](const detail::Value& base) -> detail::Value {
          const auto& items = *static_cast<const value_type*>(base.get());
          const auto size = static_cast<std::int64_t>(items.size());
          auto clip = [size](std::int64_t at) {
            at = at < 0 ? at + size : at;
            return at < 0 ? 0 : at > size ? size : at;
          };
          const std::int64_t first = clip(begin);
          const std::int64_t last = clip(end) < first ? first : clip(end);
          return std::make_shared<const value_type>(items.begin() + first, items.begin() + last);
        });
  }

  // The member of a JSON object, or the item of a JSON array.
  template <class Step>
    requires detail::JsonLike<value_type> &&
             (std::convertible_to<Step, std::string_view> || std::integral<Step>)
  [[nodiscard]] Future operator[](const Step& step) const {
    if constexpr (std::integral<Step>) {
      const auto index = static_cast<std::int64_t>(step);
      return detail::make_element<T>(
          *this, detail::index_step(index), [index](const detail::Value& base) -> detail::Value {
            const auto& json = *static_cast<const value_type*>(base.get());
            const auto size = json.is_array() ? static_cast<std::int64_t>(json.size()) : 0;
            const std::int64_t at = index < 0 ? index + size : index;
            if (at < 0 || at >= size) detail::throw_no_element(detail::index_step(index), size);
            return {base, &json.at(static_cast<std::size_t>(at))};
          });
    } else {
      std::string name(std::string_view{step});
      return detail::make_element<T>(
          *this, detail::name_step(name), [name](const detail::Value& base) -> detail::Value {
            const auto& json = *static_cast<const value_type*>(base.get());
            if (!json.is_object() || !json.contains(name)) {
              detail::throw_no_element(detail::name_step(name), json.size());
            }
            return {base, &json.at(name)};
          });
    }
  }

  // The I-th element of a pair or tuple.
  template <std::size_t I>
  [[nodiscard]] auto get() const {
    using Element = std::remove_cvref_t<decltype(std::get<I>(std::declval<const value_type&>()))>;
    return detail::make_element<Element>(
        *this, detail::index_step(I), [](const detail::Value& base) -> detail::Value {
          return {base, &std::get<I>(*static_cast<const value_type*>(base.get()))};
        });
  }

  // The data member of a struct, e.g. future.member<&Split::train>().
  template <auto Pointer>
    requires std::is_member_object_pointer_v<decltype(Pointer)>
  [[nodiscard]] auto member() const {
    using Element = std::remove_cvref_t<decltype(std::declval<const value_type&>().*Pointer)>;
    return detail::make_element<Element>(
        *this, detail::name_step(detail::member_name<Pointer>()),
        [](const detail::Value& base) -> detail::Value {
          return {base, &(static_cast<const value_type*>(base.get())->*Pointer)};
        });
  }
};

namespace detail {

template <class T, class Access>
Future<T> make_element(const FutureBase& base, std::string step, Access access) {
  auto* spec = new ElementOf<T, Access>(base.spec(), std::move(step), std::move(access));
  Future<T> element{SpecPtr(spec)};
  bind_element(element, *spec, base);
  return element;
}

}  // namespace detail

// A future that is already there. Equal values of one type are one constant.
template <class T>
[[nodiscard]] Future<std::decay_t<T>> Const(T&& value) {
  using V = std::decay_t<T>;
  static_assert(!std::is_pointer_v<V>, "stook::Const: write std::string(\"...\"), not a pointer");
  auto stored = std::make_shared<const V>(std::forward<T>(value));
  return Future<V>(detail::SpecPtr(new detail::ConstantSpec(detail::value_type_of<V>(), stored)));
}
[[nodiscard]] inline Future<std::string> Const(const char* text) {
  return Const(std::string(text));
}

}  // namespace stook
