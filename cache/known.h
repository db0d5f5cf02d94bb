// known.h - what this process knows of keys without asking the index: what it published, what it
// read in the tails of other packs, what it looked up.
// Unaware of SQL and packs. Not thread-safe: the store guards it.
//
// An entry holds while the index's states do not move (Shared::changes); then it is dropped,
// except for what the index cannot know yet: those are pinned.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "src/stable_vector.h"
#include "src/store.h"

namespace stook::detail {

struct KnownKey {
  Key key;
  Entry entry;
  std::uint64_t seq = 0;        // of the record the entry speaks of; 0: none
  bool id_only = false;         // nothing but an id is known, given since the last new start
  bool exposed = false;         // ... and a pack holds it
  bool used_today = false;      // the index knows, or has been told, that it was
  bool unsure = false;          // read from the index while a transaction changed it
  bool corrected = false;       // by the transaction that is under way: newer than the index
  bool settled = false;         // the id is the one that the index has
  std::uint32_t class_ref = 0;  // of a record of this process
};

class Known {
 public:
  [[nodiscard]] KnownKey* find(const Key& key);
  // The entry of the key, made if it is not there. References are good until drop_unless().
  KnownKey& at(const Key& key);
  // `pinned` may correct what it keeps.
  void drop_unless(const std::function<bool(KnownKey&)>& pinned);
  [[nodiscard]] std::vector<std::uint64_t> unrecorded_ids();
  void reserve(std::size_t keys);
  [[nodiscard]] std::size_t size() const { return dense_.size(); }

  // All keys of the index are here: what is not found does not exist.
  bool complete = false;

 private:
  [[nodiscard]] std::size_t cell_of(const Key& key) const;
  void rehash(std::size_t cells);

  // Cells hold 1 + the place in dense_: 4 bytes a cell, and entries lie in the order of arrival.
  std::vector<std::uint32_t> cells_ = std::vector<std::uint32_t>(64);
  StableVector<KnownKey> dense_;
};

}  // namespace stook::detail
