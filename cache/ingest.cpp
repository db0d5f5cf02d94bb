#include "cache/ingest.h"

#include <algorithm>
#include <tuple>

#include "src/mutant.h"

namespace stook::detail {
namespace {

// The order of the table `keys`: its columns are signed.
std::pair<std::int64_t, std::int64_t> table_order(const Key& key) {
  return {static_cast<std::int64_t>(key.high), static_cast<std::int64_t>(key.low)};
}

}  // namespace

// A record on its way into the index. There are a hundred thousand of them: kept small.
struct Ingest::Work {
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  const Item* item = nullptr;
  std::uint64_t id = 0;
  std::uint32_t old = none;  // into olds_; none: the key is new
  bool skip = false;         // something newer is there
  bool digest_differs = false;
  bool doubted = false;
  Entry entry;

  [[nodiscard]] bool is_new() const { return old == none; }
};

Ingest::Ingest(Database& database, ClassNames& names, Packs& pack_files, Shared& shared, View& view)
    : rows(database), edges(database), classes(database), externals(database), packs(database),
      names_(names), pack_files_(pack_files), shared_(shared), view_(view) {}

void Ingest::begin() { class_cache_.clear(); }

ClassRow& Ingest::class_of(std::uint32_t ref) {
  if (class_cache_.size() <= ref) class_cache_.resize(ref + 1);
  ClassState& state = class_cache_[ref];
  if (!state.known) {
    state.row = classes.find_or_add(names_.name(ref));
    state.known = true;
  }
  return state.row;
}

void Ingest::apply(const Batch& batch, std::span<const Item> items, Outcome& outcome) {
  const auto is_plain = [](const Item& item) {
    return item.kind == ItemKind::record || item.kind == ItemKind::given;
  };
  upstream_ids_.assign(batch.upstream.size(), 0);
  auto at = items.begin();
  while (at != items.end()) {
    const auto end = std::find_if_not(at, items.end(), is_plain);
    if (at != end) apply_records(batch, {at, end}, outcome);
    if (end == items.end()) return;
    switch (end->kind) {
      case ItemKind::cleared_key: apply_clear_key(*end, outcome); break;
      case ItemKind::cleared_class: apply_clear_class(*end, outcome); break;
      case ItemKind::damaged: apply_damaged(*end, outcome); break;
      default: apply_confirmed(*end, outcome); break;
    }
    at = end + 1;
  }
}

void Ingest::apply_records(const Batch& batch, std::span<const Item> items, Outcome& outcome) {
  std::vector<Work> works;
  works.reserve(items.size());
  for (const Item& item : items) works.emplace_back().item = &item;
  settle_keys(works);
  std::vector<std::uint64_t> differing;
  for (Work& work : works) {
    if (work.skip) continue;
    if (work.item->kind == ItemKind::record) work.entry = entry_of(*work.item);
    work.entry.id = work.id;
    if (work.digest_differs) differing.push_back(work.id);
  }
  // Along the edges as they were: the records of this batch are compared one by one.
  if (!differing.empty()) suspect(differing, Doubt::upstream_changed, outcome);
  // Mostly once: what comes later in the batch is rarely what makes something earlier suspect.
  while (settle_states(batch, works, outcome)) {}
  std::vector<Edge> new_edges;
  for (const Work& work : works) {
    if (work.skip) continue;
    collect_edges(batch, work, new_edges);
    if (!work.is_new()) drop_stale_edges(batch, work);
  }
  write_rows(works, new_edges);
  write_history(works);
  for (const Work& work : works) {
    if (work.skip || work.item->record != RecordKind::external ||
        work.item->kind != ItemKind::record) {
      continue;
    }
    const ExternalText& text = batch.externals[work.item->external];
    externals.put({work.id, class_of(work.item->class_ref).id, text.arguments, text.fingerprint});
  }
}

// Gives each key its row's id, in the order of the table: a page is visited once. What is sorted
// carries what is needed: the records themselves are larger than the processor's cache.
void Ingest::settle_keys(std::vector<Work>& works) {
  struct Sorted {
    std::pair<std::int64_t, std::int64_t> key;
    std::uint64_t seq;
    std::uint64_t id;
    std::size_t at;
  };
  std::vector<Sorted> order;
  order.reserve(works.size());
  std::uint64_t last_id = 0;
  for (std::size_t i = 0; i < works.size(); ++i) {
    Work& work = works[i];
    work.id = work.item->id;
    last_id = std::max(last_id, work.id);
    order.push_back({table_order(work.item->key), work.item->seq, work.id, i});
  }
  shared_.raise_id(last_id + 1);
  std::sort(order.begin(), order.end(), [](const Sorted& a, const Sorted& b) {
    return std::tie(a.key, a.seq) < std::tie(b.key, b.seq);
  });
  olds_.clear();
  std::vector<View::Id> added;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i + 1 < order.size() && order[i + 1].key == order[i].key) {
      works[order[i].at].skip = true;  // superseded within the batch
      continue;
    }
    const Key key{{static_cast<std::uint64_t>(order[i].key.first),
                   static_cast<std::uint64_t>(order[i].key.second)}};
    if (rows.insert_key(key, order[i].id)) {
      added.push_back({key, order[i].id});
    } else {
      settle_known(works[order[i].at]);
    }
  }
  view_.settle(added);
  for (Work& work : works) {
    const Item& item = *work.item;
    if (!work.is_new() || work.skip || item.kind != ItemKind::record) continue;
    if (item.seq >= class_of(item.class_ref).cleared_seq) continue;
    work.skip = true;  // cleared before it was brought in: only the id counts
    Row row;
    row.key = item.key;
    row.entry.id = work.id;
    row.entry.doubt = Doubt::cleared;
    row.entry.has_directory = item.has_directory;
    row.class_id = class_of(item.class_ref).id;
    row.seq = item.seq;
    rows.insert(row);
    view_.remember(row.key, row.entry, row.seq);
  }
}

