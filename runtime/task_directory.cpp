#include "runtime/task_directory.h"

#include <fstream>

#include "src/external.h"
#include "src/mutant.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view marker_prefix = "rebuild-";

// The last good content comes back; without any there was none. False: it is to be tried again.
bool restore(const fs::path& data, const fs::path& previous) {
  std::error_code error;
  try {
    fs::remove_all(data, error);
  } catch (const fs::filesystem_error&) { return false; }  // libstdc++ 12, in spite of the code
  if (STOOK_MUTANT("rename-back")) return true;
  if (fs::exists(previous, error)) fs::rename(previous, data, error);
  return !error;
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

// Whether the record is of what lies in `data`: the process died after it had published and before
// it could remove what it had moved aside.
bool was_published(Store& store, const Entry& entry, const fs::path& data) {
  std::error_code ignored;
  if (entry.state == RecordState::missing) return false;
  const auto record = store.read_record(entry);
  if (!record || !record->directory.is_zero()) {
    return record && fs::exists(data, ignored) && digest_directory(data) == record->directory;
  }
  return !fs::exists(data, ignored);  // the newest result has no directory
}

// The data of the record stays or comes back; the marker goes. False: it is to be tried again.
bool settle(Store& store, const Entry& entry, const fs::path& path, const fs::path& marker) {
  const fs::path data = path / "data", previous = path / "data.previous";
  std::error_code ignored;
  try {
    if (!STOOK_MUTANT("directory-of-which") && was_published(store, entry, data)) {
      fs::remove_all(previous, ignored);
    } else if (!restore(data, previous)) {
      return false;
    }
  } catch (const fs::filesystem_error&) { return false; }
  fs::remove(marker, ignored);
  return true;
}

fs::path marker_of(const fs::path& root, const Key& key) {
  return root / "spool" / (std::string(marker_prefix) + to_hex(key));
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

TaskDirectory::~TaskDirectory() {
  if (committed_ || (!used_ && !moved_)) return;
  std::error_code ignored;
  if (!restore(data_, previous_)) return;  // whoever opens the cache next finds the marker
  fs::remove(marker_, ignored);
  fs::remove(path_, ignored);  // only where nothing is left in it
}

// The marker comes first: whoever finds it after a crash knows where to look.
void TaskDirectory::move_aside() {
  if (moved_) return;
  if (has_link(root_, data_) || has_link(root_, previous_) || has_link(root_, marker_)) {
    throw CacheError("cannot make the task's directory: there is a symbolic link on the way to " +
                     data_.string() + ", which is not followed");
  }
  fs::create_directories(marker_.parent_path());
  if (!STOOK_MUTANT("mark-before-move")) {
    std::ofstream(marker_) << fs::relative(path_, root_).string() << '\n';
  }
  std::error_code error;
  if (fs::exists(previous_)) {
    moved_ = true;
    // An attempt before this one died: what lies in data is not a result.
    fs::remove_all(data_);
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

Digest TaskDirectory::digest() const { return digest_directory(data_); }

// Whoever dies must not leave the new content with the old record: that one may answer again. Where
// the new record cannot be written all stays, and whoever opens the cache next looks which is
// which.
void TaskDirectory::commit(Store& store, const Entry& published) {
  committed_ = true;
  if (!moved_) return;
  if (!STOOK_MUTANT("record-before-remove")) store.make_readable(published);
  std::error_code ignored;
  fs::remove_all(previous_, ignored);
  fs::remove(marker_, ignored);
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

void settle_left_over(Store& store, const Key& key, const Entry& entry,
                      std::string_view class_name) {
  if (entry.pack == 0) return;  // without a record nothing that lies there is anybody's
  const fs::path marker = marker_of(store.root(), key);
  std::error_code ignored;
  if (!fs::exists(marker, ignored) || STOOK_MUTANT("settle-left-over")) return;
  const fs::path path = store.task_path(class_name, entry.id);
  if (has_link(store.root(), path / "data") || has_link(store.root(), path / "data.previous"))
    return;
  if (!settle(store, entry, path, marker)) {
    throw CacheError("cannot give the task's directory back: " + (path / "data").string());
  }
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
    std::string relative;
    std::ifstream marker(entry.path());
    std::getline(marker, relative);  // a class name may hold spaces
    const fs::path path = (root / relative).lexically_normal();
    const bool inside =
        STOOK_MUTANT("marker-inside") ||
        (!relative.empty() && path.native().starts_with((root / "tasks" / "").native()) &&
         !has_link(root, path / "data") && !has_link(root, path / "data.previous"));
    if (inside) (void)settle(store, found, path, entry.path());
    else fs::remove(entry.path(), ignored);
    store.release(key);
  }
}

}  // namespace stook::detail
