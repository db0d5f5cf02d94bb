// spec.hpp - what a future names, type-erased: a task to be run, a constant, an input from outside,
// an element of another result, or a list or dictionary of futures.
// Unaware of runs, caches and threads. A Spec is immutable once made and may be shared by threads.
// Design: src/README.md
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>

#include <stook/key.hpp>

namespace stook {
class Writer;   // codec.hpp
class Reader;
}  // namespace stook

namespace stook::detail {

// A result of any type. Empty: not there (yet).
using Value = std::shared_ptr<const void>;

// What can be done with results of one C++ type. One object per type and program.
struct ValueType {
  const std::type_info* type;
  std::string signature;                             // of the encoding, e.g. "f64", "vec<i32>"
  void (*encode)(const void* value, Writer& writer);
  Value (*decode)(Reader& reader);                   // throws CacheError on malformed bytes
};

// named: known by its key only, in a process that executes one task of a graph it does not have.
enum class SpecKind : std::uint8_t { task, constant, external, element, list, dict, named };

class Spec {
 public:
  Spec(const Spec&) = delete;
  Spec& operator=(const Spec&) = delete;

  const SpecKind kind;
  const Key key;
  const ValueType& value_type;

 protected:
  Spec(SpecKind spec_kind, const Key& spec_key, const ValueType& type)
      : kind(spec_kind), key(spec_key), value_type(type) {}
  virtual ~Spec() = default;

 private:
  friend class SpecPtr;
  mutable std::atomic<std::uint32_t> references_{0};
};

// A counted reference. Letting go of the first link of a chain of a million frees them one after
// the other, not one inside the other.
class SpecPtr {
 public:
  SpecPtr() = default;
  explicit SpecPtr(const Spec* spec) noexcept : spec_(spec) { retain(); }
  SpecPtr(const SpecPtr& other) noexcept : spec_(other.spec_) { retain(); }
  SpecPtr(SpecPtr&& other) noexcept : spec_(std::exchange(other.spec_, nullptr)) {}
  SpecPtr& operator=(SpecPtr other) noexcept {
    std::swap(spec_, other.spec_);
    return *this;
  }
  ~SpecPtr() {
    if (spec_ != nullptr && spec_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      dispose(spec_);
    }
  }

  [[nodiscard]] const Spec* get() const noexcept { return spec_; }
  const Spec& operator*() const noexcept { return *spec_; }
  const Spec* operator->() const noexcept { return spec_; }
  explicit operator bool() const noexcept { return spec_ != nullptr; }

 private:
  void retain() const noexcept {
    if (spec_ != nullptr) spec_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  static void dispose(const Spec* spec) noexcept;

  const Spec* spec_ = nullptr;
};

}  // namespace stook::detail
