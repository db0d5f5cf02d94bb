#include "runtime/task_directory.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "cache/attempt_marker.h"
#include "cache/execution_lock.h"
#include "cache/fault.h"
#include "cache/layout.h"
#include "runtime/places.h"
#include "src/external.h"
#include "src/mutant.h"
#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

// A directory that is not there has none.
bool sync_names(const fs::path& directory) {
  return os_sync_directory(directory) || errno == ENOENT;
}

// The last good content comes back; without any there was none. False: it is to be tried again.
bool restore(const fs::path& root, const fs::path& data, const fs::path& previous) {
  if (!discard(root, data)) return false;
  if (!STOOK_MUTANT("rename-back") && !os_rename(previous, data) && errno != ENOENT) return false;
  // Before the marker goes.
  return STOOK_MUTANT("sync-restored") || sync_names(data.parent_path());
}

std::error_code last_error() { return {errno, std::generic_category()}; }

// Does the error say that this is not what was published? Whatever could be read then, and cannot
// be now, is not; but a server that does not answer says nothing.
bool is_of_content(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case EIO:  // a disk that fails
    case EBADMSG:
    case EUCLEAN: return true;
    default: return false;
  }
}

// Is that what lies there? What has no digest is nothing. Throws CacheError where it cannot be
// known.
bool is_content(const fs::path& path, const Digest& digest) {
  if (digest.is_zero() || !is_there(path)) return digest.is_zero() && !is_there(path);
  try {
    return digest_directory(path) == digest;
  } catch (const UnreadableDirectory& unreadable) {
    if (is_of_content(unreadable.error) && !STOOK_MUTANT("unreadable-attempt")) return false;
    throw_cache_error("look at", path, unreadable.error);
  }
}

bool is_kept(const Entry& entry) {
  return entry.pack != 0 && (entry.state != RecordState::missing || entry.doubt == Doubt::not_kept);
}

// Without its record nobody knows what belongs there.
void require_known(const Entry& entry, const fs::path& path) {
  if (entry.known) return;
  throw CacheError("cannot put right what an attempt that died has left in " + path.string() +
                   ": the index is damaged; it is made anew when the cache is next opened by one "
                   "program alone");
}

// Its content is lost. Since the entry was looked up its record may have moved to another pack.
void mark_lost(Store& store, const Key& key, Entry entry, const fs::path& data) {
  Entry now;
  store.lookup({&key, 1}, {&now, 1});
  require_known(now, data);
  if (now.pack != 0 && now.digest == entry.digest) entry = now;
  store.mark_damaged(key, entry, "what it left in " + data.string() + " is not there any more");
  store.sync();  // before the marker goes
}

// Settles what an attempt that died has left: the record says whether it had published, and could
// only not remove what it had moved aside. Throws CacheError where that cannot be known or done:
// the record must not answer beside the content of another one.
void settle(Store& store, const Key& key, const Entry& entry, const fs::path& path) {
  require_known(entry, path);
  const fs::path data = path / "data", previous = path / "data.previous";
  Digest digest;
  bool known = false;
  if (is_kept(entry) && !STOOK_MUTANT("directory-of-which")) {
    if (const auto record = store.read_record(entry)) {
      digest = record->directory;
      known = true;
    }
  }
  bool good = false;
  if (known && is_content(data, digest)) {
    // It may have made the same as before, and not synced it; or the name has just come back.
    if (!STOOK_MUTANT("durable-before-settled")) store.make_durable(entry);
    const bool synced = digest.is_zero() || !is_there(previous) ||
                        STOOK_MUTANT("same-before-settled") || os_sync_tree(data);
    good = synced && sync_names(path) && discard(store.root(), previous);
  } else {
    good = restore(store.root(), data, previous);
    // Looked at once more: a network file system may not have shown before what was moved.
    const bool lost = good && is_kept(entry) && !STOOK_MUTANT("lost-content") &&
                      (!known || !is_content(data, digest));
    if (lost) mark_lost(store, key, entry, data);
  }
  if (!good) throw_cache_error("put right what an attempt that died has left in", path);
}

// Who died there had another id than the key has now: nobody looks for what he has left, but
// whoever gets that id would find it.
void settle_stray(Store& store, const Key& key, const AttemptMarker& left) {
  const fs::path place = store.root() / left.place;
  const auto owner = store.key_of(left.id);
  if (owner == key) {  // it has that id after all
    Entry now;
    store.lookup({&key, 1}, {&now, 1});
    return settle(store, key, now, place);
  }
  if (owner) return;  // its own attempts put it right
  refuse_links(store.root(), {place});
  if (!discard(store.root(), place)) throw_cache_error("remove what an attempt has left in", place);
}

