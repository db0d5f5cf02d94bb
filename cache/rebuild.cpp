#include "cache/rebuild.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "cache/pack_store.h"
#include "cache/page_check.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

constexpr std::uint32_t kNone = ~0u;

// All that is known of one key, gathered in the order of seq.
struct Found {
  Key key;
  std::uint64_t id = 0;
  std::uint32_t record = kNone;  // the last record: an index of Batch::items
  std::uint64_t seq = 0;         // of that or of what cleared it
  std::uint32_t class_ref = 0;
  Doubt doubt = Doubt::never_ran;
  std::uint64_t cause = 0;
  RecordState state = RecordState::missing;
};

class Rebuild {
 public:
  explicit Rebuild(PackStore& store) : store_(store) {}

  void remember_doubts(Ingest& ingest);
  void read_packs();
  void gather();
  void derive();
  void write(Ingest& ingest);

 private:
  void read_pack(std::uint32_t pack);
  void gather(const Item& item, std::uint32_t at);
  void give_ids();
  Found& found(const Key& key);
  struct Doubted {
    std::uint32_t place;
    Doubt doubt;
    std::uint64_t cause;
  };
  void spread(std::vector<Doubted> work);
  [[nodiscard]] bool good(const Found& up, const Digest& seen) const;
  void write_rows(Ingest& ingest);
  void write_history(Ingest& ingest);

  PackStore& store_;
  Batch batch_;
  std::vector<PackMark> marks_;
  std::vector<Found> found_;
  std::unordered_map<Key, std::uint32_t> places_;
  std::unordered_map<std::uint32_t, std::uint64_t> class_cleared_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> edges_;  // up and down, places in found_
  struct OldDoubt {
    Key key;
    std::uint64_t seq;
    Doubt doubt;
    std::uint64_t cause;
  };
  std::vector<OldDoubt> old_doubts_;
};

// Not all of them follow from the packs: a program whose run is under way has another version of a
// class. A doubt too many costs a look at what is upstream, one too few a wrong answer.
void Rebuild::remember_doubts(Ingest& ingest) {
  if (STOOK_MUTANT("keep-doubts")) return;
  try {
    ingest.rows.for_each([&](const Row& row) {
      const Doubt doubt = row.entry.doubt;
      if (doubt == Doubt::upstream_cleared || doubt == Doubt::upstream_changed ||
          doubt == Doubt::version_changed) {
        old_doubts_.push_back({row.key, row.seq, doubt, row.entry.cause});
      }
    });
  } catch (const DatabaseError& error) {
    if (!error.damaged()) throw;  // it is made anew because of that
  }
}

void Rebuild::read_packs() {
  Counters least;
  for (const std::uint32_t pack : store_.packs().list()) {
    least.next_pack = std::max(least.next_pack, pack + 1);  // whatever can be read of it
    read_pack(pack);
  }
  for (const PackMark& mark : marks_) least.next_seq = std::max(least.next_seq, mark.last_seq + 1);
  for (const Item& item : batch_.items) least.next_id = std::max(least.next_id, item.id + 1);
  store_.shared().raise(least);
}

void Rebuild::read_pack(std::uint32_t pack) {
  const auto path = store_.packs().path_of(pack);
  std::uint64_t size = store_.packs().size_of(pack);
  for (const Shared::PackLength& live : store_.shared().packs()) {
    if (live.number == pack && live.alive && !STOOK_MUTANT("living-tail"))
      size = live.length;  // the rest is being written
  }
  PackMark mark{pack, size, 0, false};
  Packs::Visitor visitor;
  visitor.frame = [&](const Frame& frame, std::uint64_t offset, std::uint64_t length) {
    add_frame(batch_, frame, store_.names().ref(frame.class_name), {pack, offset}, length);
    mark.last_seq = std::max(mark.last_seq, frame.seq);
  };
  visitor.damage = [&](std::uint64_t offset, std::uint64_t length) {
    store_.warn()("pack " + path.string() + ": " + std::to_string(length) + " damaged bytes at " +
                  std::to_string(offset) + " are ignored");
  };
  // What only a later version can read is for its programs to bring in.
  visitor.unknown = [&](std::uint64_t offset) {
    if (offset < mark.indexed) store_.warn()(store_.packs().about_unknown(pack, offset));
    mark.indexed = std::min(mark.indexed, offset);
  };
  if (size == 0) return;  // a living process has created it and not written yet
  const auto scanned = store_.packs().scan(pack, 0, size, visitor);
  if (!scanned) store_.warn()(scanned.reason());
  if (!scanned && store_.packs().is_foreign(pack)) return;
  marks_.push_back(mark);
}

