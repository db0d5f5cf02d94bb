// key_table.h - a map from Key to a 32-bit index, for millions of keys: open addressing, linear
// probing, 20 bytes a slot. Nothing is ever removed.
// Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <stook/key.hpp>

namespace stook::detail {

class KeyTable {
 public:
  static constexpr std::uint32_t none = 0xffffffff;

  KeyTable() : slots_(64) {}

  [[nodiscard]] std::uint32_t find(const Key& key) const {
    return slots_[probe(slots_, key)].index;
  }

  // The index of `key`; `fresh` where it was not there.
  std::uint32_t insert(const Key& key, std::uint32_t fresh) {
    Slot& slot = slots_[probe(slots_, key)];
    if (slot.index != none) return slot.index;
    slot = {key, fresh};
    if (++size_ * 3 > slots_.size() * 2) grow();
    return fresh;
  }

 private:
  struct Slot {
    Key key;
    std::uint32_t index = none;
  };

  static std::size_t probe(const std::vector<Slot>& slots, const Key& key) {
    const std::size_t mask = slots.size() - 1;
    std::size_t at = key.low & mask;
    while (slots[at].index != none && slots[at].key != key) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    constexpr std::size_t small = 1 << 16;  // growing in fewer steps costs little memory there
    std::vector<Slot> larger(slots_.size() * (slots_.size() < small ? 4 : 2));
    for (const Slot& slot : slots_) {
      if (slot.index != none) larger[probe(larger, slot.key)] = slot;
    }
    slots_.swap(larger);
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

}  // namespace stook::detail
