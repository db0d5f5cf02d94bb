// Making a cache smaller (maintain.h).
//
// Evicting a record drops its value and keeps its header: it becomes what Store::never leaves, a
// digest that is known and a value that is not. Dependents stay fresh. A pack is rewritten under a
// new number; the old one, and all objects, stay until somebody has the cache for himself, since
// others may be reading them. A crash in between leaves records twice, with the same seq:
// harmless.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "cache/maintain.h"
#include "cache/pack_store.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

// While it holds, nobody comes, and nobody of this process executes or writes an object: under its
// name he might make again what is being removed.
class Undisturbed {
 public:
  explicit Undisturbed(PackStore& store)
      : store_(store), objects_(store.stop_objects()),
        holds_(objects_ && store.shared().nobody_executes() && store.shared().keep_others_out()) {}
  ~Undisturbed() {
    if (holds_) store_.shared().let_others_come();
  }
  Undisturbed(const Undisturbed&) = delete;
  Undisturbed& operator=(const Undisturbed&) = delete;
  [[nodiscard]] bool holds() const { return holds_; }

 private:
  PackStore& store_;
  const std::unique_lock<std::shared_mutex> objects_;
  const bool holds_;
};

class Collect {
 public:
  Collect(PackStore& store, const CollectOptions& options) : store_(store), options_(options) {}

  void choose(Ingest& ingest);
  void rewrite_packs(Ingest& ingest);
  void remove();

  CollectReport report;

 private:
  void read_rows(Ingest& ingest);
  [[nodiscard]] bool may_go(const Row& row) const;
  void evict(Row& row);
  [[nodiscard]] bool has_garbage(std::uint32_t pack, std::uint64_t size, std::uint64_t indexed);
  void look_at_packs(Ingest& ingest);
  void look_at_what_came();
  void remove_objects();
  void remove_old_packs();
  [[nodiscard]] bool has_more(Ingest& ingest, std::uint32_t pack);
  void rewrite(Ingest& ingest, std::uint32_t pack, std::uint64_t size);
  void copy(const Frame& frame, std::uint64_t salt, std::uint32_t pack, std::uint64_t offset,
            std::vector<std::byte>& out, std::vector<std::pair<Row*, std::uint64_t>>& moved);
  [[nodiscard]] bool still_counts(const Frame& frame) const;
  [[nodiscard]] Row* row_at(const Frame& frame, std::uint32_t pack, std::uint64_t offset);

  PackStore& store_;
  const CollectOptions& options_;
  bool alone_ = false;
  std::vector<Row> rows_;
  std::unordered_map<Key, std::size_t> by_key_;
  std::unordered_map<std::uint64_t, ClassRow> classes_;
  std::unordered_set<std::uint64_t> evicted_;
  std::unordered_set<std::string> objects_;  // file names that records still speak of
  std::vector<std::pair<std::uint32_t, std::uint64_t>> sizes_;  // of the packs
  std::unordered_map<std::uint32_t, std::uint64_t> looked_at_;  // packs, up to what has rows
  std::unordered_set<std::uint32_t> living_;                    // packs of processes that are alive
  std::vector<std::uint32_t> old_packs_;
  // Of a version that this program does not read. What they speak of is not known: they stay as
  // they are, and so do all objects.
  std::unordered_set<std::uint32_t> foreign_;
  bool objects_unknown_ = false;
};

void Collect::read_rows(Ingest& ingest) {
  for (ClassRow& type : ingest.classes.all()) classes_[type.id] = std::move(type);
  ingest.rows.for_each([&](const Row& row) {
    by_key_[row.key] = rows_.size();
    rows_.push_back(row);
  });
}

bool Collect::may_go(const Row& row) const {
  if (row.entry.state == RecordState::missing || row.kind != RecordKind::result) return false;
  if (row.entry.pack == store_.own_pack() || foreign_.contains(row.entry.pack)) return false;
  if (!alone_ && !STOOK_MUTANT("used-today") && row.used >= today())
    return false;  // a run may be relying on it
  const auto type = classes_.find(row.class_id);
  return type == classes_.end() || !options_.keep_classes.contains(type->second.name);
}

