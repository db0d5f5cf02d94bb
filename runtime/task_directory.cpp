#include "runtime/task_directory.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <initializer_list>
#include <thread>
#include <utility>

#include "cache/execution_lock.h"
#include "cache/fault.h"
#include "src/external.h"
#include "src/mutant.h"
#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view marker_prefix = "rebuild-";

fs::path marker_of(const fs::path& root, const Key& key) {
  return root / "spool" / (std::string(marker_prefix) + to_hex(key));
}

// Throws CacheError where that cannot be known.
fs::file_status look_at(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::none) throw_cache_error("look at", path, error.value());
  return status;
}

bool is_there(const fs::path& path) { return fs::exists(look_at(path)); }

// It is gone in one step, whatever the permissions of what is in it. False: it may still be there,
// and errno says why.
bool discard(const fs::path& root, const fs::path& path) {
  const fs::path trash = root / "spool" / "trash";
  const fs::path place = trash / os_unique_name();
  bool moved = os_rename(path, place);
  if (!moved && errno == ENOENT) {  // there is no trash yet, or nothing to discard
    std::error_code ignored;
    fs::create_directories(trash, ignored);
    moved = os_rename(path, place);
    if (!moved && errno == ENOENT) return fs::is_directory(trash, ignored);
  }
  if (!moved && errno == EACCES) {  // a directory that changes its parent is written to
    std::error_code ignored;
    fs::permissions(path, fs::perms::owner_all, fs::perm_options::add, ignored);
    moved = os_rename(path, place);
  }
  if (moved) (void)os_remove_tree(place);  // what is left goes with the rest of the trash
  return moved;
}

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

// Nothing below the cache is made or removed through a symbolic link.
bool has_link(const fs::path& root, const fs::path& path) {
  fs::path at = root;
  for (const fs::path& part : path.lexically_relative(root)) {
    at /= part;
    if (fs::is_symlink(look_at(at))) return true;
  }
  return false;
}

void refuse_links(const fs::path& root, std::initializer_list<fs::path> paths) {
  for (const fs::path& path : paths) {
    if (!has_link(root, path)) continue;
    throw CacheError("cannot make the task's directory: there is a symbolic link on the way to " +
                     path.string() + ", which is not followed");
  }
}

std::error_code last_error() { return {errno, std::generic_category()}; }

// Is that what lies there? What has no digest is nothing. Throws CacheError where it cannot be
// known.
bool is_content(const fs::path& path, const Digest& digest) {
  if (digest.is_zero() || !is_there(path)) return digest.is_zero() && !is_there(path);
  for (int tries = 0;; ++tries) {
    try {
      return digest_directory(path) == digest;
    } catch (const UnreadableDirectory& unreadable) {
      if (os_is_passing(unreadable.error) || STOOK_MUTANT("unreadable-attempt")) {
        throw_cache_error("look at", path, unreadable.error);
      }
      if (unreadable.error != EIO || tries > 0) return false;  // a disk that fails is asked twice
    }
  }
}

bool is_kept(const Entry& entry) {
  return entry.pack != 0 && (entry.state != RecordState::missing || entry.doubt == Doubt::not_kept);
}

// Its content is lost. Since the entry was looked up its record may have moved to another pack.
void mark_lost(Store& store, const Key& key, Entry entry, const fs::path& data) {
  Entry now;
  store.lookup({&key, 1}, {&now, 1});
  if (now.pack != 0 && now.digest == entry.digest) entry = now;
  store.mark_damaged(key, entry, "what it left in " + data.string() + " is not there any more");
  store.sync();  // before the marker goes
}

// Settles what an attempt that died has left: the record says whether it had published, and could
// only not remove what it had moved aside. Throws CacheError where that cannot be known or done:
// the record must not answer beside the content of another one.
void settle(Store& store, const Key& key, const Entry& entry, const fs::path& path) {
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

// What a marker says; empty: whoever wrote it died before anything moved.
std::string read_marker(const fs::path& marker) {
  const Fd file = os_open(marker, O_RDONLY);
  if (!file && is_no_file(errno)) return {};
  std::array<char, 4096> text{};
  const ssize_t size = file ? os_pread(file.get(), text.data(), text.size(), 0) : -1;
  if (size < 0) throw_cache_error("read", marker);
  const std::string_view line(text.data(), static_cast<std::size_t>(size));
  return std::string(line.substr(0, line.find('\n')));  // a class name may hold spaces
}

// Settles the directory that a marker names.
void settle_marked(Store& store, const Key& key, const Entry& entry, const fs::path& marker) {
  const fs::path root = store.root();
  const std::string relative = read_marker(marker);
  const fs::path path = (root / relative).lexically_normal();
  const bool inside =
      STOOK_MUTANT("marker-inside") ||
      (!relative.empty() && path.native().starts_with((root / "tasks" / "").native()) &&
       !has_link(root, path / "data") && !has_link(root, path / "data.previous"));
  if (inside) settle(store, key, entry, path);
}

Key key_from_hex(std::string_view hex) {
  Key key;
  for (std::size_t i = 0; i < 32 && i < hex.size(); ++i) {
    const char c = hex[i];
    const std::uint64_t digit = c >= 'a' ? c - 'a' + 10 : c - '0';
    (i < 16 ? key.high : key.low) = ((i < 16 ? key.high : key.low) << 4) | (digit & 15);
  }
  return key;
}

Key key_of(const fs::path& marker) {
  return key_from_hex(marker.filename().string().substr(marker_prefix.size()));
}

// Puts right what a marker names, where that can be claimed.
Claim restore_marked(Store& store, const fs::path& marker) {
  const Key key = key_of(marker);
  Entry found;
  store.lookup({&key, 1}, {&found, 1});
  Claim claim = Claim::published;
  while (claim == Claim::published) claim = store.claim(key, found);
  // Else its attempt is still running, or has just ended.
  if (claim != Claim::acquired && !STOOK_MUTANT("attempt-still-running")) return claim;
  try {
    settle_marked(store, key, found, marker);
    std::error_code ignored;
    fs::remove(marker, ignored);
  } catch (...) {
    store.release(key);
    throw;
  }
  store.release(key);
  return claim;
}

}  // namespace

