#include "runtime/found_inputs.h"

#include <ctime>

#include "src/hash.h"
#include "src/mutant.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

// A file changed less than this ago may change again without its stamp showing it.
constexpr std::int64_t racy_window_ns = 2'000'000'000;

std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

const ExternalSpec& external(const SpecPtr& spec) {
  return static_cast<const ExternalSpec&>(*spec);
}

// What no content has.
Digest changed_meanwhile() { return Digest{hash_bytes("stook external: changed meanwhile")}; }

// `held`: the file did not change while it was read.
Digest read(const ExternalSpec& file, DigestCache& digests, FileStamp& stamp, bool& held) {
  Digest digest;
  if (digests.find(file.name, stamp, digest)) return digest;
  constexpr int attempts = 3;
  for (int i = 0; i < attempts; ++i) {
    const std::int64_t now = clock_ns(CLOCK_REALTIME);
    digest = file.digest();
    const FileStamp after = stamp_of(file.name);
    if (after == stamp) {
      if (stamp.exists() && stamp.latest_change_ns() < now - racy_window_ns) {
        digests.put(file.name, stamp, digest);
      } else {
        digests.see(file.name, stamp);
      }
      return digest;
    }
    stamp = after;
  }
  held = false;
  return digest;
}

}  // namespace

SpecPtr file_spec(const std::string& path) {
  return SpecPtr(new ExternalSpec(ExternalSpec::What::file, normal_path(path), nullptr));
}

void refuse_directory(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(file, ignored)) return;
  throw InvalidArgument(file.string() +
                        " is a directory, and add_input() takes files: give the task a member "
                        "`stook::Directory`, or add the files in it");
}

UpstreamSeen found_mark() {
  static const Hash128 mark = hash_bytes("stook: inputs found while running follow");
  return {Key{mark}, Digest{mark}};
}

bool is_found_mark(const UpstreamSeen& seen) {
  return seen.key == found_mark().key && is_constant(seen);
}

std::size_t DigestCache::FileHash::operator()(
    const std::pair<std::int64_t, std::int64_t>& device_and_inode) const {
  const std::hash<std::int64_t> hash;
  return hash(device_and_inode.second) * 31 + hash(device_and_inode.first);
}

void DigestCache::add_name(const std::string& path, const FileStamp& stamp, bool settled,
                           std::int64_t now_ns) {
  const auto [at, is_new] = names_.try_emplace(path);
  Named& named = at->second;
  if (is_new || named.stamp != stamp) named = {stamp, now_ns, settled, !is_new};
  if (settled && !named.settled) {
    named.settled = true;
    named.since_ns = now_ns;
  }
}

void DigestCache::see(const std::string& path, const FileStamp& stamp) {
  const std::lock_guard lock(mutex_);
  add_name(path, stamp, false, 0);
}

bool DigestCache::find(const std::string& path, const FileStamp& stamp, Digest& digest) {
  const std::int64_t now = clock_ns(CLOCK_REALTIME);
  const std::lock_guard lock(mutex_);
  const auto found = files_.find({stamp.device, stamp.inode});
  if (found == files_.end() || found->second.stamp != stamp) return false;
  digest = found->second.digest;
  add_name(path, stamp, true, now);
  return true;
}

void DigestCache::put(const std::string& path, const FileStamp& stamp, const Digest& digest) {
  const std::int64_t now = clock_ns(CLOCK_REALTIME);
  const std::lock_guard lock(mutex_);
  const auto [at, is_new] = files_.try_emplace({stamp.device, stamp.inode});
  if (is_new || at->second.stamp != stamp) at->second = {stamp, digest, now, path};
  add_name(path, stamp, true, now);
}

bool DigestCache::knew_name(const std::string& path, const FileStamp& stamp,
                            std::int64_t exact_ns) {
  const std::lock_guard lock(mutex_);
  const auto name = names_.find(path);
  return name != names_.end() && name->second.settled && name->second.stamp == stamp &&
         name->second.since_ns <= exact_ns;
}

bool DigestCache::has_moved(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto name = names_.find(path);
  return name != names_.end() && name->second.moved;
}

std::string DigestCache::earlier_name(const FileStamp& stamp, std::int64_t exact_ns) {
  const std::lock_guard lock(mutex_);
  const auto file = files_.find({stamp.device, stamp.inode});
  const bool knew =
      file != files_.end() && file->second.stamp == stamp && file->second.since_ns <= exact_ns;
  return knew ? file->second.path : std::string();
}

