#include "cache/view.h"

#include <algorithm>
#include <chrono>

#include "src/mutant.h"

namespace stook::detail {
namespace {

constexpr std::uint64_t kFewQueries = 1000;

// A long-lived process would else note the same records after every new start.
void drop_doubles(std::vector<std::uint64_t>& ids, std::size_t& most) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  most = std::max(most, 2 * ids.size());
}

}  // namespace

std::int64_t today() {
  using Days = std::chrono::duration<std::int64_t, std::ratio<86400>>;
  return std::chrono::floor<Days>(std::chrono::system_clock::now()).time_since_epoch().count();
}

Entry entry_of(const Item& item) {
  Entry entry;
  entry.id = item.id;
  entry.state = item.record == RecordKind::transient ? RecordState::missing : RecordState::fresh;
  entry.doubt = item.record == RecordKind::transient ? Doubt::not_kept : Doubt::none;
  entry.has_directory = item.has_directory;
  entry.digest = item.digest;
  entry.pack = item.pack;
  entry.offset = item.offset;
  entry.seconds = item.seconds;
  return entry;
}

bool is_good_for(const Entry& upstream, const Digest& seen) {
  if (upstream.digest != seen) return false;
  return upstream.state == RecordState::fresh ||
         (upstream.state == RecordState::missing && upstream.doubt == Doubt::not_kept);
}

View::Tables::Tables(const Layout& layout)
    : database(layout.index, Database::Mode::read), rows(database), classes(database),
      externals(database), packs(database) {
  set_up_reader(database);
  const std::int64_t version = schema_version(database);
  if (!STOOK_MUTANT("readers-version") && version != 0 && version != kSchemaVersion) {
    throw CacheError("open the cache at " + layout.root.string() +
                     ": a program that has it open uses index version " + std::to_string(version) +
                     ", this one version " + std::to_string(kSchemaVersion) +
                     "; wait for it to end, or name another directory with --cache");
  }
  if (!STOOK_MUTANT("readers-index") && !has_tables(database, layout.number)) {
    throw DatabaseError("the index " + layout.index.string() + " is another cache's",
                        DatabaseError::kDamaged);
  }
}

View::View(const Layout& layout, Shared& shared, Packs& packs, ClassNames& names, Warn warn)
    : layout_(layout), shared_(shared), packs_(packs), names_(names), warn_(std::move(warn)) {}

View::~View() = default;

View::Tables& View::tables() {
  if (!tables_) tables_ = std::make_unique<Tables>(layout_);
  return *tables_;
}

void View::read(const std::function<void(Tables&)>& use) {
  const std::lock_guard reading(reading_);
  const ReadTransaction transaction(tables().database);
  use(tables());
}

void View::disconnect() {
  const std::lock_guard reading(reading_);
  tables_.reset();
  seen_change_ = ~0ull;
}

// --- Answering -------------------------------------------------------------------------------

void View::lookup(std::span<const Key> keys, std::span<Entry> entries) {
  refresh();
  std::vector<std::size_t> missing;
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (KnownKey* known = known_.find(keys[i]); known != nullptr) {
        entries[i] = answer(*known);
      } else if (known_.complete) {
        entries[i] = Entry{};
      } else {
        missing.push_back(i);
      }
    }
  }
  if (!missing.empty()) query(keys, entries, missing);
}

void View::query(std::span<const Key> keys, std::span<Entry> entries,
                 std::span<const std::size_t> missing) {
  const std::lock_guard reading(reading_);
  const ReadTransaction transaction(tables().database);
  queried_ += missing.size();
  if (queried_ > std::max(kFewQueries, rows_ / 10)) load_all(tables());
  std::vector<std::size_t> order(missing.begin(), missing.end());
  // In the order of the index each page is visited once.
  const auto before = [&](std::size_t a, std::size_t b) { return keys[a] < keys[b]; };
  if (order.size() > 1) std::sort(order.begin(), order.end(), before);
  for (const std::size_t i : order) {
    std::unique_lock lock(mutex_);
    if (!known_.complete && known_.find(keys[i]) == nullptr) {
      lock.unlock();
      const auto row = tables().rows.find(keys[i]);
      lock.lock();
      KnownKey& known = known_.at(keys[i]);
      if (row) take_row(known, *row);
    }
    KnownKey* known = known_.find(keys[i]);
    entries[i] = known != nullptr ? answer(*known) : Entry{};
  }
}