void Collect::evict(Row& row) {
  evicted_.insert(row.entry.id);
  ++report.evicted;
  row.kind = RecordKind::transient;
  // Who finds it doubted must not take it for good, as he may what is only not kept.
  const bool doubted = row.entry.state == RecordState::suspect && !STOOK_MUTANT("evict-doubt");
  row.entry.state = RecordState::missing;
  if (!doubted) row.entry.doubt = Doubt::not_kept;
}

void Collect::choose(Ingest& ingest) {
  alone_ = store_.shared().is_alone() && store_.shared().nobody_executes();
  for (const std::uint32_t pack : store_.packs().list()) {
    if (store_.packs().is_foreign(pack)) foreign_.insert(pack);
  }
  read_rows(ingest);
  std::vector<Row*> order;
  std::uint64_t bytes = 0;
  for (Row& row : rows_) {
    if (row.entry.state != RecordState::missing) bytes += row.bytes;
    if (may_go(row)) order.push_back(&row);
  }
  std::sort(order.begin(), order.end(), [](const Row* a, const Row* b) {
    return std::pair{a->used, a->seq} < std::pair{b->used, b->seq};
  });
  for (Row* row : order) {
    const bool old = options_.older_than_days && row->used < today() - *options_.older_than_days;
    const bool full = options_.max_bytes && bytes > *options_.max_bytes;
    if (!old && !full) continue;
    bytes -= row->bytes;
    evict(*row);
  }
}

Row* Collect::row_at(const Frame& frame, std::uint32_t pack, std::uint64_t offset) {
  const auto found = by_key_.find(frame.key);
  if (found == by_key_.end()) return nullptr;
  Row& row = rows_[found->second];
  return row.entry.pack == pack && row.entry.offset == offset ? &row : nullptr;
}

// Marks count while nothing newer has been said of what they speak of.
bool Collect::still_counts(const Frame& frame) const {
  if (frame.kind == FrameKind::clear_class) {
    for (const auto& [id, type] : classes_) {
      if (type.name == frame.class_name) return type.cleared_seq == frame.seq;
    }
    return false;
  }
  const auto found = by_key_.find(frame.key);
  return found != by_key_.end() && rows_[found->second].seq == frame.seq;
}

// What came after the rows were read has none.
bool Collect::has_garbage(std::uint32_t pack, std::uint64_t size, std::uint64_t indexed) {
  bool garbage = false;
  Packs::Visitor visitor;
  visitor.frame = [&](const Frame& frame, std::uint64_t offset, std::uint64_t length) {
    if (offset < indexed || STOOK_MUTANT("came-before-packs")) looked_at_[pack] = offset + length;
    const Row* row = is_record(frame.kind) ? row_at(frame, pack, offset) : nullptr;
    const bool keeps_value = row != nullptr && row->entry.state != RecordState::missing;
    if (keeps_value && frame.in_object) objects_.insert(to_hex(frame.object));
    if (is_record(frame.kind) ? row == nullptr : !still_counts(frame)) garbage = true;
    if (row != nullptr && !keeps_value && frame.stored_bytes > 0) garbage = true;
  };
  visitor.damage = [&](std::uint64_t, std::uint64_t) { garbage = true; };
  bool later = foreign_.contains(pack);
  visitor.unknown = [&](std::uint64_t) { later = true; };
  const bool scanned = static_cast<bool>(store_.packs().scan(pack, 0, size, visitor));
  objects_unknown_ = objects_unknown_ || later;
  return scanned && garbage && !later;
}

// Their sizes first, then who lives: whoever has written to a pack has said before that it is his.
void Collect::look_at_packs(Ingest& ingest) {
  std::unordered_set<std::uint32_t> retired;
  for (const PackMark& mark : ingest.packs.all()) {
    if (!mark.retired) continue;
    retired.insert(mark.number);
    looked_at_[mark.number] = std::numeric_limits<std::uint64_t>::max();
  }
  for (const std::uint32_t pack : store_.packs().list()) {
    if (!retired.contains(pack)) sizes_.emplace_back(pack, store_.packs().size_of(pack));
  }
  for (const auto& pack : store_.shared().packs()) {
    if (pack.alive) living_.insert(pack.number);
  }
}

