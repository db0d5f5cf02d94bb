#include "cache/bundle_export.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <unordered_set>

#include "cache/bundle.h"
#include "cache/fault.h"
#include "cache/pack_store.h"
#include "src/external.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

constexpr std::size_t kMostTold = 1000;

PackStore& real(Store& store) {
  auto* real = dynamic_cast<PackStore*>(&store);
  if (real == nullptr) throw CacheError("bundle a cache: this store is not one on disk");
  return *real;
}

bool answers(const Entry& entry) {
  return entry.state == RecordState::fresh ||
         (entry.state == RecordState::missing && entry.doubt == Doubt::not_kept);
}

class Export {
 public:
  explicit Export(Store& store) : store_(real(store)) {}

  void select(const std::string& pattern);
  void walk();
  void write(int fd, const std::string& name);

  ExportedBundle report;

 private:
  enum class Place : std::uint8_t { open, carried, left_out };
  struct Visit {
    Key key;
    bool entered = false;
  };
  void visit(const Key& key);
  void settle(const Key& key);
  void leave_out(const Key& key, const std::string& what, const std::string& why);
  std::string defect_of(const OwnedFrame& owned);
  std::string defect_of_directory(const Frame& frame);

  PackStore& store_;
  std::vector<Key> selected_;
  std::vector<Visit> stack_;
  std::unordered_map<Key, Place> places_;
  std::vector<std::pair<Key, Entry>> order_;  // upstream first
  std::unordered_set<Key> objects_;           // their names, in a key's clothes
  BundleHead head_;
};

void Export::select(const std::string& pattern) {
  std::uint64_t id = 0;
  if (pattern.starts_with('#')) {
    const auto [end, error] =
        std::from_chars(pattern.data() + 1, pattern.data() + pattern.size(), id);
    if (error != std::errc() || end != pattern.data() + pattern.size() || id == 0) {
      throw InvalidArgument("a task's id is a number: #17, not '" + pattern + "'");
    }
  }
  bool matched = pattern.empty();
  store_.for_each(id != 0 ? "" : pattern, [&](const Key& key, const Entry& entry) {
    if (id != 0 && entry.id != id) return true;
    matched = true;
    if (entry.state == RecordState::fresh) selected_.push_back(key);
    return true;
  });
  if (!matched) {
    throw InvalidArgument("export '" + pattern + "': no task in this cache has such a " +
                          (id != 0 ? "number" : "class") + "; `stook stats` lists the classes");
  }
}

void Export::leave_out(const Key& key, const std::string& what, const std::string& why) {
  places_[key] = Place::left_out;
  ++report.left_out;
  if (report.messages.size() < kMostTold) report.messages.push_back(what + ": left out: " + why);
}

// A worklist: chains of a million records are legal.
void Export::walk() {
  for (const Key& key : selected_) {
    stack_.push_back({key});
    while (!stack_.empty()) {
      Visit& top = stack_.back();
      const Key now = top.key;
      if (top.entered) {
        stack_.pop_back();
        settle(now);
      } else if (places_.contains(now)) {
        stack_.pop_back();
      } else {
        top.entered = true;
        visit(now);
      }
    }
  }
  for (const Key& key : selected_) report.results += places_[key] == Place::carried ? 1 : 0;
}

void Export::visit(const Key& key) {
  places_[key] = Place::open;
  Entry entry;
  store_.lookup({&key, 1}, {&entry, 1});
  if (!answers(entry) || entry.pack == 0) return;
  const auto record = store_.read_record(entry);
  if (!record) return;
  for (const UpstreamSeen& seen : record->upstream) {
    if (!is_constant(seen) && !places_.contains(seen.key)) stack_.push_back({seen.key});
  }
}

// All that it was made of has been settled.
void Export::settle(const Key& key) {
  if (places_[key] != Place::open) return;
  Entry entry;
  store_.lookup({&key, 1}, {&entry, 1});
  if (!answers(entry) || entry.pack == 0) {
    return leave_out(key, "task #" + std::to_string(entry.id), "it has no result that is fresh");
  }
  store_.make_readable(entry);
  const auto owned = store_.packs().read(entry.pack, entry.offset);
  if (!owned) return leave_out(key, "task #" + std::to_string(entry.id), owned.reason());
  const Frame& frame = owned->frame;
  const std::string what = safe_name(frame.class_name) + " #" + std::to_string(entry.id);
  if (frame.digest != entry.digest || (frame.id != entry.id && !frame.directory.is_zero())) {
    return leave_out(key, what, "its record is not the one the index names");
  }
  for (std::size_t i = 0; i < frame.upstream_count(); ++i) {
    const UpstreamSeen seen = frame.upstream_at(i);
    if (is_constant(seen) || places_[seen.key] == Place::carried) continue;
    return leave_out(key, what, "a task that it was made of is left out");
  }
  if (const std::string defect = defect_of(*owned); !defect.empty()) {
    return leave_out(key, what, defect);
  }
  if (owned->bytes.size() > kMostUntrustedFrame && report.messages.size() < kMostTold) {
    report.messages.push_back(what + ": its record has more than 4 MiB: import with --trust");
  }
  places_[key] = Place::carried;
  order_.emplace_back(key, entry);
  ++head_.records;
}