Found& Rebuild::found(const Key& key) {
  const auto [at, is_new] = places_.try_emplace(key, static_cast<std::uint32_t>(found_.size()));
  if (is_new) found_.emplace_back().key = key;
  return found_[at->second];
}

void Rebuild::gather() {
  std::vector<std::uint32_t> order(batch_.items.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return batch_.items[a].seq < batch_.items[b].seq;
  });
  places_.reserve(order.size());
  for (const std::uint32_t at : order) gather(batch_.items[at], at);
  give_ids();
}

void Rebuild::gather(const Item& item, std::uint32_t at) {
  if (item.kind == ItemKind::cleared_class) {
    class_cleared_[item.class_ref] = item.seq;
    return;
  }
  if (item.kind == ItemKind::cleared_key || item.kind == ItemKind::damaged) {
    if (!places_.contains(item.key)) return;
    Found& key = found(item.key);
    const bool cleared = item.kind == ItemKind::cleared_key;
    if (key.record != kNone) key.doubt = cleared ? Doubt::cleared : Doubt::damaged;
    key.seq = item.seq;
    return;
  }
  Found& key = found(item.key);
  const bool given = item.kind == ItemKind::given;
  if (!given || key.record == kNone || STOOK_MUTANT("given-is-no-record")) {
    key.class_ref = item.class_ref;
    key.seq = item.seq;  // of the record, where there is one: a clear may lie between the two
  }
  // A key that was executed while the index could not be read may have got another id: the one of
  // the record that counts names its directory.
  if (key.id == 0 || (!given && !STOOK_MUTANT("last-id"))) key.id = item.id;
  if (given) return;
  key.record = at;
  key.doubt = Doubt::none;
}

// An id belongs to one key. Two keys with one id is what only damage can bring about.
void Rebuild::give_ids() {
  std::unordered_set<std::uint64_t> given;
  given.reserve(found_.size());
  for (Found& key : found_) {
    if (key.id == 0 || (!given.insert(key.id).second && !STOOK_MUTANT("one-key-an-id"))) {
      key.id = store_.shared().take_id();
      given.insert(key.id);
    }
  }
}

bool Rebuild::good(const Found& up, const Digest& seen) const {
  if (up.record == kNone || batch_.items[up.record].digest != seen) return false;
  return up.state == RecordState::fresh ||
         (up.state == RecordState::missing && up.doubt == Doubt::not_kept);
}

// All that is there is fresh until something it was made of is found not to be; doubt then spreads
// to the dependents.
void Rebuild::derive() {
  for (Found& key : found_) {
    const auto cleared = class_cleared_.find(key.class_ref);
    if (cleared != class_cleared_.end() && cleared->second > key.seq) {
      if (key.record != kNone) key.doubt = Doubt::cleared;
      key.seq = cleared->second;
    }
    if (key.record == kNone || key.doubt != Doubt::none) continue;
    const bool kept = batch_.items[key.record].record != RecordKind::transient;
    key.state = kept ? RecordState::fresh : RecordState::missing;
    key.doubt = kept ? Doubt::none : Doubt::not_kept;
  }
  std::vector<Doubted> work;
  const auto count = static_cast<std::uint32_t>(found_.size());  // those found below have none
  for (std::uint32_t down = 0; down < count; ++down) {
    if (found_[down].record == kNone) continue;
    const Item item = batch_.items[found_[down].record];
    for (const UpstreamSeen& seen : batch_.upstream_of(item)) {
      if (is_constant(seen)) continue;
      Found& up = found(seen.key);
      if (up.id == 0) up.id = store_.shared().take_id();
      edges_.emplace_back(places_[seen.key], down);
      if (!good(up, seen.digest)) work.push_back({down, Doubt::upstream_changed, up.id});
    }
  }
  for (const OldDoubt& old : old_doubts_) {
    const auto at = places_.find(old.key);
    if (at == places_.end() || found_[at->second].seq != old.seq) continue;
    work.push_back({at->second, old.doubt, old.cause});
  }
  std::sort(edges_.begin(), edges_.end());
  spread(std::move(work));
}

