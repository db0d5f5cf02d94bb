#include "cache/pack_store.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>
#include <thread>

#include "cache/attempt_marker.h"
#include "cache/compress.h"
#include "cache/rebuild.h"
#include "cache/trash.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

void warn_on_stderr(std::string_view line) {
  std::fprintf(stderr, "stook: %.*s\n", static_cast<int>(line.size()), line.data());
}

// A disk that is full is met by several parts of the store: it is told once.
Warn without_repeats(Warn warn) {
  struct Last {
    std::mutex mutex;
    std::string text;
  };
  return [warn = std::move(warn), last = std::make_shared<Last>()](std::string_view line) {
    {
      const std::lock_guard lock(last->mutex);
      if (last->text == line) return;
      last->text = line;
    }
    warn(line);
  };
}

PackHeader identity(const StoreOptions& options) {
  PackHeader header;
  header.process = static_cast<std::uint64_t>(getpid());
  if (getrandom(&header.salt, sizeof header.salt, 0) != sizeof header.salt) header.salt = 1;
  header.created_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  header.host = options.host.empty() ? os_host_name() : options.host;
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

}  // namespace

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

std::unique_ptr<Store> open_store(const std::filesystem::path& directory,
                                  const StoreOptions& options) {
  os_fill_standard_streams();
  return std::make_unique<PackStore>(directory, options);
}

PackStore::PackStore(const std::filesystem::path& directory, const StoreOptions& options)
    : warn_(without_repeats(options.warn ? options.warn : warn_on_stderr)),
      durability_full_(options.durability_full),
      layout_(open_layout(directory, options.build_id.empty() ? "stook" : options.build_id)),
      shared_(layout_.claims, layout_.medium == Medium::remote, layout_.packs),
      packs_(layout_.packs), objects_(layout_.objects),
      view_(layout_, shared_, packs_, names_, warn_),
      writer_(std::make_unique<PackWriter>(layout_.packs, identity(options), shared_,
                                           options.durability_window, warn_)),
      indexer_(
          std::make_unique<Indexer>(layout_, shared_, packs_, names_, view_, *writer_, warn_)) {
  shared_.first() ? recover() : join();
}

