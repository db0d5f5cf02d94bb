// composite.hpp - lists and dictionaries of futures, which are futures of lists and dictionaries.
// Held as a member of a task, every item is an upstream of the task.
// Not thread-safe while they are being filled.
#pragma once

#include <initializer_list>
#include <map>
#include <utility>
#include <vector>

#include <stook/canonical.hpp>
#include <stook/future.hpp>

namespace stook {

namespace detail {

template <class T>
class ListSpec final : public CompositeSpec {
 public:
  using Vector = std::vector<Stored<T>>;
  using CompositeSpec::CompositeSpec;
  Value assemble(const std::vector<Value>& parts) const override {
    auto values = std::make_shared<Vector>();
    values->reserve(parts.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
      values->push_back(*static_cast<const Stored<T>*>(plain_value(*items[i], parts[i]).get()));
    }
    return values;
  }
};

template <class K, class T>
class DictSpec final : public CompositeSpec {
 public:
  DictSpec(const Key& key, const ValueType& type, std::vector<SpecPtr> items, std::vector<K> names)
      : CompositeSpec(SpecKind::dict, key, type, std::move(items)), names_(std::move(names)) {}
  Value assemble(const std::vector<Value>& parts) const override {
    auto values = std::make_shared<std::map<K, Stored<T>>>();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      values->emplace_hint(values->end(), names_[i], *static_cast<const Stored<T>*>(
                                               plain_value(*items[i], parts[i]).get()));
    }
    return values;
  }

 private:
  const std::vector<K> names_;
};

// The key of a composite: its domain, the canonical bytes of its names, the keys of its items.
[[nodiscard]] Key composite_key(std::string_view domain, std::string_view names,
                                const std::vector<SpecPtr>& items);

[[noreturn]] void throw_empty_item();

}  // namespace detail

// A future of std::vector<T> from futures of T.
template <class T>
class FutureList : public Future<std::vector<detail::Stored<T>>> {
  using Base = Future<std::vector<detail::Stored<T>>>;

 public:
  FutureList() : FutureList(std::vector<Future<T>>{}) {}
  FutureList(std::initializer_list<Future<T>> items)
      : FutureList(std::vector<Future<T>>(items)) {}
  FutureList(const std::vector<Future<T>>& items) {
    items_.reserve(items.size());
    for (const auto& item : items) push_back(item);
    this->set_builder(&FutureList::build);
  }
  FutureList(const FutureList&) = default;
  FutureList(FutureList&&) = default;
  FutureList& operator=(const FutureList&) = default;
  FutureList& operator=(FutureList&&) = default;

  void push_back(const Future<T>& item) {
    if (!item.spec()) detail::throw_empty_item();
    items_.push_back(item.spec());
    this->set_builder(&FutureList::build);
    this->spec_ = {};
    this->unbind();
  }
  void reserve(std::size_t count) { items_.reserve(count); }
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] bool empty() const { return items_.empty(); }

 private:
  static detail::SpecPtr build(const detail::FutureBase* self) {
    const auto& items = static_cast<const FutureList*>(self)->items_;
    const Key key = detail::composite_key("list", {}, items);
    return detail::SpecPtr(new detail::ListSpec<T>(
        detail::SpecKind::list, key, detail::value_type_of<std::vector<detail::Stored<T>>>(),
        items));
  }

  std::vector<detail::SpecPtr> items_;
};

// A future of std::map<K, T> from futures of T under keys of K, which are arguments.
template <class K, class T>
class FutureDict : public Future<std::map<K, detail::Stored<T>>> {
  using Base = Future<std::map<K, detail::Stored<T>>>;

 public:
  FutureDict() : FutureDict(std::map<K, Future<T>>{}) {}
  FutureDict(std::initializer_list<std::pair<const K, Future<T>>> items)
      : FutureDict(std::map<K, Future<T>>(items)) {}
  FutureDict(const std::map<K, Future<T>>& items) {
    for (const auto& [name, item] : items) insert(name, item);
    this->set_builder(&FutureDict::build);
  }
  FutureDict(const FutureDict&) = default;
  FutureDict(FutureDict&&) = default;
  FutureDict& operator=(const FutureDict&) = default;
  FutureDict& operator=(FutureDict&&) = default;

  // Replaces what is under `name`.
  void insert(const K& name, const Future<T>& item) {
    if (!item.spec()) detail::throw_empty_item();
    items_[name] = item.spec();
    this->set_builder(&FutureDict::build);
    this->spec_ = {};
    this->unbind();
  }
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] bool empty() const { return items_.empty(); }

 private:
  static detail::SpecPtr build(const detail::FutureBase* self) {
    CanonicalWriter bytes;
    std::vector<detail::SpecPtr> items;
    std::vector<K> names;
    for (const auto& [name, item] : static_cast<const FutureDict*>(self)->items_) {
      Argument<K>::encode(bytes, name);
      names.push_back(name);
      items.push_back(item);
    }
    const Key key = detail::composite_key("dict", bytes.bytes(), items);
    return detail::SpecPtr(new detail::DictSpec<K, T>(
        key, detail::value_type_of<std::map<K, detail::Stored<T>>>(), std::move(items),
        std::move(names)));
  }

  std::map<K, detail::SpecPtr> items_;
};

template <class T>
FutureList(std::initializer_list<Future<T>>) -> FutureList<T>;
template <class T>
FutureList(std::vector<Future<T>>) -> FutureList<T>;

}  // namespace stook
