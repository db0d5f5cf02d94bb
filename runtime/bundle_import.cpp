#include "runtime/bundle_import.h"

#include <chrono>
#include <filesystem>
#include <thread>
#include <unordered_set>

#include "cache/bundle.h"
#include "cache/bundle_export.h"
#include "cache/layout.h"
#include "runtime/task_directory.h"
#include "src/mutant.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostTold = 1000;
constexpr std::size_t kMostAvoided = 1 << 18;

// What is not yet a result lies here; whoever is next alone in the cache sweeps what a death
// leaves.
class Workshop {
 public:
  explicit Workshop(const fs::path& root) : path(root / "spool" / ("import-" + os_unique_name())) {
    std::error_code error;
    if (!fs::create_directory(path, error)) {
      throw CacheError("import: cannot create " + path.string() + ": " + error.message());
    }
  }
  ~Workshop() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Workshop(const Workshop&) = delete;
  Workshop& operator=(const Workshop&) = delete;
  const fs::path path;
};

class Import {
 public:
  Import(Store& store, BundleReader& reader)
      : store_(store), reader_(reader), ids_(store, reader.head().last_id),
        workshop_(store.root()) {}

  void run() {
    BundleRecord record;
    while (reader_.next(record)) take(record);
    store_.flush();
    count_unproven();
  }

  ImportedBundle report;

 private:
  void take(const BundleRecord& record);
  void decide(const BundleRecord& record);
  void take_object(const Frame& frame);
  bool is_here(const Frame& frame, const Entry& entry);
  bool is_of_avoided(const Frame& frame) const;
  bool bind_id(const Frame& frame, bool has_id, Entry& entry);
  void claim_and_publish(const BundleRecord& record, Entry& entry);
  void publish(const BundleRecord& record, const Entry& entry);
  StoredValue stored_value(const BundleRecord& record);
  void avoid(const Frame& frame, const std::string& why);
  void avoid_other_id(const Frame& frame, const Entry& entry);
  void leave_out(const Frame& frame, const Entry& entry, const std::string& why);
  void tell(const Frame& frame, const std::string& what);
  void count_unproven();

  Store& store_;
  BundleReader& reader_;
  BundleIds ids_;
  const Workshop workshop_;
  bool object_taken_ = false;        // of the record at hand
  std::unordered_set<Key> avoided_;  // nothing made of these is taken
  std::vector<Key> recent_;          // imported, and not looked at since
};

bool has_directory(const Frame& frame) {
  return frame.kind == FrameKind::result && !frame.directory.is_zero();
}

RecordKind kind_of(const Frame& frame) {
  if (frame.kind == FrameKind::external) return RecordKind::external;
  return frame.kind == FrameKind::transient ? RecordKind::transient : RecordKind::result;
}

void Import::tell(const Frame& frame, const std::string& what) {
  if (report.messages.size() >= kMostTold) return;
  report.messages.push_back(safe_name(frame.class_name) + " #" + std::to_string(frame.id) + ": " +
                            what);
}

void Import::avoid(const Frame& frame, const std::string& why) {
  ++report.left_out;
  tell(frame, why);
  if (avoided_.size() == kMostAvoided) {
    throw CacheError("import: more than 262144 records cannot be taken into this cache: import "
                     "the bundle into an empty one");
  }
  avoided_.insert(frame.key);
}

// What was made of it may name files in its directory by the number it has there.
void Import::avoid_other_id(const Frame& frame, const Entry& entry) {
  if (STOOK_MUTANT("avoid-other-id")) return;
  if (has_directory(frame) && entry.id != frame.id) avoided_.insert(frame.key);
}

void Import::leave_out(const Frame& frame, const Entry& entry, const std::string& why) {
  ++report.left_out;
  tell(frame, why);
  avoid_other_id(frame, entry);
}

bool Import::is_of_avoided(const Frame& frame) const {
  if (avoided_.empty()) return false;
  for (std::size_t i = 0; i < frame.upstream_count(); ++i) {
    if (avoided_.contains(frame.upstream_at(i).key)) return true;
  }
  return false;
}

// A result that answers here stays, whatever the bundle says.
bool Import::is_here(const Frame& frame, const Entry& entry) {
  const bool not_kept = entry.state == RecordState::missing && entry.doubt == Doubt::not_kept;
  if (entry.state != RecordState::fresh && !not_kept) return false;
  if (entry.digest != frame.digest) {
    avoid_other_id(frame, entry);  // it may be the bundle's one day
    ++report.different;
    tell(frame, "this cache has another result, which is kept");
    return true;
  }
  if (not_kept && frame.kind == FrameKind::result) return false;  // its value comes back
  ++report.present;
  avoid_other_id(frame, entry);
  return true;
}

// An object comes once, and a later record may have the same.
void Import::take(const BundleRecord& record) {
  object_taken_ = false;
  decide(record);
  const Frame& frame = record.frame;
  if (!record.has_object || object_taken_ || STOOK_MUTANT("keep-skipped-object")) return;
  if (!has_object(store_, frame.object, frame.stored_bytes)) take_object(frame);
}