void Rebuild::spread(std::vector<Doubted> work) {
  while (!work.empty()) {
    const Doubted now = work.back();
    work.pop_back();
    Found& key = found_[now.place];
    if (key.state == RecordState::suspect) continue;
    if (key.state == RecordState::missing && key.doubt != Doubt::not_kept) continue;
    if (key.state == RecordState::fresh) key.state = RecordState::suspect;
    key.doubt = now.doubt;
    key.cause = now.cause;
    auto edge = std::lower_bound(edges_.begin(), edges_.end(), std::pair{now.place, 0u});
    for (; edge != edges_.end() && edge->first == now.place; ++edge) {
      work.push_back({edge->second, Doubt::upstream_changed, now.cause});
    }
  }
}

void Rebuild::write(Ingest& ingest) {
  ingest.rows.erase_all();
  ingest.edges.erase_all();
  ingest.externals.erase_all();
  ingest.packs.erase_all();
  ingest.classes.reset_all();
  write_history(ingest);
  write_rows(ingest);
  for (const PackMark& mark : marks_) ingest.packs.put(mark);
}

void Rebuild::write_history(Ingest& ingest) {
  std::unordered_map<std::uint32_t, ClassHistory> sums;
  for (const Item& item : batch_.items) {
    if (item.kind != ItemKind::record || item.record == RecordKind::external) continue;
    ClassHistory& sum = sums[item.class_ref];
    ++sum.records;
    sum.seconds += static_cast<double>(item.seconds);
  }
  for (const auto& [ref, sum] : sums) {
    ingest.classes.add_history(ingest.classes.find_or_add(store_.names().name(ref)).id, sum.records,
                               sum.seconds);
  }
  for (const auto& [ref, seq] : class_cleared_) {
    ingest.classes.set_cleared(ingest.classes.find_or_add(store_.names().name(ref)).id, seq);
  }
}

void Rebuild::write_rows(Ingest& ingest) {
  std::unordered_map<std::uint32_t, std::uint64_t> class_ids;
  const auto class_id = [&](std::uint32_t ref) {
    auto [at, is_new] = class_ids.try_emplace(ref, 0);
    if (is_new) at->second = ingest.classes.find_or_add(store_.names().name(ref)).id;
    return at->second;
  };
  const std::int64_t day = STOOK_MUTANT("rebuilt-is-used") ? 0 : today();
  std::vector<std::uint32_t> order(found_.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return found_[a].id < found_[b].id; });
  for (const std::uint32_t place : order) {
    const Found& key = found_[place];
    Row row;
    row.key = key.key;
    row.seq = key.seq;
    row.entry.id = key.id;
    row.used = day;  // or collect() would take all of it for unused
    if (key.record != kNone) {
      const Item& item = batch_.items[key.record];
      row.entry = entry_of(item);
      row.entry.id = key.id;
      row.kind = item.record;
      row.version = item.version;
      row.bytes = item.length + item.bytes;
      row.class_id = class_id(key.class_ref);
      if (item.record == RecordKind::external && key.state != RecordState::missing) {
        const ExternalText& text = batch_.externals[item.external];
        ingest.externals.put({key.id, row.class_id, text.arguments, text.fingerprint});
      }
    }
    row.entry.state = key.state;
    row.entry.doubt = key.doubt;
    row.entry.cause = key.cause;
    ingest.rows.insert(row);
  }
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    const auto signed_order = [](const Key& k) {
      return std::pair{static_cast<std::int64_t>(k.high), static_cast<std::int64_t>(k.low)};
    };
    return signed_order(found_[a].key) < signed_order(found_[b].key);
  });
  for (const std::uint32_t place : order) {
    (void)ingest.rows.insert_key(found_[place].key, found_[place].id);
  }
  std::vector<Edge> edges;
  edges.reserve(edges_.size());
  for (const auto& [up, down] : edges_) edges.push_back({found_[up].id, found_[down].id});
  std::sort(edges.begin(), edges.end());
  for (const Edge& edge : edges) ingest.edges.insert(edge);
}