bool Ingest::is_overtaken(const Item& item) {
  const auto row = rows.find(item.key);
  return (row && row->seq > item.seq) || item.seq < class_of(item.class_ref).cleared_seq;
}

// The key has been seen before.
void Ingest::settle_known(Work& work) {
  const Item& item = *work.item;
  const auto old = rows.find(item.key);
  if (!old) return;  // a key without a row: a damaged index; let the row come back
  work.old = static_cast<std::uint32_t>(olds_.size());
  olds_.push_back(*old);
  work.id = old->entry.id;
  if (work.id != item.id) view_.correct_id(item.key, work.id);
  const bool overtaken = (!STOOK_MUTANT("newer-record") && old->seq >= item.seq) ||
                         item.seq < class_of(item.class_ref).cleared_seq;
  // The view may have taken it for the last word: it was told before the row was found.
  if (overtaken && item.kind == ItemKind::record && !STOOK_MUTANT("overtaken-in-index")) {
    view_.remember(item.key, old->entry, std::max(old->seq, item.seq));
  }
  work.skip = overtaken || item.kind == ItemKind::given;
  work.digest_differs =
      !work.skip && old->entry.digest != item.digest && !old->entry.digest.is_zero();
}

// What is known of an upstream key. One that was never heard of gets an id and a row, so that an
// edge can lead from it.
Entry Ingest::upstream(const Key& key) {
  Entry known;
  bool settled = false;
  if (view_.peek(key, known, settled)) {
    if (!settled && !STOOK_MUTANT("settled-id")) settle_id(key, known);
    return known;
  }
  if (const auto row = rows.find(key)) {
    view_.remember(key, row->entry, row->seq);
    return row->entry;
  }
  Row row;
  row.key = key;
  row.entry.id = shared_.take_id();
  if (rows.insert_key(key, row.entry.id)) rows.insert(row);
  view_.remember(key, row.entry, 0);
  return row.entry;
}

// Edges lead from the id that the index has, whatever this process has thought of.
void Ingest::settle_id(const Key& key, Entry& known) {
  if (const auto row = rows.find(key)) {
    known.id = row->entry.id;
  } else if (rows.insert_key(key, known.id)) {
    Row fresh;
    fresh.key = key;
    fresh.entry.id = known.id;
    rows.insert(fresh);
  }
  view_.correct_id(key, known.id);
}

std::size_t Ingest::suspect(std::span<const std::uint64_t> of, Doubt doubt, Outcome& outcome) {
  const std::size_t count = suspect_dependents(rows, edges, of, doubt, [&](const Row& row) {
    view_.correct_state(row.key, row.entry, row.seq);
    outcome.states_moved = true;
  });
  outcome.invalidated.suspected += count;
  return count;
}

// Doubts records of the batch whose upstreams are not what they saw. True: dependents that were
// there before have become suspect, or records were doubted: others may have to be.
bool Ingest::settle_states(const Batch& batch, std::vector<Work>& works, Outcome& outcome) {
  std::vector<std::uint64_t> doubted;
  for (Work& work : works) {
    if (!work.skip && !work.doubted && settle_state(batch, work)) doubted.push_back(work.id);
  }
  if (doubted.empty()) return false;
  outcome.states_moved = true;
  suspect(doubted, Doubt::upstream_changed, outcome);
  return true;
}