void Import::take_object(const Frame& frame) {
  object_taken_ = true;
  const fs::path file = workshop_.path / "object";
  reader_.take_object(file);
  adopt_object(store_, file, frame.object);
}

void Import::decide(const BundleRecord& record) {
  const Frame& frame = record.frame;
  Entry entry = look_up(store_, frame.key);
  if (is_of_avoided(frame)) {
    return avoid(frame, "left out: it was made of one whose directory has another number here");
  }
  if (is_here(frame, entry)) return;
  claim_and_publish(record, entry);
}

// What used its directory must have the number it had: paths in values go by it. Nobody else gives
// it one or uses its directory while it is claimed. has_id: it had one before.
bool Import::bind_id(const Frame& frame, bool has_id, Entry& entry) {
  if (!has_directory(frame) || entry.id == frame.id) return true;
  if (has_id || !ids_.take(frame.id)) return false;
  store_.expose_id(frame.key, frame.id, frame.class_name);
  entry = look_up(store_, frame.key);
  return entry.id == frame.id;  // else somebody has shown another one just before the claim
}

void Import::claim_and_publish(const BundleRecord& record, Entry& entry) {
  const Frame& frame = record.frame;
  const bool has_id = entry.id != 0;
  Claim claim = store_.claim(frame.key, entry);
  while (claim == Claim::orphaned) {  // not for long
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    claim = store_.claim(frame.key, entry);
  }
  switch (claim) {
    case Claim::orphaned:
    case Claim::held:
      return leave_out(frame, entry,
                       "left out: it is being computed, or its directory read, here now");
    case Claim::published:
      if (!is_here(frame, entry)) leave_out(frame, entry, "left out: it has just been computed");
      return;
    case Claim::acquired: break;
  }
  try {
    if (bind_id(frame, has_id, entry)) return publish(record, entry);
    avoid(frame, "left out: values may name its directory by the number " +
                     std::to_string(frame.id) +
                     ", and here that is another task's, or the task has another");
  } catch (const std::exception& error) {
    if (!is_accepted(error, frame.key)) store_.release(frame.key);
    throw;
  }
  store_.release(frame.key);
}

StoredValue Import::stored_value(const BundleRecord& record) {
  const Frame& frame = record.frame;
  StoredValue stored;
  stored.raw_bytes = frame.raw_bytes;
  stored.stored_bytes = frame.stored_bytes;
  stored.compressed = frame.compressed;
  stored.in_object = frame.in_object;
  stored.object = frame.object;
  if (!frame.in_object) {
    stored.bytes.assign(frame.value.begin(), frame.value.end());
  } else if (record.has_object) {
    take_object(frame);
  } else if (!has_object(store_, frame.object, frame.stored_bytes)) {
    reader_.refuse("the object of a record is missing: " + to_hex(frame.object));
  }
  return stored;
}

// First what belongs to it, under other names, then the record: it is visible when it is whole.
void Import::publish(const BundleRecord& record, const Entry& entry) {
  const Frame& frame = record.frame;
  const StoredValue stored = stored_value(record);
  TaskDirectory directory(store_, frame.key, entry, store_.task_path(frame.class_name, entry.id));
  if (has_directory(frame)) {
    const fs::path made = workshop_.path / "data";
    reader_.take_directory(made);
    directory.take(made);
  } else {
    directory.put_aside();
  }
  directory.sync();
  std::vector<UpstreamSeen> upstream(frame.upstream_count());
  for (std::size_t i = 0; i < upstream.size(); ++i) upstream[i] = frame.upstream_at(i);
  Publication publication;
  publication.key = frame.key;
  publication.id = entry.id;
  publication.kind = kind_of(frame);
  publication.class_name = frame.class_name;
  publication.version = frame.version;
  publication.arguments = frame.arguments;
  publication.upstream = upstream;
  publication.digest = frame.digest;
  publication.directory = frame.directory;
  // The stamp of a file on another machine says nothing here: it will be read.
  if (frame.kind != FrameKind::external) publication.codec = frame.codec;
  publication.started_ns = frame.started_ns;
  publication.duration_ns = frame.duration_ns;
  publication.run = frame.run;
  if (frame.kind == FrameKind::result) publication.stored = &stored;
  publish_with(store_, publication, &directory);
  ++report.imported;
  recent_.push_back(frame.key);
  if (recent_.size() == kMostAvoided) count_unproven();
}

void Import::count_unproven() {
  store_.flush();
  for (const Key& key : recent_) {
    Entry entry;
    store_.lookup({&key, 1}, {&entry, 1});
    report.unproven += entry.state == RecordState::suspect ? 1 : 0;
  }
  recent_.clear();
}

}  // namespace

ImportedBundle import_bundle(Store& store, int fd, const std::string& name, bool trusted) {
  BundleReader reader(fd, name, {trusted});
  // Or an id in a bundle might be that of an attempt that died, and of what it has left.
  restore_directories(store);
  Import work(store, reader);
  work.run();
  return std::move(work.report);
}

}  // namespace stook::detail
