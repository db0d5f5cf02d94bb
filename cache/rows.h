// rows.h - the tables `records` and `keys`: what the index knows of each key.
// Unaware of edges and of what a state means. Belongs to one connection; not thread-safe.
#pragma once

#include <functional>
#include <optional>

#include "cache/database.h"
#include "src/store.h"

namespace stook::detail {

struct Row {
  Key key;
  Entry entry;
  std::uint64_t class_id = 0;
  std::uint32_t version = 0;
  RecordKind kind = RecordKind::result;
  std::uint64_t bytes = 0;  // of the frame, and of the object if there is one
  std::uint64_t seq = 0;    // of the record, or of what cleared it
  std::int64_t used = 0;    // the day of its last use, since 1970
};

class Rows {
 public:
  explicit Rows(Database& database);

  [[nodiscard]] std::optional<Row> find(const Key& key);
  [[nodiscard]] std::optional<Row> find_id(std::uint64_t id);
  void for_each(const std::function<void(const Row&)>& visit);
  void for_each_of(std::uint64_t class_id, const std::function<bool(const Row&)>& visit);
  [[nodiscard]] std::uint64_t last_id();  // 0: there are no rows; about how many there are

  // False: the key is there already.
  [[nodiscard]] bool insert_key(const Key& key, std::uint64_t id);
  void insert(const Row& row);
  void update(const Row& row);
  void set_state(std::uint64_t id, RecordState state, Doubt doubt, std::uint64_t cause);
  void clear(std::uint64_t id, Doubt doubt, std::uint64_t seq);
  void set_used(std::uint64_t id, std::int64_t day);
  void set_place(const Row& row);  // its pack, offset, bytes, kind, state and doubt
  void erase_all();

 private:
  Database& database_;
  Statement find_, find_id_, all_, of_class_, last_id_;
  Statement insert_key_, insert_, update_, set_state_, clear_, set_used_, set_place_;
};

}  // namespace stook::detail