// Does somebody write to it, or has one who died written what no index names yet?
bool Collect::has_more(Ingest& ingest, std::uint32_t pack) {
  if (living_.contains(pack) && !STOOK_MUTANT("living-packs")) return true;
  return !STOOK_MUTANT("indexed-packs") &&
         ingest.packs.find(pack).indexed < store_.packs().size_of(pack);
}

void Collect::rewrite_packs(Ingest& ingest) {
  look_at_packs(ingest);
  for (const auto& [pack, size] : sizes_) {
    if (size == 0) continue;
    report.bytes_before += size;
    if (has_garbage(pack, size, ingest.packs.find(pack).indexed) && !has_more(ingest, pack) &&
        !options_.dry_run) {
      rewrite(ingest, pack, size);
    } else {
      report.bytes_after += size;
    }
  }
  if (!old_packs_.empty() && !STOOK_MUTANT("sync-rewritten-name") &&
      !os_sync_directory(store_.layout().packs)) {
    throw_cache_error("sync", store_.layout().packs);
  }
  // Values that were evicted from packs that could not be rewritten are gone all the same.
  if (options_.dry_run) return;
  for (const Row& row : rows_) {
    if (evicted_.contains(row.entry.id)) ingest.rows.set_place(row);
  }
}

void Collect::copy(const Frame& given, std::uint64_t salt, std::uint32_t pack, std::uint64_t offset,
                   std::vector<std::byte>& out,
                   std::vector<std::pair<Row*, std::uint64_t>>& moved) {
  Frame frame = given;
  Row* row = is_record(frame.kind) ? row_at(frame, pack, offset) : nullptr;
  if (is_record(frame.kind) ? row == nullptr : !still_counts(frame)) return;
  if (row != nullptr) {
    if (row->entry.state == RecordState::missing && frame.kind == FrameKind::result) {
      frame.kind = FrameKind::transient;
      frame.value = {};
      frame.raw_bytes = frame.stored_bytes = 0;
      frame.in_object = frame.compressed = false;
    }
    moved.emplace_back(row, out.size());
  }
  std::vector<UpstreamSeen> upstream;
  for (std::size_t i = 0; i < frame.upstream_count(); ++i) {
    upstream.push_back(frame.upstream_at(i));
  }
  const std::size_t start = out.size();
  encode_frame(frame, upstream, {&frame.value, 1}, salt, out);
  if (row != nullptr) row->bytes = out.size() - start + (frame.in_object ? frame.stored_bytes : 0);
}

void Collect::rewrite(Ingest& ingest, std::uint32_t pack, std::uint64_t size) {
  const auto header = store_.packs().open(pack);
  if (!header) return;
  const PackHeader identity = (*header)->header;
  std::vector<std::byte> out;
  encode_pack_header(identity, out);
  const std::size_t empty = out.size();
  std::vector<std::pair<Row*, std::uint64_t>> moved;
  PackMark mark{store_.shared().take_pack(), 0, 0, false};
  const auto path = store_.packs().path_of(mark.number);
  const Fd fd = os_open(path, O_CREAT | O_EXCL | O_WRONLY);
  if (!fd) throw_cache_error("create", path);
  std::uint64_t written = 0;
  const auto write_out = [&] {
    if (!os_write(fd.get(), out.data(), out.size())) {
      const int error = errno;
      unlink(path.c_str());
      throw_cache_error("write", path, error);
    }
    for (auto& [row, at] : moved) {
      row->entry.pack = mark.number;
      row->entry.offset = written + at;
      ingest.rows.set_place(*row);
    }
    written += out.size();
    moved.clear();
    out.clear();
  };
  Packs::Visitor visitor;
  visitor.frame = [&](const Frame& frame, std::uint64_t offset, std::uint64_t) {
    copy(frame, identity.salt, pack, offset, out, moved);
    mark.last_seq = std::max(mark.last_seq, frame.seq);
    if (out.size() > (8u << 20)) write_out();
  };
  visitor.damage = [](std::uint64_t, std::uint64_t) {};
  (void)static_cast<bool>(store_.packs().scan(pack, 0, size, visitor));
  if (written == 0 && out.size() == empty) {
    unlink(path.c_str());
  } else {
    write_out();
    if (!STOOK_MUTANT("sync-rewritten") && !os_sync_data(fd.get())) {
      throw_cache_error("sync", path);
    }
    looked_at_[mark.number] = mark.indexed = written;
    ingest.packs.put(mark);
  }
  report.bytes_after += written;
  ++report.packs_rewritten;
  ingest.packs.put({pack, size, mark.last_seq, false});
  ingest.packs.retire(pack);
  old_packs_.push_back(pack);
}

