// view.h - what is known of keys in this process, and how it is kept as new as the index and the
// packs of other processes.
// Thread-safe. Lock order: reading_ before mutex_; both after the index's write lock.
//
// A key is answered from memory (cache/known.h) or with one indexed query. Once more than a tenth
// of the rows were asked for one by one, all are loaded with a single scan: then what is not in
// memory does not exist.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "cache/class_names.h"
#include "cache/class_table.h"
#include "cache/fault.h"
#include "cache/item.h"
#include "cache/known.h"
#include "cache/layout.h"
#include "cache/packs.h"
#include "cache/rows.h"
#include "cache/shared.h"

namespace stook::detail {

class View {
 public:
  View(const Layout& layout, Shared& shared, Packs& packs, ClassNames& names, Warn warn);
  ~View();

  // Throws DatabaseError.
  void lookup(std::span<const Key> keys, std::span<Entry> entries);

  // As lookup, of one key that is most likely known and has most likely not changed.
  [[nodiscard]] Entry current(const Key& key);

  // The id of a key that may have none yet.
  [[nodiscard]] std::uint64_t id_of(const Key& key);
  // What is known of a key that has just been claimed; it has an id afterwards. `is_new`: one that
  // nobody has been shown.
  [[nodiscard]] Entry claimed(const Key& key, bool& is_new);

  // Ids that this process has given and that no record has yet.
  [[nodiscard]] std::vector<std::uint64_t> unrecorded_ids();

  // Must the id be written down before it is seen outside? Not if that was done.
  [[nodiscard]] bool must_expose(const Key& key);

  // A record or an id was appended to a pack. Older ones than what is known are ignored.
  void record(const Item& item);
  // `change`: the last one of the cache before the record got its number.
  void record_own(const Item& item, std::uint64_t change);
  void confirm(std::span<const Key> keys);

  // --- For the indexer, which holds the write lock.
  // `settled`: the id is the one that the index has. Two processes may have thought of different
  // ones for an input, which nobody claims.
  [[nodiscard]] bool peek(const Key& key, Entry& entry, bool& settled);
  void remember(const Key& key, const Entry& entry, std::uint64_t seq);
  void correct_id(const Key& key, std::uint64_t id);
  struct Id {
    Key key;
    std::uint64_t id;
  };
  void settle(std::span<const Id> ids);  // new in the index
  // What is known of a record with this seq or an older one is in this state.
  void correct_state(const Key& key, const Entry& entry, std::uint64_t seq);
  void end_change();                  // what was corrected is committed
  void give_up_change();              // it is not, nor what was settled
  void refresh();                     // drops what moved, reads what others appended
  void follow(std::uint64_t change);  // this process made the change, and took part in it

  // Runs `use` with the reading connection's tables, in one read transaction.
  struct Tables {
    Database database;
    Rows rows;
    ClassTable classes;
    ExternalTable externals;
    PackTable packs;
    explicit Tables(const Layout& layout);
  };
  void read(const std::function<void(Tables&)>& use);
  void disconnect();

  // Drops what the index knows as well, if that is much: a process that is always given new keys
  // must not grow. For a moment when few are asked for.
  void forget();

  // Ids that answered and of which the index does not know yet that they were used today.
  [[nodiscard]] std::vector<std::uint64_t> take_used();

 private:
  using Positions = std::map<std::uint32_t, std::uint64_t>;  // by pack: it was read up to here
  void catch_up(bool anew, std::uint64_t change);
  [[nodiscard]] bool is_pinned(KnownKey& known, std::uint64_t own_indexed,
                               std::uint64_t last_clear);
  [[nodiscard]] std::uint64_t cleared_seq(std::uint32_t class_ref);
  [[nodiscard]] Batch read_tails(const Positions& from, Positions& read);
  [[nodiscard]] bool is_outdated(const Frame& frame);
  bool read_tail(const Shared::PackLength& pack, std::uint64_t position, Batch& batch);
  void query(std::span<const Key> keys, std::span<Entry> entries,
             std::span<const std::size_t> missing);
  void load_all(Tables& tables);
  [[nodiscard]] bool take_overtaken(const Item& item);  // REQUIRES: reading_ is held
  // The next eight REQUIRE that mutex_ is held.
  void enter(const Item& item);
  void enter_of_another(const Batch& batch, const Item& item);
  [[nodiscard]] bool is_good(const UpstreamSeen& seen);
  const KnownKey* sure(const Key& key);  // null: what is known of it is no ground for others
  void take_row(KnownKey& known, const Row& row);
  KnownKey* correct(const Key& key, const Entry& entry, std::uint64_t seq);  // null: it did not
  Entry answer(KnownKey& known);
  KnownKey& with_id(KnownKey& known);
  [[nodiscard]] Tables& tables();

  const Layout& layout_;
  Shared& shared_;
  Packs& packs_;
  ClassNames& names_;
  const Warn warn_;

  std::mutex reading_;              // the connection and the positions
  std::unique_ptr<Tables> tables_;  // opened when first needed
  Positions positions_;             // of other packs
  std::atomic<std::uint64_t> seen_growth_{~0ull};
  std::atomic<std::uint64_t> seen_change_{~0ull};

  std::atomic<std::uint32_t> own_pack_{0};

  std::mutex mutex_;
  Known known_;  // guarded by mutex_
  // States were corrected that the index shows to readers only when they are committed. Guarded by
  // mutex_.
  bool moving_ = false;
  std::vector<std::uint64_t> used_;  // guarded by mutex_
  std::size_t most_used_ = 1024;     // so many before those that are there twice go
  std::uint64_t rows_ = 0;           // about as many are in the index
  std::int64_t today_ = 0;           // at the last new start
  std::uint64_t queried_ = 0;        // keys asked for since the last new start
};

// Days since 1970.
[[nodiscard]] std::int64_t today();

// What a record answers with before anybody doubted it.
[[nodiscard]] Entry entry_of(const Item& item);

// Is what was made of an upstream result, and saw this digest, right if that is its entry now?
[[nodiscard]] bool is_good_for(const Entry& upstream, const Digest& seen);

}  // namespace stook::detail
