// What makes a View as new as the index and the packs of other processes.
#include <algorithm>

#include "cache/view.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

constexpr std::size_t kMostKnown = 1 << 18;  // at about 110 bytes each

// Nothing answers for the key any more; its id is in a pack and stays.
void clear_known(KnownKey& known, std::uint64_t seq) {
  const std::uint64_t id = known.entry.id;
  const bool has_directory = known.entry.has_directory;
  known.entry = Entry{};
  known.entry.id = id;
  known.entry.has_directory = has_directory;
  known.entry.doubt = Doubt::cleared;
  known.seq = seq;
  known.id_only = known.exposed = true;
}

}  // namespace

// While a change is being committed others may have seen it in the index already: then nothing is
// answered from memory.
void View::refresh() {
  const bool changing = shared_.is_changing() && !STOOK_MUTANT("change-under-way");
  if (!changing && shared_.changes() == seen_change_ && shared_.growth() == seen_growth_) return;
  const std::lock_guard reading(reading_);
  const std::uint64_t change = shared_.changes();
  const bool anew = changing || change != seen_change_;
  if (anew || shared_.growth() != seen_growth_) catch_up(anew, change);
}

void View::forget() {
  const std::lock_guard reading(reading_);
  {
    const std::lock_guard lock(mutex_);
    if (known_.size() < kMostKnown) return;
  }
  catch_up(true, shared_.changes());
}

// `anew`: what the index knows better is dropped. In one step for other threads: they may be past
// refresh(), and must not miss for a moment what is dropped and comes back from a tail, nor see
// what was there before it.
void View::catch_up(bool anew, std::uint64_t change) {
  const std::uint64_t growth = shared_.growth();  // before the lengths: they may be newer
  const ReadTransaction transaction(tables().database);
  // The moment of the index comes before the lengths, too: a record in a tail that the index says
  // is overtaken is left out, and then what overtook it must be in a tail, or what is older go.
  if (!STOOK_MUTANT("index-before-tails")) (void)tables().rows.last_id();
  const bool changed = shared_.is_changing() || shared_.changes() != change;
  anew = anew || (changed && !STOOK_MUTANT("change-before-tails"));
  Positions indexed;
  std::uint64_t own_indexed = 0;
  std::uint64_t last_clear = 0;  // of any class
  if (anew) {
    for (const PackMark& mark : tables().packs.all()) {
      indexed[mark.number] = mark.indexed;
      if (mark.number == own_pack_) own_indexed = mark.indexed;
    }
    for (const ClassRow& type : tables().classes.all()) {
      last_clear = std::max(last_clear, type.cleared_seq);
    }
  }
  Positions read;
  const Batch batch = read_tails(anew ? indexed : positions_, read);
  std::unique_lock lock(mutex_);
  if (anew) {
    seen_change_ = ~0ull;  // where the index cannot be read in the middle: anew next time, too
    known_.drop_unless([&](KnownKey& known) {
      known.corrected = known.corrected && moving_;
      known.settled = false;  // by a change that was given up, perhaps
      if (known.corrected && !STOOK_MUTANT("keep-corrected")) return true;
      return is_pinned(known, own_indexed, last_clear);
    });
    rows_ = tables().rows.last_id();
    known_.complete = rows_ == 0;
    queried_ = 0;
    today_ = today();
  }
  for (const Item& item : batch.items) {
    if (STOOK_MUTANT("catch-up-at-once")) {
      lock.unlock();
      lock.lock();
    }
    enter_of_another(batch, item);
  }
  if (anew) positions_.swap(indexed);
  for (const auto& [pack, end] : read) positions_[pack] = end;
  seen_growth_ = growth;
  if (anew) seen_change_ = change;
}

// Is this more than the index has? What is in this process's pack and not yet indexed; ids of keys
// that still have no row.
bool View::is_pinned(KnownKey& known, std::uint64_t own_indexed, std::uint64_t last_clear) {
  if (known.id_only) return !tables().rows.find(known.key);
  if (own_pack_ == 0 || known.entry.pack != own_pack_ || known.entry.offset < own_indexed) {
    return false;
  }
  const auto row = tables().rows.find(known.key);
  if (row && row->seq > known.seq) return false;  // it was overtaken, by a clear say
  if (known.seq >= last_clear || STOOK_MUTANT("cleared-unindexed")) return true;
  const std::uint64_t cleared = cleared_seq(known.class_ref);
  if (known.seq >= cleared) return true;
  clear_known(known, cleared);
  return !row;  // where there is one it has the id
}

