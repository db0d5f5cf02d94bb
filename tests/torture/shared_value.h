// shared_value.h - memory that a child shares with its parent, and that outlives it.
#pragma once

#include <sys/mman.h>

#include <new>
#include <stdexcept>

namespace stook::torture {

template <class T> class SharedValue {
 public:
  SharedValue() {
    void* const page =
        mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) throw std::runtime_error("no memory to share");
    value_ = new (page) T();
  }
  ~SharedValue() { munmap(value_, sizeof(T)); }
  SharedValue(const SharedValue&) = delete;
  SharedValue& operator=(const SharedValue&) = delete;
  T& operator*() const { return *value_; }
  T* operator->() const { return value_; }

 private:
  T* value_;
};

}  // namespace stook::torture