Entry View::answer(KnownKey& known) {
  if (!known.used_today && known.entry.state == RecordState::fresh) {
    known.used_today = true;
    used_.push_back(known.entry.id);
    if (used_.size() > most_used_) drop_doubles(used_, most_used_);
  }
  return known.entry;
}

std::vector<std::uint64_t> View::take_used() {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint64_t> used;
  used.swap(used_);
  drop_doubles(used, most_used_);
  return used;
}

void View::load_all(Tables& tables) {
  const std::lock_guard lock(mutex_);
  known_.reserve(known_.size() + rows_);
  tables.rows.for_each([&](const Row& row) { take_row(known_.at(row.key), row); });
  known_.complete = true;
}

// What a transaction of this process has corrected is newer than the row that is still seen, of the
// same record.
void View::take_row(KnownKey& known, const Row& row) {
  known.entry.id = row.entry.id;
  known.settled = true;
  if (row.seq < known.seq || (moving_ && row.seq == known.seq && row.seq != 0)) return;
  known.entry = row.entry;
  known.seq = row.seq;
  known.used_today = row.used >= today_;
  known.unsure = moving_ && !STOOK_MUTANT("unsure-rows");
}

Entry View::current(const Key& key) {
  Entry entry;
  lookup({&key, 1}, {&entry, 1});
  return entry;
}

std::uint64_t View::id_of(const Key& key) {
  if (const Entry entry = current(key); entry.id != 0) return entry.id;
  const std::lock_guard lock(mutex_);
  return with_id(known_.at(key)).entry.id;
}

Entry View::claimed(const Key& key, bool& is_new) {
  refresh();
  {
    const std::lock_guard lock(mutex_);
    KnownKey* known = known_.find(key);
    if (known == nullptr && known_.complete) known = &known_.at(key);
    if (known != nullptr) {
      const Entry entry = answer(with_id(*known));
      is_new = known->id_only && !known->exposed;
      return entry;
    }
  }
  Entry entry;
  const std::size_t at = 0;
  query({&key, 1}, {&entry, 1}, {&at, 1});
  // Another thread may have dropped what is known meanwhile; what was found has its id.
  if (entry.id != 0 && !STOOK_MUTANT("claimed-id")) return entry;
  is_new = true;
  const std::lock_guard lock(mutex_);
  return with_id(known_.at(key)).entry;
}

KnownKey& View::with_id(KnownKey& known) {
  if (known.entry.id == 0) {
    known.entry.id = shared_.take_id();
    known.id_only = true;
  }
  return known;
}

// --- Being told ------------------------------------------------------------------------------

// A change that is noticed after this finds the record and looks whether it was overtaken. One that
// was noticed before, but after the record had got its number, could not: it is looked at first, or
// other threads would see for a moment what has been cleared.
void View::record_own(const Item& item, std::uint64_t change) {
  own_pack_ = item.pack;
  {
    const std::lock_guard lock(mutex_);
    if (seen_change_ == change || STOOK_MUTANT("overtaken")) return enter(item);
  }
  const std::lock_guard reading(reading_);
  bool overtaken = false;
  try {
    overtaken = take_overtaken(item);
  } catch (...) {
    record(item);
    throw;
  }
  if (!overtaken) record(item);
}

void View::record(const Item& item) {
  const std::lock_guard lock(mutex_);
  enter(item);
}

