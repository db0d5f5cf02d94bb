// What makes results of PackStore suspect or missing.
#include <map>

#include "cache/pack_store.h"
#include "cache/trash.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

std::string class_name_of(ClassTable& classes, std::uint64_t id) {
  for (const ClassRow& type : classes.all()) {
    if (type.id == id) return type.name;
  }
  return {};
}

}  // namespace

void PackStore::append_mark(FrameKind kind, const Key& key, std::string_view class_name) {
  Publication publication;
  publication.key = key;
  publication.class_name = class_name;
  Frame frame = frame_of(publication);
  frame.kind = kind;
  const ItemKind item = kind == FrameKind::clear_key     ? ItemKind::cleared_key
                        : kind == FrameKind::clear_class ? ItemKind::cleared_class
                                                         : ItemKind::damaged;
  append(frame, publication, {}, item, {});
}

Invalidated PackStore::invalidate(const std::function<void(Indexer::Transaction&)>& append) {
  const Outcome outcome = indexer_->exclusively([&](Indexer::Transaction& transaction) {
    transaction.outcome.invalidated = {};  // what came before is not this call's doing
    append(transaction);
    transaction.again();
  });
  if (!outcome.cleared.empty()) empty_trash(layout_);
  return outcome.invalidated;
}

Invalidated PackStore::clear(const Key& key) {
  return invalidate([&](Indexer::Transaction& transaction) {
    const auto row = transaction.ingest.rows.find(key);
    if (!row) return;
    append_mark(FrameKind::clear_key, key,
                class_name_of(transaction.ingest.classes, row->class_id));
  });
}

Invalidated PackStore::clear_class(std::string_view class_name) {
  return invalidate([&](Indexer::Transaction& transaction) {
    if (!transaction.ingest.classes.find(class_name)) return;
    append_mark(FrameKind::clear_class, Key{}, class_name);
  });
}

void PackStore::mark_damaged(const Key& key, const Entry& entry, std::string_view reason) {
  bool marked = false;
  invalidate([&](Indexer::Transaction& transaction) {
    const auto row = transaction.ingest.rows.find(key);
    const bool same = !row || (row->entry.pack == entry.pack && row->entry.offset == entry.offset);
    if (!same && !STOOK_MUTANT("damaged-one")) return;
    append_mark(FrameKind::damaged, key, {});
    marked = true;
  });
  if (!marked) return;
  warn_(std::string("result ") + to_hex(key) +
        " is not usable and will be computed again: " + std::string(reason));
}

// In most runs nothing has changed: that is found out without taking the write lock. What others
// have written since the last look may be of another version, and the index not know of it yet.
Invalidated PackStore::check_versions(std::span<const ClassVersion> classes) {
  const std::uint64_t written = shared_.length_of_others();
  bool outdated = checked_length_.load() != written && !STOOK_MUTANT("check-tails");
  try {
    indexer_->flush_own();
    view_.read([&](View::Tables& tables) {
      for (const ClassVersion& type : classes) {
        const auto row = tables.classes.find(type.name);
        if (row && row->checked != static_cast<std::int64_t>(type.version)) outdated = true;
      }
    });
  } catch (const DatabaseError& error) {
    index_failed(error);
    throw error;  // what is known here already would answer though it may be outdated
  }
  if (!outdated) return {};
  const Invalidated result = invalidate([&](Indexer::Transaction& transaction) {
    for (const ClassVersion& type : classes) {
      transaction.ingest.check_version(type.name, type.version, transaction.outcome);
    }
  });
  checked_length_ = written;  // not before: where this fails it is looked at again
  return result;
}

std::vector<External> PackStore::externals() {
  std::vector<External> result;
  try {
    indexer_->flush_own();
    view_.read([&](View::Tables& tables) {
      std::map<std::uint64_t, std::string> names;
      for (const ClassRow& type : tables.classes.all()) names[type.id] = type.name;
      for (ExternalRow& external : tables.externals.all()) {
        const auto row = tables.rows.find_id(external.id);
        if (!row) continue;
        result.push_back({row->key, external.id, names[external.class_id],
                          std::move(external.arguments), std::move(external.fingerprint),
                          row->entry.digest});
      }
    });
  } catch (const DatabaseError& error) {
    index_failed(error);
    if (!STOOK_MUTANT("externals-or-error")) throw error;  // one that has changed would go unseen
  }
  return result;
}

// A change may be in the index before it is announced, and after its pack has grown.
std::uint64_t PackStore::written_by_others() {
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15;
  if (shared_.is_changing()) return ~unsure_.fetch_add(1);
  return shared_.length_of_others() + shared_.changes_of_others() * odd;
}

// What the index has of it is enough: whether its last record can be read decides nothing.
Invalidated PackStore::update_external(const Key& key, std::string_view fingerprint,
                                       const Digest& digest) {
  return invalidate([&](Indexer::Transaction& transaction) {
    const auto row = transaction.ingest.rows.find(key);
    if (!row || row->kind != RecordKind::external) return;
    const auto known = transaction.ingest.externals.find(row->entry.id);
    if (!known) return;  // it was cleared, and with it what was made of it
    const std::string name = class_name_of(transaction.ingest.classes, known->class_id);
    Publication publication;
    publication.key = key;
    publication.id = row->entry.id;
    publication.kind = RecordKind::external;
    publication.class_name = name;
    publication.arguments = known->arguments;
    publication.version = row->version;
    publication.digest = digest;
    publication.codec = fingerprint;
    Frame frame = frame_of(publication);
    append(frame, publication, {}, ItemKind::record, {});
  });
}

}  // namespace stook::detail