// Made of something that has been cleared or replaced since: right, but not the last word.
bool Ingest::settle_state(const Batch& batch, Work& work) {
  const Item& item = *work.item;
  if (item.kind == ItemKind::given) return false;
  for (std::uint32_t i = 0; i < item.upstream_count; ++i) {
    const UpstreamSeen& seen = batch.upstream[item.upstream + i];
    if (is_constant(seen)) continue;
    const Entry up = upstream(seen.key);
    upstream_ids_[item.upstream + i] = up.id;
    if (STOOK_MUTANT("settle-upstream") || is_good_for(up, seen.digest)) continue;
    if (work.entry.state == RecordState::fresh) work.entry.state = RecordState::suspect;
    work.entry.doubt = Doubt::upstream_changed;
    work.entry.cause = up.id;
    work.doubted = true;
    view_.correct_state(item.key, work.entry, item.seq);
    return true;
  }
  return false;
}

void Ingest::collect_edges(const Batch& batch, const Work& work, std::vector<Edge>& to) {
  const Item& item = *work.item;
  for (std::uint32_t i = 0; i < item.upstream_count; ++i) {
    const UpstreamSeen& seen = batch.upstream[item.upstream + i];
    if (is_constant(seen)) continue;  // nothing can happen to it
    const std::uint64_t known = upstream_ids_[item.upstream + i];
    to.push_back({known != 0 ? known : upstream(seen.key).id, work.id});
  }
}

void Ingest::drop_stale_edges(const Batch& batch, const Work& work) {
  const Entry& old = olds_[work.old].entry;
  if (old.pack == 0) return;
  const auto last = pack_files_.try_read(old.pack, old.offset);
  if (!last) return;  // stale edges only make for more suspects
  const auto now = batch.upstream_of(*work.item);
  if (last->frame.upstream_count() == 0) return;
  std::vector<Key> kept;
  for (const UpstreamSeen& seen : now) kept.push_back(seen.key);
  std::sort(kept.begin(), kept.end());
  for (std::size_t i = 0; i < last->frame.upstream_count(); ++i) {
    const Key key = last->frame.upstream_at(i).key;
    if (std::binary_search(kept.begin(), kept.end(), key)) continue;
    if (const auto row = rows.find(key)) edges.erase({row->entry.id, work.id});
  }
}

void Ingest::write_rows(std::vector<Work>& works, std::vector<Edge>& new_edges) {
  std::vector<const Work*> order;
  order.reserve(works.size());
  for (const Work& work : works) {
    if (!work.skip) order.push_back(&work);
  }
  std::sort(order.begin(), order.end(), [](const Work* a, const Work* b) { return a->id < b->id; });
  const std::int64_t day = today();
  for (const Work* work : order) {
    const Item& item = *work->item;
    ClassRow& type = class_of(item.class_ref);
    const Row row{item.key,     work->entry, type.id,
                  item.version, item.record, item.length + item.bytes,
                  item.seq,     day};
    work->is_new() ? rows.insert(row) : rows.update(row);
    if (type.added) {  // all its records have this version: nothing to look for at the next run
      type.added = false;
      type.checked = item.version;
      classes.set_checked(type.id, item.version);
    }
    if (type.checked >= 0 && type.checked != item.version) {
      type.checked = -1;
      classes.set_checked(type.id, -1);
    }
  }
  std::sort(new_edges.begin(), new_edges.end());
  for (const Edge& edge : new_edges) edges.insert(edge);
}

void Ingest::write_history(std::span<const Work> works) {
  struct Sum {
    std::uint64_t records = 0;
    double seconds = 0;
  };
  std::vector<Sum> sums;
  for (const Work& work : works) {
    const Item& item = *work.item;
    if (item.kind != ItemKind::record || item.record == RecordKind::external) continue;
    if (sums.size() <= item.class_ref) sums.resize(item.class_ref + 1);
    ++sums[item.class_ref].records;
    sums[item.class_ref].seconds += static_cast<double>(item.seconds);
  }
  for (std::uint32_t ref = 0; ref < sums.size(); ++ref) {
    if (sums[ref].records == 0) continue;
    classes.add_history(class_of(ref).id, sums[ref].records, sums[ref].seconds);
  }
}

}  // namespace stook::detail