void View::enter(const Item& item) {
  KnownKey& known = known_.at(item.key);
  if (item.seq < known.seq) return;
  // Known already, and perhaps doubted since.
  if (item.seq == known.seq && !STOOK_MUTANT("known-once")) return;
  // A key's id never changes; one that was only thought of gives way to one that was recorded.
  const bool recorded = known.settled || (known.entry.id != 0 && (!known.id_only || known.exposed));
  const std::uint64_t id = recorded ? known.entry.id : item.id;
  if (item.kind == ItemKind::given) {
    known.id_only = known.id_only || known.entry.id == 0;
    known.exposed = true;
    known.entry.id = id;
    return;
  }
  known.entry = entry_of(item);
  known.entry.id = id;
  known.class_ref = item.class_ref;
  known.seq = item.seq;
  known.used_today = true;  // its row says so
  known.id_only = known.unsure = false;
}

std::vector<std::uint64_t> View::unrecorded_ids() {
  const std::lock_guard lock(mutex_);
  return known_.unrecorded_ids();
}

bool View::must_expose(const Key& key) {
  const std::lock_guard lock(mutex_);
  const KnownKey* known = known_.find(key);
  return known == nullptr || known->entry.id == 0 || (known->id_only && !known->exposed);
}

void View::confirm(std::span<const Key> keys) {
  const std::lock_guard lock(mutex_);
  for (const Key& key : keys) {
    KnownKey* known = known_.find(key);
    if (known == nullptr || known->entry.state != RecordState::suspect) continue;
    known->entry.state = RecordState::fresh;
    known->entry.doubt = Doubt::none;
    known->entry.cause = 0;
  }
}

bool View::peek(const Key& key, Entry& entry, bool& settled) {
  const std::lock_guard lock(mutex_);
  const KnownKey* known = sure(key);
  if (known == nullptr) return false;
  entry = known->entry;
  settled = known->settled;
  return true;
}

const KnownKey* View::sure(const Key& key) {
  const KnownKey* known = known_.find(key);
  return known == nullptr || known->entry.id == 0 || known->unsure ? nullptr : known;
}

void View::remember(const Key& key, const Entry& entry, std::uint64_t seq) {
  const std::lock_guard lock(mutex_);
  KnownKey& known = known_.at(key);
  known.entry.id = entry.id;
  known.settled = true;
  if (seq < known.seq) return;
  known.entry = entry;
  known.seq = seq;
  known.unsure = false;
}

void View::correct_id(const Key& key, std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  KnownKey& known = known_.at(key);
  known.entry.id = id;
  known.id_only = false;
  known.settled = true;
}

void View::settle(std::span<const Id> ids) {
  constexpr std::size_t kAtOnce = 256;  // others wait
  for (std::size_t at = 0; at < ids.size(); at += kAtOnce) {
    const std::lock_guard lock(mutex_);
    for (const Id& settled : ids.subspan(at, std::min(kAtOnce, ids.size() - at))) {
      KnownKey* const known = known_.find(settled.key);
      if (known == nullptr) continue;
      known->entry.id = settled.id;
      known->settled = true;
    }
  }
}

void View::correct_state(const Key& key, const Entry& entry, std::uint64_t seq) {
  const std::lock_guard lock(mutex_);
  moving_ = true;
  if (KnownKey* const known = correct(key, entry, seq)) known->corrected = true;
}

void View::end_change() {
  const std::lock_guard lock(mutex_);
  moving_ = false;
}

void View::give_up_change() {
  const std::lock_guard lock(mutex_);
  moving_ = false;
  seen_change_ = ~0ull;
}

KnownKey* View::correct(const Key& key, const Entry& entry, std::uint64_t seq) {
  KnownKey* known = known_.find(key);
  if (known == nullptr || known->seq > seq) return nullptr;
  known->entry.state = entry.state;
  known->entry.doubt = entry.doubt;
  known->entry.cause = entry.cause;
  return known;
}

}  // namespace stook::detail