Moment Moment::now() {
  const std::int64_t tick = clock_ns(CLOCK_REALTIME_COARSE);
  return {tick, clock_ns(CLOCK_REALTIME)};
}

FoundInput look_at_file(const std::string& path, DigestCache& digests) {
  FoundInput found;
  found.spec = file_spec(path);
  const std::int64_t now = clock_ns(CLOCK_REALTIME);
  FileStamp stamp = stamp_of(path);
  found.digest = read(external(found.spec), digests, stamp, found.certain);
  if (stamp.exists() && stamp.latest_change_ns() < now - racy_window_ns) {
    found.fingerprint = stamp.fingerprint();
  }
  return found;
}

namespace {

// But for the device: another machine, which has found it, gives its file systems other numbers.
bool is_of(const FileStamp& stamp, std::string_view fingerprint) {
  const std::string now = stamp.fingerprint();
  constexpr std::size_t device_size = sizeof stamp.device;
  return now.size() == fingerprint.size() &&
         std::string_view(now).substr(device_size) == fingerprint.substr(device_size);
}

}  // namespace

UpstreamSeen recheck_file(const ExternalSpec& file, const Digest& digest,
                          std::string_view fingerprint, const Moment& looked,
                          DigestCache& digests) {
  const FileStamp stamp = stamp_of(file.name);
  const bool same = is_of(stamp, fingerprint) || STOOK_MUTANT("recheck-same-file");
  if (same && stamp.exists() && stamp.latest_change_ns() < looked.tick_ns) {
    return {file.key, digest};
  }
  try {
    if (look_at_file(file.name, digests).digest == digest) return {file.key, digest};
  } catch (const CacheError&) {}  // what the task has made is not lost for that
  return {file.key, changed_meanwhile()};
}

void enter_found(Store& store, std::span<const FoundInput> found,
                 std::vector<UpstreamSeen>& upstream) {
  if (found.empty()) return;
  std::unordered_map<Key, std::size_t> declared;
  for (std::size_t i = 0; i < upstream.size(); ++i) declared.emplace(upstream[i].key, i);
  std::vector<Key> keys;
  for (const FoundInput& input : found) keys.push_back(input.spec->key);
  std::vector<Entry> entries(keys.size());
  store.lookup(keys, entries);
  upstream.push_back(found_mark());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const FoundInput& input = found[i];
    const Entry& entry = entries[i];
    const bool known = entry.state == RecordState::fresh &&
                       (entry.digest == input.digest || input.digest == unknown_digest());
    if (!known || input.made) {
      Publication publication;
      publication.key = input.spec->key;
      publication.id = entry.id != 0 ? entry.id : store.id_of(input.spec->key);
      publication.kind = RecordKind::external;
      publication.class_name = external(input.spec).class_name();
      publication.arguments = external(input.spec).arguments;
      publication.digest = input.digest;
      publication.codec = input.fingerprint;
      store.publish(publication);
    }
    const auto at = declared.find(input.spec->key);
    if (at == declared.end()) {
      upstream.push_back({keys[i], input.certain ? input.digest : changed_meanwhile()});
    } else if (!input.certain || upstream[at->second].digest != input.digest) {
      upstream[at->second].digest = changed_meanwhile();
    }
  }
}

namespace {

// Who has read it has done his work all the same.
FoundInput unreadable(SpecPtr spec) {
  FoundInput found;
  found.is_file = external(spec).what == ExternalSpec::What::file;
  found.spec = std::move(spec);
  found.digest = unknown_digest();
  found.certain = false;
  return found;
}

// Two ways to one name in one directory.
bool is_same_entry(const std::filesystem::path& one, const std::filesystem::path& other) {
  if (one.filename() != other.filename()) return false;
  const auto directory = [](const std::filesystem::path& path) {
    return stamp_of(path.has_parent_path() ? path.parent_path() : ".");
  };
  const FileStamp a = directory(one), b = directory(other);
  return a.exists() && a.device == b.device && a.inode == b.inode;
}

}  // namespace

