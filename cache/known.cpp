#include "cache/known.h"

#include <bit>

namespace stook::detail {

std::size_t Known::cell_of(const Key& key) const {
  const std::size_t mask = cells_.size() - 1;
  std::size_t at = key.low & mask;
  while (cells_[at] != 0 && dense_[cells_[at] - 1].key != key) at = (at + 1) & mask;
  return at;
}

KnownKey* Known::find(const Key& key) {
  const std::uint32_t place = cells_[cell_of(key)];
  return place == 0 ? nullptr : &dense_[place - 1];
}

KnownKey& Known::at(const Key& key) {
  std::size_t cell = cell_of(key);
  if (cells_[cell] != 0) return dense_[cells_[cell] - 1];
  if ((dense_.size() + 1) * 2 > cells_.size()) {
    rehash(cells_.size() * 2);
    cell = cell_of(key);
  }
  dense_.emplace_back().key = key;
  cells_[cell] = static_cast<std::uint32_t>(dense_.size());
  return dense_.back();
}

std::vector<std::uint64_t> Known::unrecorded_ids() {
  std::vector<std::uint64_t> ids;
  for (std::size_t i = 0; i < dense_.size(); ++i) {
    if (dense_[i].id_only) ids.push_back(dense_[i].entry.id);
  }
  return ids;
}

void Known::reserve(std::size_t keys) {
  const std::size_t cells = std::bit_ceil(keys * 2 + 64);
  if (cells > cells_.size()) rehash(cells);
}

void Known::rehash(std::size_t cells) {
  cells_.assign(cells, 0);
  const std::size_t mask = cells - 1;
  for (std::size_t i = 0; i < dense_.size(); ++i) {
    std::size_t at = dense_[i].key.low & mask;
    while (cells_[at] != 0) at = (at + 1) & mask;
    cells_[at] = static_cast<std::uint32_t>(i + 1);
  }
}

void Known::drop_unless(const std::function<bool(KnownKey&)>& pinned) {
  complete = false;
  if (dense_.empty()) return;
  StableVector<KnownKey> kept;
  for (KnownKey& known : dense_) {
    if (pinned(known)) kept.emplace_back() = known;
  }
  dense_ = std::move(kept);
  rehash(std::bit_ceil(dense_.size() * 2 + 64));
}

}  // namespace stook::detail
