// What the index is told but for records: clears, damage, proofs, versions.
#include <algorithm>

#include "cache/ingest.h"
#include "src/mutant.h"

namespace stook::detail {

void Ingest::clear_row(const Row& row, std::string_view class_name, std::uint64_t seq,
                       Outcome& outcome) {
  if (row.entry.state != RecordState::missing) ++outcome.invalidated.removed;
  const Doubt doubt = row.entry.doubt == Doubt::never_ran ? Doubt::never_ran : Doubt::cleared;
  rows.clear(row.entry.id, doubt, seq);
  if (row.kind == RecordKind::external) externals.erase(row.entry.id);
  outcome.cleared.push_back({std::string(class_name), row.entry.id, row.key});
  outcome.states_moved = true;
  Entry now = row.entry;
  now.state = RecordState::missing;
  now.doubt = doubt;
  now.cause = 0;
  view_.correct_state(row.key, now, seq);
}

void Ingest::apply_clear_key(const Item& item, Outcome& outcome) {
  const auto row = rows.find(item.key);
  if (!row || row->seq > item.seq) return;
  clear_row(*row, names_.name(item.class_ref), item.seq, outcome);
  const std::uint64_t id = row->entry.id;
  suspect({&id, 1}, Doubt::upstream_cleared, outcome);
}

void Ingest::apply_clear_class(const Item& item, Outcome& outcome) {
  ClassRow& type = class_of(item.class_ref);
  type.cleared_seq = std::max(type.cleared_seq, item.seq);
  classes.set_cleared(type.id, type.cleared_seq);
  std::vector<Row> members;
  rows.for_each_of(type.id, [&](const Row& row) {
    if (row.seq < item.seq) members.push_back(row);
    return true;
  });
  std::vector<std::uint64_t> ids;
  for (const Row& row : members) {
    clear_row(row, type.name, item.seq, outcome);
    ids.push_back(row.entry.id);
  }
  suspect(ids, Doubt::upstream_cleared, outcome);
  outcome.states_moved = true;
}

void Ingest::apply_damaged(const Item& item, Outcome& outcome) {
  const auto row = rows.find(item.key);
  if (!row || row->seq > item.seq) return;
  if (row->entry.state != RecordState::missing) ++outcome.invalidated.removed;
  rows.clear(row->entry.id, Doubt::damaged, item.seq);
  Entry now = row->entry;
  now.state = RecordState::missing;
  now.doubt = Doubt::damaged;
  view_.correct_state(row->key, now, item.seq);
  outcome.states_moved = true;
}

// It is looked again whether the upstreams are what the record has seen: a clear may have come
// between the proof and this.
void Ingest::apply_confirmed(const Item& item, Outcome& outcome) {
  const auto row = rows.find(item.key);
  if (!row || row->entry.state != RecordState::suspect) return;
  const auto last = pack_files_.try_read(row->entry.pack, row->entry.offset);
  bool good = static_cast<bool>(last);
  for (std::size_t i = 0; good && i < last->frame.upstream_count(); ++i) {
    const UpstreamSeen seen = last->frame.upstream_at(i);
    good = STOOK_MUTANT("confirm-again") || is_constant(seen) ||
           is_good_for(upstream(seen.key), seen.digest);
  }
  if (!good) {  // this process believes it is fresh, and may have built upon that
    view_.correct_state(row->key, row->entry, row->seq);
    suspect({&row->entry.id, 1}, Doubt::upstream_changed, outcome);
    outcome.states_moved = true;
    return;
  }
  rows.set_state(row->entry.id, RecordState::fresh, Doubt::none, 0);
  outcome.confirmed = true;
}

void Ingest::check_version(std::string_view name, std::uint32_t version, Outcome& outcome) {
  const auto type = classes.find(name);
  if (!type || type->checked == static_cast<std::int64_t>(version)) return;
  std::vector<std::uint64_t> others;
  rows.for_each_of(type->id, [&](const Row& row) {
    if (row.version != version) others.push_back(row.entry.id);
    return true;
  });
  suspect(others, Doubt::version_changed, outcome);
  // Somebody else may be running with one of the other versions, and publish more that is made of
  // them: then this is looked at again by the next run.
  const bool last_word =
      others.empty() || shared_.is_alone() || STOOK_MUTANT("versions-beside-others");
  classes.set_checked(type->id, last_word ? static_cast<std::int64_t>(version) : -1);
  class_cache_.clear();
}

}  // namespace stook::detail
