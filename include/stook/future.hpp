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
#include <stook/future_base.hpp>
#include <stook/options.hpp>

namespace stook {

template <class T>
class Future;

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
    if (spec && spec->kind == detail::SpecKind::named) spec = detail::named_spec(spec->key, type);
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
    requires detail::KeyFor<K, value_type>
  [[nodiscard]] auto operator[](const K& key) const {
    using Element = typename value_type::mapped_type;
    typename value_type::key_type typed(key);
    CanonicalWriter step;
    Argument<typename value_type::key_type>::encode(step, typed);
    std::string way = detail::key_step(step.bytes());
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
    requires detail::Sliceable<value_type>
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
