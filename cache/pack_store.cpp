#include "cache/pack_store.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdio>

#include "cache/compress.h"
#include "cache/rebuild.h"
#include "cache/trash.h"

namespace stook::detail {
namespace {

void warn_on_stderr(std::string_view line) {
  std::fprintf(stderr, "stook: %.*s\n", static_cast<int>(line.size()), line.data());
}

PackHeader identity(const StoreOptions& options) {
  PackHeader header;
  header.process = static_cast<std::uint64_t>(getpid());
  if (getrandom(&header.salt, sizeof header.salt, 0) != sizeof header.salt) header.salt = 1;
  header.created_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  header.host = options.host;
  if (header.host.empty()) {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    header.host = host;
  }
  header.build = options.build_id.empty() ? "unknown" : options.build_id;
  return header;
}

std::uint64_t total_size(std::span<const ByteSpan> pieces) {
  std::uint64_t size = 0;
  for (const ByteSpan& piece : pieces) size += piece.size();
  return size;
}

FrameKind frame_kind(RecordKind kind) {
  switch (kind) {
    case RecordKind::transient: return FrameKind::transient;
    case RecordKind::external: return FrameKind::external;
    default: return FrameKind::result;
  }
}

Frame frame_of(const Publication& publication) {
  Frame frame;
  frame.kind = frame_kind(publication.kind);
  frame.version = publication.version;
  frame.key = publication.key;
  frame.id = publication.id;
  frame.digest = publication.digest;
  frame.directory = publication.directory;
  frame.started_ns = publication.started_ns;
  frame.duration_ns = publication.duration_ns;
  frame.run = publication.run;
  frame.class_name = publication.class_name;
  frame.arguments = publication.arguments;
  frame.codec = publication.codec;
  return frame;
}

}  // namespace

bool matches(std::string_view pattern, std::string_view name) {
  return pattern.empty() ||
         fnmatch(std::string(pattern).c_str(), std::string(name).c_str(), 0) == 0;
}

std::unique_ptr<Store> open_store(const std::filesystem::path& directory,
                                  const StoreOptions& options) {
  return std::make_unique<PackStore>(directory, options);
}

PackStore::PackStore(const std::filesystem::path& directory, const StoreOptions& options)
    : warn_(options.warn ? options.warn : warn_on_stderr),
      durability_full_(options.durability_full),
      layout_(open_layout(directory, options.build_id.empty() ? "stook" : options.build_id)),
      shared_(layout_.claims, layout_.medium == Medium::remote), packs_(layout_.packs),
      objects_(layout_.objects), view_(layout_, shared_, packs_, warn_),
      writer_(std::make_unique<PackWriter>(layout_.packs, identity(options), shared_,
                                           options.durability_window, warn_)),
      indexer_(
          std::make_unique<Indexer>(layout_, shared_, packs_, names_, view_, *writer_, warn_)) {
  if (shared_.first()) recover();
}

PackStore::~PackStore() {
  try {
    note_use();
  } catch (const Error& error) { warn_(error.what()); }
}

// Once a day for each record that answers: collect() goes by it.
void PackStore::note_use() {
  const std::vector<std::uint64_t> used = view_.take_used();
  if (used.empty()) return;
  indexer_->exclusively([&](Indexer::Transaction& transaction) {
    for (const std::uint64_t id : used) transaction.ingest.rows.set_used(id, today());
  });
}

// Nobody else is in the cache yet.
void PackStore::recover() {
  bool usable = index_is_usable(layout_, warn_);
  if (usable) {
    try {
      shared_.raise(indexer_->recover());
    } catch (const DatabaseError& error) {
      if (!error.damaged()) throw;
      indexer_->disconnect();
      view_.disconnect();
      remove_index(layout_);
      usable = false;
    }
  }
  if (!usable) rebuild(*this);
  empty_trash(layout_);
  shared_.admit_others();
}

// --- Reading ---------------------------------------------------------------------------------

// A damaged index makes everything a miss until the next one who is alone rebuilds it.
void PackStore::index_failed(const DatabaseError& error) {
  if (error.damaged()) request_rebuild(layout_);
  if (!index_failed_.exchange(true)) warn_(error.what());
}

void PackStore::lookup(std::span<const Key> keys, std::span<Entry> entries) {
  try {
    view_.lookup(keys, entries);
  } catch (const DatabaseError& error) {
    index_failed(error);
    std::fill(entries.begin(), entries.end(), Entry{});
  }
}

Result<OwnedFrame> PackStore::read_frame(const Entry& entry, Packs::Part part) {
  if (entry.pack == 0) return Failed{"no record is kept of it"};
  if (entry.pack == writer_->pack() && !writer_->is_written(entry.offset)) {
    try {
      writer_->write();
    } catch (const CacheError& error) { return Failed{error.what()}; }
  }
  auto frame = packs_.read(entry.pack, entry.offset, part);
  if (frame && (frame->frame.digest != entry.digest || !is_record(frame->frame.kind))) {
    return Failed{"pack " + packs_.path_of(entry.pack).string() + " at " +
                  std::to_string(entry.offset) + ": another record is there"};
  }
  return frame;
}

Result<Record> PackStore::read_record(const Entry& entry) {
  const auto frame = read_frame(entry, Packs::Part::whole);
  if (!frame) return Failed{frame.reason()};
  return to_record(frame->frame, frame->pack->header);
}

Result<std::unique_ptr<Payload>> PackStore::read_value(const Entry& entry, std::string_view codec) {
  const auto owned = read_frame(entry, Packs::Part::front);
  if (!owned) return Failed{owned.reason()};
  const Frame& frame = owned->frame;
  if (frame.kind != FrameKind::result) return Failed{"its record keeps no value"};
  if (frame.codec != codec) {
    return Failed{"its value is encoded as \"" + std::string(frame.codec) + "\", not as \"" +
                  std::string(codec) + "\""};
  }
  if (frame.in_object) {
    return objects_.read(frame.object, frame.stored_bytes, frame.raw_bytes, frame.compressed);
  }
  auto block = std::make_unique<Block>(frame.raw_bytes);
  if (!frame.compressed) {
    std::copy(frame.value.begin(), frame.value.end(), block->memory().begin());
  } else if (!decompress(frame.value, block->memory())) {
    return Failed{"its value does not decompress"};
  }
  return std::unique_ptr<Payload>(std::move(block));
}

void PackStore::for_each(std::string_view pattern,
                         const std::function<bool(const Key&, const Entry&)>& visit) {
  std::vector<std::pair<Key, Entry>> found;
  try {
    indexer_->flush();
    view_.read([&](View::Tables& tables) {
      for (const ClassRow& type : tables.classes.all()) {
        if (!matches(pattern, type.name)) continue;
        tables.rows.for_each_of(type.id, [&](const Row& row) {
          if (row.entry.pack != 0) found.emplace_back(row.key, row.entry);
          return true;
        });
      }
    });
  } catch (const DatabaseError& error) { index_failed(error); }
  for (const auto& [key, entry] : found) {
    if (!visit(key, entry)) return;
  }
}

std::vector<ClassHistory> PackStore::history() {
  std::vector<ClassHistory> result;
  try {
    indexer_->flush();
    view_.read([&](View::Tables& tables) {
      for (const ClassRow& type : tables.classes.all()) {
        if (type.records > 0) result.push_back({type.name, type.records, type.seconds});
      }
    });
  } catch (const DatabaseError& error) { index_failed(error); }
  return result;
}

// --- Writing ---------------------------------------------------------------------------------

std::uint64_t PackStore::id_of(const Key& key) {
  try {
    return view_.id_of(key);
  } catch (const DatabaseError& error) {
    index_failed(error);
    return shared_.take_id();
  }
}

Entry PackStore::append(Frame& frame, const Publication& publication,
                        std::span<const ByteSpan> value, ItemKind kind,
                        std::span<const Key> release) {
  thread_local std::vector<std::byte> bytes;
  bytes.clear();
  frame.seq = shared_.take_seq();
  encode_frame(frame, publication.upstream, value, writer_->salt(), bytes);
  Item item;
  item.kind = kind;
  item.record = publication.kind;
  item.class_ref = names_.ref(frame.class_name);
  item.version = frame.version;
  item.key = frame.key;
  item.id = frame.id;
  item.seq = frame.seq;
  item.digest = frame.digest;
  item.seconds = static_cast<float>(static_cast<double>(frame.duration_ns) * 1e-9);
  item.length = bytes.size();
  item.bytes = frame.in_object ? frame.stored_bytes : 0;
  const Publication* external =
      publication.kind == RecordKind::external && kind == ItemKind::record ? &publication : nullptr;
  struct {
    Item& item;
    const Publication& publication;
    const Publication* external;
  } context{item, publication, external};
  // Two captured pointers: more would make std::function allocate.
  writer_->append(bytes, release, [this, &context](Place place) {
    context.item.pack = place.pack;
    context.item.offset = place.offset;
    indexer_->push(context.item, context.publication.upstream, context.external);
  });
  constexpr std::size_t kKept = std::size_t{4} << 20;
  if (bytes.capacity() > kKept) std::vector<std::byte>().swap(bytes);
  if (kind == ItemKind::record || kind == ItemKind::given) view_.record_own(item);
  return entry_of(item);
}

Entry PackStore::publish(const Publication& publication) {
  check_caps(publication);
  indexer_->wait_for_room();
  Frame frame = frame_of(publication);
  frame.raw_bytes = publication.kind == RecordKind::result ? total_size(publication.value) : 0;
  frame.stored_bytes = frame.raw_bytes;
  std::span<const ByteSpan> value = publication.value;
  thread_local std::vector<std::byte> compressed;
  ByteSpan piece;
  if (frame.raw_bytes > kMostInline) {
    StoredObject object = objects_.write(value, frame.raw_bytes, publication.compress_level);
    frame.in_object = true;
    frame.object = object.name;
    frame.stored_bytes = object.stored_bytes;
    frame.compressed = object.compressed;
    writer_->sync_with_next(std::move(object.file));
  } else if (compress(value, frame.raw_bytes, publication.compress_level, compressed)) {
    piece = compressed;
    value = {&piece, 1};
    frame.stored_bytes = compressed.size();
    frame.compressed = true;
  }
  const Entry entry = append(frame, publication, value, ItemKind::record, {&publication.key, 1});
  if (durability_full_) writer_->sync();
  return entry;
}

void PackStore::confirm(std::span<const Key> keys) {
  view_.confirm(keys);
  indexer_->push_confirmed(keys);
}

void PackStore::expose_id(const Key& key, std::uint64_t id, std::string_view class_name) {
  if (!view_.must_expose(key)) return;
  Publication publication;
  publication.key = key;
  publication.id = id;
  publication.class_name = class_name;
  Frame frame = frame_of(publication);
  frame.kind = FrameKind::id_given;
  append(frame, publication, {}, ItemKind::given, {});
  writer_->write();
}

void PackStore::flush() {
  indexer_->flush();
  writer_->sync();
}

// --- Invalidating ----------------------------------------------------------------------------

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
    std::string name;
    for (const ClassRow& type : transaction.ingest.classes.all()) {
      if (type.id == row->class_id) name = type.name;
    }
    append_mark(FrameKind::clear_key, key, name);
  });
}