// Of the last clear of a class that the index has.
std::uint64_t View::cleared_seq(std::uint32_t class_ref) {
  const auto type = tables().classes.find(names_.name(class_ref));
  return type ? type->cleared_seq : 0;
}

// Was its key, or its class, cleared or published again after this record was begun? It may have
// been written long after that.
bool View::is_outdated(const Frame& frame) {
  if (!is_record(frame.kind)) return false;
  const auto row = tables().rows.find(frame.key);
  if (row && row->seq > frame.seq) return true;
  const auto type = tables().classes.find(frame.class_name);
  return type && type->cleared_seq > frame.seq;
}

// In the order of all packs: what a record was made of may lie in a later one.
Batch View::read_tails(const Positions& from, Positions& read) {
  Batch batch;
  for (const Shared::PackLength& pack : shared_.packs()) {
    const auto known = from.find(pack.number);
    const std::uint64_t position = known != from.end() ? known->second : 0;
    if (pack.number == own_pack_ || position >= pack.length) continue;
    if (read_tail(pack, position, batch)) read[pack.number] = pack.length;
  }
  std::stable_sort(batch.items.begin(), batch.items.end(),
                   [](const Item& a, const Item& b) { return a.seq < b.seq; });
  return batch;
}

bool View::read_tail(const Shared::PackLength& pack, std::uint64_t position, Batch& batch) {
  const std::size_t before = batch.items.size();
  Packs::Visitor visitor;
  visitor.frame = [&](const Frame& frame, std::uint64_t offset, std::uint64_t length) {
    const bool answers = is_record(frame.kind) || frame.kind == FrameKind::id_given;
    if (answers && (STOOK_MUTANT("outdated-tail") || !is_outdated(frame)))
      add_frame(batch, frame, 0, {pack.number, offset}, length);
  };
  visitor.damage = [](std::uint64_t, std::uint64_t) {};  // told when it is indexed
  if (packs_.scan(pack.number, position, pack.length, visitor)) return true;
  batch.items.resize(before);
  return false;
}

// Whoever wrote it may not have known that what it was made of is cleared, or another by now.
void View::enter_of_another(const Batch& batch, const Item& item) {
  enter(item);
  if (item.kind != ItemKind::record || STOOK_MUTANT("unfounded-tail")) return;
  const auto upstream = batch.upstream_of(item);
  if (std::all_of(upstream.begin(), upstream.end(),
                  [this](const UpstreamSeen& seen) { return is_good(seen); }))
    return;
  Entry doubted = entry_of(item);
  if (doubted.state == RecordState::fresh) doubted.state = RecordState::suspect;
  doubted.doubt = Doubt::upstream_changed;
  correct(item.key, doubted, item.seq);
}

bool View::is_good(const UpstreamSeen& seen) {
  if (is_constant(seen)) return true;
  if (const KnownKey* known = sure(seen.key)) return is_good_for(known->entry, seen.digest);
  const auto row = tables().rows.find(seen.key);
  if (!row) return false;
  KnownKey& known = known_.at(seen.key);
  take_row(known, *row);
  return is_good_for(known.entry, seen.digest);
}

void View::follow(std::uint64_t change) {
  if (seen_change_ + 1 == change) seen_change_ = change;
}

// Was this record of ours overtaken before it was known here? Then what overtook it is known now.
bool View::take_overtaken(const Item& item) {
  const ReadTransaction transaction(tables().database);
  const auto row = tables().rows.find(item.key);
  const std::uint64_t cleared = cleared_seq(item.class_ref);
  const std::lock_guard lock(mutex_);
  if (row && row->seq >= item.seq) {
    take_row(known_.at(item.key), *row);
    return true;
  }
  if (cleared <= item.seq) return false;
  KnownKey& known = known_.at(item.key);
  if (known.entry.id == 0) known.entry.id = item.id;
  if (known.seq < cleared) clear_known(known, cleared);
  return true;
}

}  // namespace stook::detail
