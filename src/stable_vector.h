// stable_vector.h - a sequence whose elements stay where they are while it grows: chunks of about
// 64 KiB, so that a million elements cost neither copies nor an allocation each.
// Not thread-safe.
#pragma once

#include <bit>
#include <cstddef>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace stook::detail {

template <class T> class StableVector {
 public:
  StableVector() = default;
  StableVector(StableVector&& other) noexcept
      : chunks_(std::exchange(other.chunks_, {})), size_(std::exchange(other.size_, 0)) {}
  StableVector& operator=(StableVector&& other) noexcept {
    std::swap(chunks_, other.chunks_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~StableVector() {
    for (std::size_t i = 0; i < size_; ++i) std::destroy_at(&(*this)[i]);
    for (T* chunk : chunks_) std::allocator<T>().deallocate(chunk, chunk_size);
  }

  template <class... Args> T& emplace_back(Args&&... args) {
    if (size_ == chunks_.size() * chunk_size) {
      chunks_.push_back(std::allocator<T>().allocate(chunk_size));
    }
    T* const place = chunks_[size_ / chunk_size] + size_ % chunk_size;
    std::construct_at(place, std::forward<Args>(args)...);
    ++size_;
    return *place;
  }

  [[nodiscard]] T& operator[](std::size_t i) { return chunks_[i / chunk_size][i % chunk_size]; }
  [[nodiscard]] const T& operator[](std::size_t i) const {
    return chunks_[i / chunk_size][i % chunk_size];
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] T& back() { return (*this)[size_ - 1]; }

  template <class Self> class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using reference = decltype(std::declval<Self&>()[0]);
    using pointer = std::remove_reference_t<reference>*;

    Iterator() = default;
    Iterator(Self& self, std::size_t at) : self_(&self), at_(at) {}
    reference operator*() const { return (*self_)[at_]; }
    pointer operator->() const { return &**this; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++at_;
      return before;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    Self* self_ = nullptr;
    std::size_t at_ = 0;
  };
  [[nodiscard]] auto begin() { return Iterator<StableVector>(*this, 0); }
  [[nodiscard]] auto end() { return Iterator<StableVector>(*this, size_); }
  [[nodiscard]] auto begin() const { return Iterator<const StableVector>(*this, 0); }
  [[nodiscard]] auto end() const { return Iterator<const StableVector>(*this, size_); }

 private:
  static constexpr std::size_t chunk_size = std::bit_floor(65536 / sizeof(T));  // a power of two

  std::vector<T*> chunks_;
  std::size_t size_ = 0;
};

}  // namespace stook::detail