Invalidated PackStore::clear_class(std::string_view class_name) {
  return invalidate([&](Indexer::Transaction& transaction) {
    if (!transaction.ingest.classes.find(class_name)) return;
    append_mark(FrameKind::clear_class, Key{}, class_name);
  });
}

void PackStore::mark_damaged(const Key& key, std::string_view reason) {
  warn_(std::string("result ") + to_hex(key) +
        " is not usable and will be computed again: " + std::string(reason));
  invalidate([&](Indexer::Transaction&) { append_mark(FrameKind::damaged, key, {}); });
}

// In most runs nothing has changed: that is found out without taking the write lock.
Invalidated PackStore::check_versions(std::span<const ClassVersion> classes) {
  bool outdated = false;
  try {
    indexer_->flush_own();
    view_.read([&](View::Tables& tables) {
      for (const ClassVersion& type : classes) {
        const auto row = tables.classes.find(type.name);
        if (row && row->checked != static_cast<std::int64_t>(type.version)) outdated = true;
      }
    });
  } catch (const DatabaseError& error) {
    index_failed(error);  // then it answers nothing that could be outdated
  }
  if (!outdated) return {};
  return invalidate([&](Indexer::Transaction& transaction) {
    for (const ClassVersion& type : classes) {
      transaction.ingest.check_version(type.name, type.version, transaction.outcome);
    }
  });
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
  } catch (const DatabaseError& error) { index_failed(error); }
  return result;
}

