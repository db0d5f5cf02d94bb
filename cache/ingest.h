// ingest.h - brings what was appended to packs into the index: rows, edges, and the states that
// follow from them.
// Unaware of threads and of where batches come from. Not thread-safe; every call happens inside a
// write transaction of `database`.
#pragma once

#include <string>
#include <vector>

#include "cache/class_names.h"
#include "cache/class_table.h"
#include "cache/edges.h"
#include "cache/item.h"
#include "cache/packs.h"
#include "cache/rows.h"
#include "cache/shared.h"
#include "cache/trash.h"
#include "cache/view.h"

namespace stook::detail {

// What happened in one transaction, to be acted upon when it is committed.
struct Outcome {
  Invalidated invalidated;
  bool states_moved = false;  // other than by confirming: everybody's memory is outdated
  bool confirmed = false;
  std::vector<ClearedTask> cleared;  // their directories go, where they have one
};

class Ingest {
 public:
  Ingest(Database& database, ClassNames& names, Packs& packs, Shared& shared, View& view);

  void begin();  // a transaction: others may have changed the classes
  void apply(const Batch& batch, std::span<const Item> items, Outcome& outcome);

  // Was its key, or its class, cleared or published again after this record was begun?
  [[nodiscard]] bool is_overtaken(const Item& item);
  // Dependents of records of this class with other versions become suspect.
  void check_version(std::string_view name, std::uint32_t version, Outcome& outcome);

  Rows rows;
  Edges edges;
  ClassTable classes;
  ExternalTable externals;
  PackTable packs;

 private:
  struct Work;
  struct ClassState {
    bool known = false;
    ClassRow row;
  };
  void apply_records(const Batch& batch, std::span<const Item> items, Outcome& outcome);
  void settle_keys(std::vector<Work>& works);
  void settle_known(Work& work);
  bool settle_states(const Batch& batch, std::vector<Work>& works, Outcome& outcome);
  bool settle_state(const Batch& batch, Work& work);
  std::size_t suspect(std::span<const std::uint64_t> of, Doubt doubt, Outcome& outcome);
  void collect_edges(const Batch& batch, const Work& work, std::vector<Edge>& to);
  void write_rows(std::vector<Work>& works, std::vector<Edge>& new_edges);
  void write_history(std::span<const Work> works);
  void drop_stale_edges(const Batch& batch, const Work& work);
  void apply_clear_key(const Item& item, Outcome& outcome);
  void apply_clear_class(const Item& item, Outcome& outcome);
  void apply_damaged(const Item& item, Outcome& outcome);
  void apply_confirmed(const Item& item, Outcome& outcome);
  void clear_row(const Row& row, std::string_view class_name, std::uint64_t seq, Outcome& outcome);
  Entry upstream(const Key& key);
  void settle_id(const Key& key, Entry& known);
  ClassRow& class_of(std::uint32_t ref);

  ClassNames& names_;
  Packs& pack_files_;
  Shared& shared_;
  View& view_;
  std::vector<ClassState> class_cache_;  // by ClassNames' numbers
  // Of the records that are being applied:
  std::vector<Row> olds_;                    // what the index had of their keys
  std::vector<std::uint64_t> upstream_ids_;  // per Batch::upstream; 0: not looked up yet
};

}  // namespace stook::detail