// Looked at before anything is written: a bundle begins with its sizes.
std::string Export::defect_of(const OwnedFrame& owned) {
  const Frame& frame = owned.frame;
  constexpr std::uint64_t kMostHeader = 2200;  // it may be in a pack of its own
  head_.bytes += owned.bytes.size() + kMostHeader;
  if (frame.kind != FrameKind::result) return {};
  if (!frame.directory.is_zero()) {
    if (std::string defect = defect_of_directory(frame); !defect.empty()) return defect;
  }
  if (!frame.in_object || objects_.contains(Key{frame.object})) return {};
  if (!has_object(store_, frame.object, frame.stored_bytes)) return "its object is damaged or gone";
  objects_.insert(Key{frame.object});
  head_.bytes += frame.stored_bytes;
  return {};
}

std::string Export::defect_of_directory(const Frame& frame) {
  constexpr const char* gone = "its directory is gone";
  const auto data = store_.task_path(frame.class_name, frame.id) / "data";
  std::uint64_t bytes = 0;
  try {
    for (const auto& path : entries_below(data)) {
      struct stat status = {};
      if (lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return gone;
        throw_cache_error("look at", path);
      }
      if (S_ISLNK(status.st_mode)) return path.string() + " is a symbolic link";
      if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
        return path.string() + " is neither a file nor a directory";
      }
      if (S_ISREG(status.st_mode)) bytes += static_cast<std::uint64_t>(status.st_size);
    }
    if (digest_directory(data) != frame.directory) {
      return "its directory is not what its record says";
    }
  } catch (const std::filesystem::filesystem_error& error) {
    if (error.code() == std::errc::no_such_file_or_directory) return gone;
    throw CacheError(std::string("export: ") + error.what());
  } catch (const UnreadableDirectory& error) {
    if (error.error == ENOENT) return gone;
    throw;
  }
  head_.bytes += bytes;
  head_.last_id = std::max(head_.last_id, frame.id);
  return {};
}

void Export::write(int fd, const std::string& name) {
  BundleWriter writer(fd, name, head_);
  std::unordered_set<Key> written;
  for (const auto& [key, entry] : order_) {
    const auto owned = store_.packs().read(entry.pack, entry.offset);
    if (!owned) throw SourceChanged("export: " + owned.reason() + "; export again");
    const Frame& frame = owned->frame;
    writer.add(*owned);
    if (frame.in_object && written.insert(Key{frame.object}).second) {
      writer.add_object(store_.objects().path_of(frame.object), frame.object);
    }
    if (frame.kind == FrameKind::result && !frame.directory.is_zero()) {
      writer.add_directory(store_.task_path(frame.class_name, frame.id) / "data", frame);
    }
  }
  writer.finish();
  report.records = head_.records;
  report.bytes = head_.bytes;
}

}  // namespace

ExportedBundle export_bundle(Store& store, int fd, const std::string& name,
                             const std::vector<std::string>& patterns) {
  store.flush();
  Export work(store);
  if (patterns.empty()) work.select("");
  for (const std::string& pattern : patterns) work.select(pattern);
  work.walk();
  work.write(fd, name);
  return std::move(work.report);
}

// The index comes last: an id that is published meanwhile is not only in memory any more, and then
// has a row.
BundleIds::BundleIds(Store& store, std::uint64_t last) : store_(store) {
  PackStore& there = real(store);
  first_ = there.shared().take_ids(last);
  alone_ = there.shared().is_alone();
  in_memory_ = there.view().unrecorded_ids();
  std::sort(in_memory_.begin(), in_memory_.end());
  if (!STOOK_MUTANT("ids-then-index")) there.flush();
}

bool BundleIds::take(std::uint64_t id) {
  constexpr std::size_t kMostTaken = 4096;
  if (std::find(taken_.begin(), taken_.end(), id) != taken_.end()) return false;
  if (id < first_ && (!alone_ || std::binary_search(in_memory_.begin(), in_memory_.end(), id))) {
    return false;
  }
  bool there = false;
  real(store_).view().read(
      [&](View::Tables& tables) { there = tables.rows.find_id(id).has_value(); });
  if (there) return false;
  if (taken_.size() == kMostTaken) {  // all of them are in the index then
    store_.flush();
    taken_.clear();
  }
  taken_.push_back(id);
  return true;
}

Entry look_up(Store& store, const Key& key) {
  Entry entry;
  real(store).view().lookup({&key, 1}, {&entry, 1});
  return entry;
}

void adopt_object(Store& store, const std::filesystem::path& file, const Hash128& name) {
  real(store).objects().adopt(file, name);
}

bool has_object(Store& store, const Hash128& name, std::uint64_t stored_bytes) {
  return real(store).objects().is_whole(name, stored_bytes);
}

}  // namespace stook::detail