// The key gets the id that it had when a process died, so that the next attempt finds its
// checkpoint. False: the id is another's by now, or it has got another one.
bool take_id_of(Store& store, const Key& key, const AttemptMarker& left, Entry& entry) {
  const std::string class_name = class_name_of(left.place.parent_path().filename().string());
  if (class_name.empty() || store.key_of(left.id)) return false;
  store.expose_id(key, left.id, class_name);
  store.flush();  // somebody may have shown another just before: the first in the index counts
  store.lookup({&key, 1}, {&entry, 1});
  return entry.id == left.id;
}

// Settles what a marker speaks of. `has_id`: the key had an id before it was claimed. Where it
// returns early the marker stays, for whoever opens the cache next.
void settle_marked(Store& store, const Key& key, Entry entry, bool has_id) {
  if (!entry.known) return;
  const fs::path root = store.root();
  const AttemptMarker left = read_marker(root, key);
  const fs::path place = root / left.place;
  const bool inside = !left.place.empty() && !has_link(root, place / "data") &&
                      !has_link(root, place / "data.previous");
  if (inside) {
    bool own = left.id == entry.id || STOOK_MUTANT("directory-of-its-id");
    if (!own && !has_id && is_there(place / "checkpoint")) {
      if (store.is_executed(key)) return;  // who was left behind uses it still
      try {
        own = take_id_of(store, key, left, entry);
      } catch (const CacheError&) { return; }  // a full disk, say, on which others can make room
    }
    own ? settle(store, key, entry, place) : settle_stray(store, key, left);
  }
  remove_marker(root, key);
}

// Puts right what is left of an attempt, where that can be claimed.
Claim restore_marked(Store& store, const Key& key) {
  Entry found;
  store.lookup({&key, 1}, {&found, 1});
  const bool has_id = found.id != 0;
  Claim claim = Claim::published;
  while (claim == Claim::published) claim = store.claim(key, found);
  // Else its attempt is still running, or has just ended.
  if (claim != Claim::acquired && !STOOK_MUTANT("attempt-still-running")) return claim;
  try {
    settle_marked(store, key, found, has_id);
  } catch (...) {
    store.release(key);
    throw;
  }
  store.release(key);
  return claim;
}

}  // namespace

TaskDirectory::TaskDirectory(const fs::path& root, const Key& key, fs::path path)
    : root_(root), key_(key), path_(std::move(path)), data_(path_ / "data"),
      previous_(path_ / "data.previous") {}

TaskDirectory::TaskDirectory(Store& store, const Key& key, const Entry& entry, fs::path path)
    : TaskDirectory(store.root(), key, std::move(path)) {
  settle_attempt(store, key, entry, path_);
}

TaskDirectory::~TaskDirectory() {
  if (committed_ || (!used_ && !moved_)) return;
  std::error_code ignored;
  if (!restore(root_, data_, previous_)) return;  // whoever executes or opens next finds the marker
  remove_marker(root_, key_);
  fs::remove(path_, ignored);  // only where nothing is left in it
}

// The marker comes first, and nothing moves without it.
void TaskDirectory::move_aside() {
  if (moved_) return;
  refuse_links(root_, {data_, previous_, marker_of(root_, key_)});
  const bool again = is_there(previous_);
  replaces_ = again || is_there(data_);
  if (!STOOK_MUTANT("mark-before-move")) leave_marker(root_, key_, path_, replaces_);
  std::error_code error;
  if (again) {
    moved_ = true;
    // An attempt of this run died in another process: what lies in data is not a result.
    if (!discard(root_, data_)) throw fs::filesystem_error("move away", data_, last_error());
  } else if (replaces_) {
    if (!STOOK_MUTANT("rename-aside")) fs::rename(data_, previous_, error);
    moved_ = !error;
    if (!error) return;
    remove_marker(root_, key_);  // nothing has moved: data is the last result's
    throw fs::filesystem_error("move aside", data_, error);
  } else {
    moved_ = true;
  }
}

const fs::path& TaskDirectory::data() {
  const std::lock_guard lock(mutex_);
  if (used_) return data_;
  try {
    move_aside();
    fs::create_directories(data_);
  } catch (const fs::filesystem_error& error) {
    throw CacheError(std::string("cannot make the task's directory: ") + error.what());
  }
  used_ = true;
  return data_;
}

void TaskDirectory::take(const fs::path& made) {
  (void)data();
  std::error_code error;
  fs::rename(made, data_, error);  // in place of the empty one
  if (error) throw CacheError("cannot make the task's directory: " + error.message());
}

void TaskDirectory::put_aside() {
  const std::lock_guard lock(mutex_);
  try {
    if (!used_ && (is_there(data_) || is_there(previous_))) move_aside();
  } catch (const fs::filesystem_error& error) {
    throw CacheError(std::string("cannot put the task's directory aside: ") + error.what());
  }
}

void TaskDirectory::keep_id() {
  const std::lock_guard lock(mutex_);
  try {
    if (!STOOK_MUTANT("keep-id")) move_aside();
  } catch (const fs::filesystem_error& error) {
    throw CacheError(std::string("cannot put the task's directory aside: ") + error.what());
  }
}