PackStore::~PackStore() {
  if (shared_.is_anothers()) {  // and so are the threads and connections
    (void)indexer_.release();
    (void)writer_.release();
    return;
  }
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

// Those who have it open may be of another version: their index is not to be touched.
void PackStore::join() {
  try {
    view_.read([](View::Tables&) {});
  } catch (const DatabaseError&) {}  // whoever uses it will say so
}

// Nobody else is in the cache yet.
void PackStore::recover() {
  check_names(layout_);
  keep_ids_of_the_dead();
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
  if (!usable) rebuild(*this);  // one that is killed leaves tails to the next one
  finish_clearing(layout_, [&](std::uint64_t id) {
    bool cleared = false;
    view_.read([&](View::Tables& tables) {
      const auto row = tables.rows.find_id(id);
      if (!row || row->entry.state != RecordState::missing) return;
      cleared = row->entry.doubt == Doubt::cleared;
      if (row->entry.doubt != Doubt::never_ran) return;
      // It was interrupted, and what it has left is for the next attempt, unless its class went.
      for (const ClassRow& type : tables.classes.all()) {
        cleared = cleared || (type.id == row->class_id && type.cleared_seq == row->seq);
      }
    });
    return cleared;
  });
  empty_trash(layout_);
  sweep_spool(layout_);
  shared_.admit_others();
}

// What lies in the place of such an id is not another key's.
void PackStore::keep_ids_of_the_dead() {
  if (STOOK_MUTANT("ids-of-dead")) return;
  for (const Key& key : markers_left(root())) { shared_.raise_id(read_marker(root(), key).id + 1); }
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
  const std::uint64_t change = shared_.changes();
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
  item.has_directory = !frame.directory.is_zero();
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
  if (kind == ItemKind::record || kind == ItemKind::given) {
    try {
      note_own(item, change);
    } catch (const std::exception& error) {
      // Of an id nothing ends a claim: only a record is there all the same.
      if (kind == ItemKind::given) throw;
      throw AcceptedError(frame.key, error.what());
    }
  }
  return entry_of(item);
}

void PackStore::note_own(const Item& item, std::uint64_t change) {
  try {
    view_.record_own(item, change);
  } catch (const DatabaseError& error) { index_failed(error); }
}

// The object is there already; it is synced with the record.
void PackStore::take_stored(const StoredValue& stored, Frame& frame) {
  frame.raw_bytes = stored.raw_bytes;
  frame.stored_bytes = stored.stored_bytes;
  frame.compressed = stored.compressed;
  frame.in_object = stored.in_object;
  frame.object = stored.object;
  if (!stored.in_object) return;
  const std::filesystem::path path = objects_.path_of(stored.object);
  Fd file = os_open(path, O_RDONLY);
  if (!file) throw_cache_error("find the result of a worker at", path);
  writer_->sync_with_next({std::move(file), path});
}

Entry PackStore::publish(const Publication& publication) {
  if (!STOOK_MUTANT("caps")) check_caps(publication);
  indexer_->wait_for_room();
  const bool durable =
      durability_full_ || (publication.durable && !STOOK_MUTANT("durable-before-remove"));
  const std::uint64_t failures = durable ? writer_->sync_failures() : 0;
  Frame frame = frame_of(publication);
  frame.raw_bytes = publication.kind == RecordKind::result ? total_size(publication.value) : 0;
  frame.stored_bytes = frame.raw_bytes;
  std::span<const ByteSpan> value = publication.value;
  thread_local std::vector<std::byte> compressed;
  ByteSpan piece;
  std::shared_lock making(making_, std::defer_lock);  // until the record names the object
  if (publication.stored != nullptr) {
    take_stored(*publication.stored, frame);
    piece = publication.stored->bytes;
    value = frame.in_object ? std::span<const ByteSpan>() : std::span<const ByteSpan>(&piece, 1);
  } else if (frame.raw_bytes > kMostInline) {
    if (!STOOK_MUTANT("lock-objects")) making.lock();
    StoredObject object = objects_.write(value, frame.raw_bytes, publication.compress_level);
    frame.in_object = true;
    frame.object = object.name;
    frame.stored_bytes = object.stored_bytes;
    frame.compressed = object.compressed;
    writer_->sync_with_next({std::move(object.file), objects_.path_of(object.name)});
  } else if (compress(value, frame.raw_bytes, publication.compress_level, compressed)) {
    piece = compressed;
    value = {&piece, 1};
    frame.stored_bytes = compressed.size();
    frame.compressed = true;
  }
  const bool keeps = publication.keeps_claim && !STOOK_MUTANT("keep-claim");
  const std::span<const Key> release(&publication.key, keeps ? 0 : 1);
  const Entry entry = append(frame, publication, value, ItemKind::record, release);
  if (!durable) return entry;
  try {
    writer_->sync(failures);
  } catch (const CacheError& error) { throw AcceptedError(publication.key, error.what()); }
  return entry;
}

void PackStore::confirm(std::span<const Key> keys) {
  view_.confirm(keys);
  indexer_->push_confirmed(keys);
}

void PackStore::expose_id(const Key& key, std::uint64_t id, std::string_view class_name) {
  if (!view_.must_expose(key)) return;
  shared_.tell_id(key, id);
  Publication publication;
  publication.key = key;
  publication.id = id;
  publication.class_name = class_name;
  Frame frame = frame_of(publication);
  frame.kind = FrameKind::id_given;
  append(frame, publication, {}, ItemKind::given, {});
  if (!STOOK_MUTANT("expose-id")) writer_->write();
}

// Whoever executes the key has thought of an id, and may have made a directory of that name.
std::uint64_t PackStore::show_id(const Key& key, std::string_view class_name) {
  for (;;) {
    const std::uint64_t told = shared_.told_id(key);
    const std::uint64_t id = id_of(key);  // after that: there are no claims before the last word
    if (!view_.must_expose(key)) return id;
    if (told == 0) {
      if (shared_.claim(key)) return show_claimed(key, class_name);
      // Between its owner's claim and his next step; nothing announces that, so it is asked again.
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      continue;
    }
    const std::uint64_t shown = STOOK_MUTANT("told-id") ? id : told;
    expose_id(key, shown, class_name);
    return shown;
  }
}

std::uint64_t PackStore::show_claimed(const Key& key, std::string_view class_name) {
  std::uint64_t id = 0;
  try {
    bool is_new = false;
    id = look_at_claimed(key, {}, is_new).id;
    expose_id(key, id, class_name);
  } catch (...) {
    release(key);
    throw;
  }
  release(key);
  return id;
}

void PackStore::make_readable(const Entry& entry) {
  if (entry.pack == writer_->pack() && !writer_->is_written(entry.offset)) writer_->write();
}

// Written once more: a sync that has failed before has let go of what it was to save, and the next
// one says that all is well.
void PackStore::make_durable(const Entry& entry) {
  if (entry.pack == writer_->pack()) writer_->sync();  // objects, too
  const auto record = packs_.read(entry.pack, entry.offset);
  if (!record) throw CacheError(record.reason());
  const std::filesystem::path path = packs_.path_of(entry.pack);
  std::vector<std::byte> head(record->pack->header.length);
  const Fd file = os_open(path, O_RDWR);
  if (!file && (errno == EACCES || errno == EPERM || errno == EROFS)) {
    if (!os_sync_data(record->pack->fd.get())) throw_cache_error("sync", path);
    return;
  }
  const auto size = static_cast<ssize_t>(head.size());
  if (!file || os_pread(file.get(), head.data(), head.size(), 0) != size ||
      !os_pwrite(file.get(), head.data(), head.size(), 0) ||
      !os_pwrite(file.get(), record->bytes.data(), record->bytes.size(), entry.offset) ||
      !os_sync_data(file.get())) {
    throw_cache_error("sync", path);
  }
}

// The end of a run: the next one looks at the disk again.
void PackStore::sync() {
  packs_.drop_ahead();
  if (!STOOK_MUTANT("sync-end")) writer_->sync();
}

void PackStore::tell_index() { indexer_->flush(); }

void PackStore::flush() {
  tell_index();
  sync();
}

// --- Claims ----------------------------------------------------------------------------------

Claim PackStore::claim(const Key& key, Entry& entry, std::span<const Key> reads) {
  {
    std::shared_lock making(making_, std::defer_lock);  // a worker may write objects from now on
    if (!STOOK_MUTANT("lock-claims")) making.lock();
    if (!shared_.claim(key)) return Claim::held;
  }
  Entry now;
  try {
    bool is_new = false;  // nobody has seen its id, so whoever executes it has another one
    now = look_at_claimed(key, entry, is_new);
    if (now.pack == 0) shared_.tell_id(key, now.id);
    const bool moved =
        entry.state != RecordState::fresh || now.pack != entry.pack || now.offset != entry.offset;
    if (now.state == RecordState::fresh && moved && !STOOK_MUTANT("claim-looks-again")) {
      entry = now;
      release(key);
      return Claim::published;
    }
    // Where nothing is shared ids that nobody wrote down are given again.
    const bool may_live = !is_new || shared_.shares_nothing();
    const bool lives = may_live && shared_.orphans().has(key);
    if (lives || !shared_.hold_directories(key, now.has_directory, reads)) {
      shared_.give_up(key);
      return lives ? Claim::orphaned : Claim::held;
    }
    shared_.orphans().forget(key);
  } catch (...) {  // nobody was told that it is claimed
    if (!STOOK_MUTANT("release-unknown")) release(key);
    throw;
  }
  entry = now;
  return Claim::acquired;
}

Entry PackStore::look_at_claimed(const Key& key, const Entry& before, bool& is_new) {
  try {
    return view_.claimed(key, is_new);
  } catch (const DatabaseError& error) {
    index_failed(error);
    Entry entry = unknown();
    entry.id = before.id != 0 ? before.id : shared_.take_id();
    entry.has_directory = before.has_directory;
    return entry;
  }
}

bool PackStore::is_executed(const Key& key) { return shared_.orphans().is_executed(key); }

void PackStore::release(const Key& key) { shared_.release({&key, 1}); }

void PackStore::end_claim(const Key& key) { writer_->release_written(key); }

std::uint64_t PackStore::wait_for_release(std::uint64_t since, std::chrono::milliseconds timeout) {
  return shared_.wait_for_release(since, timeout);
}

std::filesystem::path PackStore::task_path(std::string_view class_name, std::uint64_t id) const {
  return layout_.tasks / safe_name(class_name) / std::to_string(id);
}

}  // namespace stook::detail