Invalidated PackStore::update_external(const Key& key, std::string_view fingerprint,
                                       const Digest& digest) {
  return invalidate([&](Indexer::Transaction& transaction) {
    const auto row = transaction.ingest.rows.find(key);
    if (!row || row->kind != RecordKind::external) return;
    const auto last = packs_.read(row->entry.pack, row->entry.offset);
    if (!last) return warn_(last.reason());
    Publication publication;
    publication.key = key;
    publication.id = row->entry.id;
    publication.kind = RecordKind::external;
    publication.class_name = last->frame.class_name;
    publication.arguments = last->frame.arguments;
    publication.version = last->frame.version;
    publication.digest = digest;
    publication.codec = fingerprint;
    Frame frame = frame_of(publication);
    append(frame, publication, {}, ItemKind::record, {});
  });
}

// --- Claims ----------------------------------------------------------------------------------

Claim PackStore::claim(const Key& key, Entry& entry) {
  if (!shared_.claim(key)) return Claim::held;
  Entry now;
  try {
    now = view_.claimed(key);
  } catch (const DatabaseError& error) {
    index_failed(error);
    now.id = entry.id != 0 ? entry.id : shared_.take_id();
  }
  const bool moved =
      entry.state != RecordState::fresh || now.pack != entry.pack || now.offset != entry.offset;
  const bool published = now.state == RecordState::fresh && moved;
  entry = now;
  if (!published) return Claim::acquired;
  release(key);
  return Claim::published;
}

void PackStore::release(const Key& key) { shared_.release({&key, 1}); }

std::uint64_t PackStore::wait_for_release(std::uint64_t since, std::chrono::milliseconds timeout) {
  return shared_.wait_for_release(since, timeout);
}

std::filesystem::path PackStore::task_path(std::string_view class_name, std::uint64_t id) const {
  return layout_.tasks / safe_name(class_name) / std::to_string(id);
}

}  // namespace stook::detail