// A network file system may not show here yet what was made there.
void TaskDirectory::adopt(const Entry& before) {
  moved_ = used_ = true;
  replaces_ = before.has_directory || !before.known || is_there(previous_);
}

Digest TaskDirectory::digest() const {
  try {
    return digest_directory(data_);
  } catch (const UnreadableDirectory& error) {  // the task's doing, not the cache's
    throw Error(std::string("what the task has left in its directory cannot be read: ") +
                error.what());
  }
}

void TaskDirectory::sync() const {
  if (!moved_) return;
  const fs::path of_class = path_.parent_path();
  bool good = !used_ || STOOK_MUTANT("sync-directory") || os_sync_tree(data_);
  for (const fs::path& holder : {path_, of_class, of_class.parent_path()}) {
    good = good && (STOOK_MUTANT("sync-directory-name") || os_sync_directory(holder));
  }
  if (!good) throw_cache_error("sync", data_);
}

// Whoever dies must not leave the new content with the old record: that one may answer again. Where
// the new record cannot be written all stays, and whoever opens the cache next looks which is
// which.
void TaskDirectory::commit(Store& store, const Entry& published) {
  committed_ = true;
  if (!moved_) return;
  if (!STOOK_MUTANT("record-before-remove")) store.make_readable(published);
  if (discard(root_, previous_)) remove_marker(root_, key_);
}

// The claim lasts until what was moved aside is gone: whoever executes the task next moves this
// content there, and leaves his marker.
Entry publish_with(Store& store, Publication publication, TaskDirectory* directory) {
  if (directory == nullptr || !directory->moved()) return store.publish(publication);
  publication.keeps_claim = true;
  publication.durable = directory->replaces();
  Entry entry;
  try {
    entry = store.publish(publication);
  } catch (const AcceptedError&) {
    if (!STOOK_MUTANT("keep-accepted")) directory->hand_over();
    store.end_claim(publication.key);
    throw;
  }
  try {
    directory->commit(store, entry);
  } catch (const std::exception& error) {
    store.end_claim(publication.key);
    throw AcceptedError(publication.key, error.what());
  }
  store.end_claim(publication.key);
  return entry;
}

// Without a marker: the power failed, or an older version could not remove what it had moved.
bool is_unsettled(const fs::path& root, const Key& key, const fs::path& path) {
  return is_there(marker_of(root, key)) || is_there(path / "data.previous");
}

void settle_attempt(Store& store, const Key& key, const Entry& entry, const fs::path& path) {
  const fs::path root = store.root();
  if (STOOK_MUTANT("settle-attempt") || !is_unsettled(root, key, path)) return;
  refuse_links(root, {path / "data", path / "data.previous", marker_of(root, key)});
  require_known(entry, path);
  const AttemptMarker left = read_marker(root, key);
  const bool stray = !left.place.empty() && left.place.filename() != path.filename();
  if (stray) settle_stray(store, key, left);
  if (!stray || is_there(path / "data.previous")) settle(store, key, entry, path);
  remove_marker(root, key);
}

void undo_attempt(Store& store, const Key& key, const Entry& before, const fs::path& path) {
  const fs::path root = store.root(), marker = marker_of(root, key);
  // A network file system shows then what was made elsewhere.
  for (const fs::path& directory : {marker.parent_path(), path}) {
    (void)os_open(directory, O_RDONLY | O_DIRECTORY);
  }
  if (!is_unsettled(root, key, path)) return;
  const fs::path data = path / "data", previous = path / "data.previous";
  // It has moved nothing, or has put all back, or nothing was there: that is looked at.
  const bool looked_at = !before.known || (is_kept(before) && before.has_directory);
  const bool stays = looked_at && !is_there(previous);
  if (stays && !STOOK_MUTANT("undo-unmoved")) return settle_attempt(store, key, before, path);
  if (!STOOK_MUTANT("undo-links")) refuse_links(root, {data, previous, marker});
  if (!restore(root, data, previous)) {
    throw_cache_error("put right what the task has left in", path);
  }
  remove_marker(root, key);
}

void restore_directories(Store& store) {
  std::vector<Key> held, later;
  const auto restore = [&](const Key& key) {
    const Claim claim = restore_marked(store, key);
    if (claim == Claim::held) held.push_back(key);
    if (claim == Claim::orphaned) later.push_back(key);
  };
  for (const Key& key : markers_left(store.root())) restore(key);
  // By one who executes it, or one who asks just now, as this process does.
  if (!held.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (const Key& key : std::exchange(held, {})) restore(key);
  // What is made would lie beside a record that answers.
  const auto until = std::chrono::steady_clock::now() + kFence;
  for (const Key& key : later) {
    Claim claim = Claim::orphaned;
    while (claim == Claim::orphaned || (claim == Claim::held && store.is_executed(key) &&
                                        std::chrono::steady_clock::now() < until)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      claim = restore_marked(store, key);
    }
  }
}

}  // namespace stook::detail