Reading InputFinder::begin_reading() const {
  Moment moment = Moment::now();
  const std::int64_t give_up = moment.exact_ns + 100'000'000;  // clocks may be set back
  while (moment.tick_ns <= looked_.exact_ns && moment.exact_ns < give_up) {
    constexpr timespec pause{0, 500'000};
    ::nanosleep(&pause, nullptr);
    moment = Moment::now();
  }
  return Reading(moment);
}

FoundInput InputFinder::look(const std::string& path, const Reading& reading) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return look_at_directory(path, reading.start);
  FoundInput found;
  try {
    found = look(path);
  } catch (const UnreadableInput&) { return unreadable(file_spec(path)); }
  const Moment& start = reading.start;
  const FileStamp after = stamp_of(path);
  const Knowledge before = after.exists() ? knew(found, after, start) : Knowledge::none;
  if (!after.exists()) {
    found.certain = false;
  } else if (before != Knowledge::none) {
    // Whatever the clocks say: what is changed gets another stamp.
    found.in_place = before == Knowledge::of_name;
  } else if (after.earliest_change_ns() > start.exact_ns) {
    found.certain = false;
  } else if (after.latest_change_ns() >= start.tick_ns) {
    // In the tick of the start: as it should be if this run, or one before, knew it like this.
    Entry entry;
    store_.lookup({&found.spec->key, 1}, {&entry, 1});
    found.certain = entry.state == RecordState::fresh && entry.digest == found.digest;
  } else {
    found.in_place = false;
  }
  return found;
}

// It counts with all it holds, and is certain where the run had seen it so, or nothing in it was
// changed since the start.
FoundInput InputFinder::look_at_directory(const std::string& path, const Moment& start) const {
  FoundInput found;
  found.is_file = false;
  found.spec = SpecPtr(new ExternalSpec(ExternalSpec::What::directory, normal_path(path), nullptr));
  const ExternalSpec& directory = external(found.spec);
  try {
    found.fingerprint = directory.fingerprint();
    found.digest = directory.digest();
    const SeenInput* const seen = find_seen(seen_, directory.key);
    found.in_place = seen != nullptr && seen->digest == found.digest;
    found.certain = found.in_place || directory.latest_change_ns() < start.tick_ns;
  } catch (const UnreadableInput&) { return unreadable(found.spec); }
  return found;
}

void InputFinder::conclude(FoundInput& found, Reading& reading) {
  if (found.in_place) return;
  found.certain = found.certain && reading.paths.held(external(found.spec).name);
  found.in_place = true;
}

// Had the run seen the file like this before?
InputFinder::Knowledge InputFinder::knew(const FoundInput& found, const FileStamp& stamp,
                                         const Moment& start) {
  const ExternalSpec& file = external(found.spec);
  const SeenInput* const seen = find_seen(seen_, file.key);
  if (seen != nullptr && seen->digest == found.digest && stamp.is_same_file(seen->stamp)) {
    return digests_.has_moved(file.name) ? Knowledge::of_file : Knowledge::of_name;
  }
  if (digests_.knew_name(file.name, stamp, start.exact_ns)) return Knowledge::of_name;
  const std::string earlier = digests_.earlier_name(stamp, start.exact_ns);
  if (earlier.empty()) return Knowledge::none;
  // Renamed or linked in the tick of its stamp it would look as it did.
  const bool is_old = stamp.latest_change_ns() < start.tick_ns;
  return is_old || is_same_entry(earlier, file.name) ? Knowledge::of_file : Knowledge::none;
}

FoundInput InputFinder::made(const std::string& path, const FileStamp& stamp, bool settled,
                             const Digest& digest) {
  FoundInput found;
  found.spec = file_spec(path);
  found.digest = digest;
  found.made = true;
  if (settled) {
    found.fingerprint = stamp.fingerprint();
    digests_.put(external(found.spec).name, stamp, digest);
  }
  return found;
}

void InputFinder::add(FoundInput input) {
  const std::lock_guard lock(mutex_);
  if (keys_.insert(input.spec->key).second) found_.push_back(std::move(input));
}

bool InputFinder::is_as_seen(const std::string& path) const {
  const SeenInput* const seen = find_seen(seen_, file_spec(path)->key);
  if (seen == nullptr) return false;
  const FileStamp stamp = stamp_of(path);
  return stamp == seen->stamp && stamp.exists() && stamp.latest_change_ns() < looked_.tick_ns;
}

void InputFinder::recheck_all() {
  for (FoundInput& input : found_) {
    if (!input.is_file) continue;
    const UpstreamSeen seen =
        recheck_file(external(input.spec), input.digest, input.fingerprint, looked_, digests_);
    input.certain = input.certain && seen.digest == input.digest;
  }
}

void InputFinder::clear() {
  found_.clear();
  keys_.clear();
}

}  // namespace stook::detail