// Since the packs were looked through: by threads of this process, or by who has come and gone.
void Collect::look_at_what_came() {
  store_.sync();
  Packs::Visitor visitor;
  visitor.frame = [&](const Frame& frame, std::uint64_t, std::uint64_t) {
    if (frame.in_object) objects_.insert(to_hex(frame.object));
  };
  visitor.damage = [](std::uint64_t, std::uint64_t) {};
  visitor.unknown = [&](std::uint64_t) { objects_unknown_ = true; };
  for (const std::uint32_t pack : store_.packs().list()) {
    const std::uint64_t size = store_.packs().size_of(pack);
    const bool scanned =
        static_cast<bool>(store_.packs().scan(pack, looked_at_[pack], size, visitor));
    if (!scanned && store_.packs().is_foreign(pack)) objects_unknown_ = true;
  }
}

// Whoever comes after it sees the index as it is; whoever came before may hold places in what
// nobody but this process used when the packs were looked through.
void Collect::remove() {
  if (options_.dry_run) return remove_objects();
  const Undisturbed now(store_);
  alone_ = alone_ && (STOOK_MUTANT("still-alone") || now.holds());
  if (alone_ && !STOOK_MUTANT("late-objects")) look_at_what_came();
  remove_old_packs();
  remove_objects();
}

void Collect::remove_old_packs() {
  if (!alone_ && !STOOK_MUTANT("others-packs"))
    return;  // the next one who opens the cache alone does it
  for (const std::uint32_t pack : old_packs_) {
    unlink(store_.packs().path_of(pack).c_str());
    store_.packs().forget(pack);
  }
}

// Others may hold places in packs from before, and write objects that no record names yet: theirs
// stay. The age of a file would be no sign, clocks are wrong and step.
void Collect::remove_objects() {
  for (const std::filesystem::path& path : store_.objects().list()) {
    struct stat status = {};
    if (lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    report.bytes_before += static_cast<std::uint64_t>(status.st_size);
    const std::string name = path.parent_path().filename().string() + path.filename().string();
    const bool others = objects_unknown_ || (!alone_ && !STOOK_MUTANT("others-objects"));
    if (objects_.contains(name) || others || options_.dry_run) {
      report.bytes_after += static_cast<std::uint64_t>(status.st_size);
      continue;
    }
    if (unlink(path.c_str()) == 0) ++report.objects_removed;
  }
}

}  // namespace

CollectReport collect(Store& given, const CollectOptions& options) {
  auto* store = dynamic_cast<PackStore*>(&given);
  if (store == nullptr) throw CacheError("collect: this store is not one on disk");
  store->note_use();
  Collect work(*store, options);
  store->indexer().exclusively([&](Indexer::Transaction& transaction) {
    work.choose(transaction.ingest);
    work.rewrite_packs(transaction.ingest);
    transaction.outcome.states_moved = true;
  });
  // The copies are on the disk; the originals go when the index that names the copies is, too.
  if (!options.dry_run && !STOOK_MUTANT("durable-before-collected") &&
      !store->indexer().make_durable()) {
    return work.report;
  }
  work.remove();
  return work.report;
}

}  // namespace stook::detail