std::string why_not_ours(std::int64_t version) {
  if (version == kSchemaVersion) return " is another cache's, or was altered";
  return " has version " + std::to_string(version) + ", this program uses version " +
         std::to_string(kSchemaVersion);
}

bool has_packs(const Layout& layout) { return !Packs(layout.packs).list().empty(); }

}  // namespace

void remove_index(const Layout& layout) {
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    unlink((layout.index.string() + suffix).c_str());
  }
  unlink(layout.rebuild.c_str());
}

// Nothing is synced while tables are made (set_up_writer()). Later pages come by checkpoints, which
// sync the file.
void check_young(const Layout& layout, Database& database) {
  constexpr std::uintmax_t kYoung = 32 * std::uintmax_t{kPageBytes};
  std::error_code error;
  if (std::filesystem::file_size(layout.index, error) > kYoung || STOOK_MUTANT("young-index")) {
    return;
  }
  for (const char* root :
       {"SELECT 1 FROM records LIMIT 1", "SELECT 1 FROM keys LIMIT 1",
        "SELECT 1 FROM edges LIMIT 1", "SELECT 1 FROM externals LIMIT 1",
        "SELECT checked FROM classes LIMIT 1", "SELECT id FROM classes ORDER BY name LIMIT 1"}) {
    (void)database.query_integer(root);
  }
}

bool index_is_usable(const Layout& layout, const Warn& warn) {
  std::error_code error;
  const bool there = std::filesystem::exists(layout.index, error);
  if (error) throw_cache_error("look at", layout.index, error.value());
  if (!there) {
    if (!STOOK_MUTANT("stray-log"))
      remove_index(layout);  // a log without its file would be taken for another one's
    return !has_packs(layout);
  }
  try {
    if (!STOOK_MUTANT("rebuild-wanted") && std::filesystem::exists(layout.rebuild, error)) {
      throw CacheError("the index " + layout.index.string() + " was found damaged");
    }
    if (!STOOK_MUTANT("check-log") && !check_log(layout.index.string() + "-wal")) {
      throw CacheError("the log of the index " + layout.index.string() + " is damaged");
    }
    Database database(layout.index, Database::Mode::write);
    if (has_tables(database, layout.number) && has_only_own_tables(database)) {
      (void)database.query_integer("SELECT count(*) FROM packs");
      check_young(layout, database);
      return true;
    }
    warn("the index " + layout.index.string() + why_not_ours(schema_version(database)) +
         "; it is rebuilt");
  } catch (const DatabaseError& error) {
    if (!error.damaged()) throw;  // no descriptor is left, say: that is nothing against the index
    const std::int64_t version = schema_version_in(layout.index);
    const bool is_other = version != 0 && version != kSchemaVersion;
    warn((is_other ? "the index " + layout.index.string() + why_not_ours(version)
                   : std::string(error.what())) +
         "; it is rebuilt from the packs");
  } catch (const CacheError& damage) {
    warn(std::string(damage.what()) + "; it is rebuilt from the packs");
  }
  remove_index(layout);
  return false;
}

void request_rebuild(const Layout& layout) { (void)os_open(layout.rebuild, O_CREAT | O_WRONLY); }

void rebuild(PackStore& store) {
  store.indexer().exclusively([&](Indexer::Transaction& transaction) {
    Rebuild work(store);
    work.remember_doubts(transaction.ingest);
    work.read_packs();
    work.gather();
    work.derive();
    work.write(transaction.ingest);
    transaction.outcome.states_moved = true;
  });
}

}  // namespace stook::detail