TaskDirectory::TaskDirectory(const fs::path& root, const Key& key, fs::path path)
    : root_(root), path_(std::move(path)), data_(path_ / "data"),
      previous_(path_ / "data.previous"), marker_(marker_of(root_, key)) {}

TaskDirectory::TaskDirectory(Store& store, const Key& key, const Entry& entry, fs::path path)
    : TaskDirectory(store.root(), key, std::move(path)) {
  settle_attempt(store, key, entry, path_);
}

TaskDirectory::~TaskDirectory() {
  if (committed_ || (!used_ && !moved_)) return;
  std::error_code ignored;
  if (!restore(root_, data_, previous_)) return;  // whoever executes or opens next finds the marker
  fs::remove(marker_, ignored);
  fs::remove(path_, ignored);  // only where nothing is left in it
}

// Whoever finds the marker after a crash knows where to look. One that may be needed already is not
// written anew: it would be empty for a moment.
void TaskDirectory::mark() const {
  const std::string relative = fs::relative(path_, root_).string();
  fs::create_directories(marker_.parent_path());
  if (read_marker(marker_) != relative) {
    const std::string line = relative + '\n';
    const Fd file = os_open(marker_, O_CREAT | O_TRUNC | O_WRONLY);
    if (!file || !os_write(file.get(), line.data(), line.size())) {
      throw_cache_error("write", marker_);
    }
  }
  if (!replaces_ || STOOK_MUTANT("sync-marker")) return;
  const Fd file = os_open(marker_, O_RDONLY);
  if (!file || !os_sync_data(file.get()) || !os_sync_directory(marker_.parent_path())) {
    throw_cache_error("sync", marker_);
  }
}

// The marker comes first, and nothing moves without it.
void TaskDirectory::move_aside() {
  if (moved_) return;
  refuse_links(root_, {data_, previous_, marker_});
  const bool again = is_there(previous_);
  replaces_ = again || is_there(data_);
  if (!STOOK_MUTANT("mark-before-move")) mark();
  std::error_code error;
  if (again) {
    moved_ = true;
    // An attempt of this run died in another process: what lies in data is not a result.
    if (!discard(root_, data_)) throw fs::filesystem_error("move away", data_, last_error());
  } else if (replaces_) {
    if (!STOOK_MUTANT("rename-aside")) fs::rename(data_, previous_, error);
    moved_ = !error;
    if (!error) return;
    std::error_code ignored;
    fs::remove(marker_, ignored);  // nothing has moved: data is the last result's
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

// A network file system may not show here yet what was made there.
void TaskDirectory::adopt(const Entry& before) {
  moved_ = used_ = true;
  replaces_ = before.pack != 0 || is_there(previous_);
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
  std::error_code ignored;
  if (discard(root_, previous_)) fs::remove(marker_, ignored);
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
  const fs::path marker = marker_of(store.root(), key);
  if (STOOK_MUTANT("settle-attempt") || !is_unsettled(store.root(), key, path)) return;
  refuse_links(store.root(), {path / "data", path / "data.previous", marker});
  settle(store, key, entry, path);
  std::error_code ignored;
  fs::remove(marker, ignored);
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
  const bool stays = is_kept(before) && before.has_directory && !is_there(previous);
  if (stays && !STOOK_MUTANT("undo-unmoved")) return settle_attempt(store, key, before, path);
  if (!STOOK_MUTANT("undo-links")) refuse_links(root, {data, previous, marker});
  if (!restore(root, data, previous)) {
    throw_cache_error("put right what the task has left in", path);
  }
  std::error_code ignored;
  fs::remove(marker, ignored);
}

void restore_directories(Store& store) {
  const fs::path spool = store.root() / "spool";
  std::vector<std::string> names;
  if (!os_list(spool, names) && errno != ENOENT) throw_cache_error("list", spool);
  std::vector<fs::path> held, later;
  const auto restore = [&](const fs::path& marker) {
    const Claim claim = restore_marked(store, marker);
    if (claim == Claim::held) held.push_back(marker);
    if (claim == Claim::orphaned) later.push_back(marker);
  };
  for (const std::string& name : names) {
    const fs::path marker = spool / name;
    if (name.starts_with(marker_prefix) && fs::is_regular_file(look_at(marker))) restore(marker);
  }
  // By one who executes it, or one who asks just now, as this process does.
  if (!held.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (const fs::path& marker : std::exchange(held, {})) restore(marker);
  // What is made would lie beside a record that answers.
  const auto until = std::chrono::steady_clock::now() + kFence;
  for (const fs::path& marker : later) {
    Claim claim = Claim::orphaned;
    while (claim == Claim::orphaned || (claim == Claim::held && store.is_executed(key_of(marker)) &&
                                        std::chrono::steady_clock::now() < until)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      claim = restore_marked(store, marker);
    }
  }
}

}  // namespace stook::detail
