#include "runtime/task_directory.h"

#include <cerrno>
#include <fstream>
#include <initializer_list>

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

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

// It is gone in one step, whatever the permissions of what is in it. False: it is still there.
bool discard(const fs::path& root, const fs::path& path) {
  if (!is_there(path)) return true;
  const fs::path trash = root / "spool" / "trash";
  std::error_code ignored;
  fs::create_directories(trash, ignored);
  const fs::path place = trash / os_unique_name();
  bool moved = os_rename(path, place);
  if (!moved && errno == EACCES) {  // a directory that changes its parent is written to
    fs::permissions(path, fs::perms::owner_all, fs::perm_options::add, ignored);
    moved = os_rename(path, place);
  }
  if (moved) (void)os_remove_tree(place);  // what is left goes with the rest of the trash
  return moved;
}

// The last good content comes back; without any there was none. False: it is to be tried again.
bool restore(const fs::path& root, const fs::path& data, const fs::path& previous) {
  if (!discard(root, data)) return false;
  if (STOOK_MUTANT("rename-back")) return true;
  return !is_there(previous) || os_rename(previous, data);
}

// Nothing below the cache is made or removed through a symbolic link.
bool has_link(const fs::path& root, const fs::path& path) {
  fs::path at = root;
  std::error_code ignored;
  for (const fs::path& part : path.lexically_relative(root)) {
    at /= part;
    if (fs::is_symlink(fs::symlink_status(at, ignored))) return true;
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

// Whether the record is of what lies in `data`: the process died after it had published and before
// it could remove what it had moved aside.
bool was_published(Store& store, const Entry& entry, const fs::path& data) {
  if (entry.state == RecordState::missing) return false;
  const auto record = store.read_record(entry);
  if (!record) return false;
  if (record->directory.is_zero() || !is_there(data)) {
    return record->directory.is_zero() && !is_there(data);  // the newest result has no directory
  }
  try {
    return digest_directory(data) == record->directory;
  } catch (const UnreadableDirectory& unreadable) {
    // What is published could be read. Without descriptors or memory nobody knows.
    const int error = unreadable.error;
    if (error == EMFILE || error == ENFILE || error == ENOMEM) throw;
    if (STOOK_MUTANT("unreadable-attempt")) throw;
    return false;
  }
}

// False: it is to be tried again.
bool settle(Store& store, const Entry& entry, const fs::path& path) {
  const fs::path data = path / "data", previous = path / "data.previous";
  if (!STOOK_MUTANT("directory-of-which") && was_published(store, entry, data)) {
    return discard(store.root(), previous);
  }
  return restore(store.root(), data, previous);
}

// Settles the directory that a marker names. False: it is to be tried again.
bool settle_marked(Store& store, const Entry& entry, const fs::path& marker) {
  const fs::path root = store.root();
  std::string relative;
  std::ifstream file(marker);
  std::getline(file, relative);  // a class name may hold spaces
  const fs::path path = (root / relative).lexically_normal();
  const bool inside =
      STOOK_MUTANT("marker-inside") ||
      (!relative.empty() && path.native().starts_with((root / "tasks" / "").native()) &&
       !has_link(root, path / "data") && !has_link(root, path / "data.previous"));
  return !inside || settle(store, entry, path);
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
  if (!restore(root_, data_, previous_)) return;  // whoever opens the cache next finds the marker
  fs::remove(marker_, ignored);
  fs::remove(path_, ignored);  // only where nothing is left in it
}

// The marker comes first: whoever finds it after a crash knows where to look.
void TaskDirectory::move_aside() {
  if (moved_) return;
  refuse_links(root_, {data_, previous_, marker_});
  fs::create_directories(marker_.parent_path());
  if (!STOOK_MUTANT("mark-before-move")) {
    std::ofstream marker(marker_);
    marker << fs::relative(path_, root_).string() << '\n';
    if (!marker.flush()) {  // nothing moves without it
      throw CacheError("cannot make the task's directory: cannot write " + marker_.string());
    }
  }
  std::error_code error;
  if (fs::exists(previous_)) {
    moved_ = true;
    // An attempt of this run died in another process: what lies in data is not a result.
    if (!discard(root_, data_)) throw fs::filesystem_error("move away", data_, last_error());
  } else if (fs::exists(data_)) {
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
  std::error_code ignored;
  try {
    if (!used_ && (fs::exists(data_, ignored) || fs::exists(previous_, ignored))) move_aside();
  } catch (const fs::filesystem_error& error) {
    throw CacheError(std::string("cannot put the task's directory aside: ") + error.what());
  }
}

void TaskDirectory::adopt() {
  std::error_code ignored;
  moved_ = fs::exists(marker_, ignored);
  used_ = moved_ && fs::exists(data_, ignored);
}

Digest TaskDirectory::digest() const {
  try {
    return digest_directory(data_);
  } catch (const UnreadableDirectory& error) {  // the task's doing, not the cache's
    throw Error(std::string("what the task has left in its directory cannot be read: ") +
                error.what());
  }
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

Entry publish_with(Store& store, const Publication& publication, TaskDirectory* directory) {
  Entry entry;
  try {
    entry = store.publish(publication);
  } catch (const AcceptedError&) {
    if (directory != nullptr && !STOOK_MUTANT("keep-accepted")) directory->hand_over();
    throw;
  }
  try {
    if (directory != nullptr) directory->commit(store, entry);
  } catch (const std::exception& error) { throw AcceptedError(publication.key, error.what()); }
  return entry;
}

void settle_attempt(Store& store, const Key& key, const Entry& entry, const fs::path& path) {
  const fs::path marker = marker_of(store.root(), key);
  // Without a marker: the power failed, or an older version could not remove what it had moved.
  if (STOOK_MUTANT("settle-attempt") || (!is_there(marker) && !is_there(path / "data.previous"))) {
    return;
  }
  refuse_links(store.root(), {path / "data", path / "data.previous", marker});
  if (!settle(store, entry, path)) {
    throw CacheError("cannot put right what an attempt that died has left in " + path.string() +
                     ": " + last_error().message());
  }
  std::error_code ignored;
  fs::remove(marker, ignored);
}

void restore_directories(Store& store) {
  std::error_code ignored;
  const fs::path root = store.root();
  for (const auto& entry : fs::directory_iterator(root / "spool", ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(marker_prefix) || !fs::is_regular_file(entry.symlink_status(ignored))) {
      continue;
    }
    const Key key = key_from_hex(name.substr(marker_prefix.size()));
    Entry found;
    store.lookup({&key, 1}, {&found, 1});
    if (store.claim(key, found) == Claim::held && !STOOK_MUTANT("attempt-still-running"))
      continue;  // its attempt is still running
    try {
      if (settle_marked(store, found, entry.path())) fs::remove(entry.path(), ignored);
    } catch (...) {
      store.release(key);
      throw;
    }
    store.release(key);
  }
}

}  // namespace stook::detail
