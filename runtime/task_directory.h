// task_directory.h - a task's own directory while it runs: empty at its start, the last good one
// back when it fails. Unaware of schedulers.
// One object per execution; used by the thread that executes the task.
// Design: runtime/README.md, "Directories"
#pragma once

#include <filesystem>
#include <mutex>
#include <string>

#include "src/store.h"

namespace stook::detail {

class TaskDirectory {
 public:
  // `path`: CACHE/tasks/NAME/ID of the task; nothing is touched before data(). REQUIRES: what an
  // attempt that died has left there is settled.
  TaskDirectory(const std::filesystem::path& root, const Key& key, std::filesystem::path path);
  // Settles that. `entry`: what claim() gave. Throws CacheError.
  TaskDirectory(Store& store, const Key& key, const Entry& entry, std::filesystem::path path);
  // Restores what was there before, unless commit() was called.
  ~TaskDirectory();
  TaskDirectory(const TaskDirectory&) = delete;
  TaskDirectory& operator=(const TaskDirectory&) = delete;

  // The data directory, made empty the first time; what was there is moved aside.
  const std::filesystem::path& data();
  // A directory that is whole, on the same file system, becomes the data directory.
  void take(const std::filesystem::path& made);
  // Also where the task did not ask for one this time: the last result's data is moved aside.
  void put_aside();
  // The task is about to leave something beside its data, and no record says yet that the id is its
  // own: it stays that, whoever dies. Throws CacheError.
  void keep_id();
  [[nodiscard]] bool used() const { return used_; }
  [[nodiscard]] bool moved() const { return moved_; }
  // Another process has executed the task here: what it made, and moved, is now ours to commit or
  // to give back. `before`: the task's entry when it was claimed.
  void adopt(const Entry& before);
  // The other way round: another process will commit() or give back.
  void hand_over() { committed_ = true; }
  // Throws Error where the task has left what cannot be read.
  [[nodiscard]] Digest digest() const;
  // What is there, or that nothing is, is on the disk, and all names on the way: a record must not
  // survive a power failure without it. Throws CacheError.
  void sync() const;
  // Is there content of before that comes back if this attempt comes to nothing?
  [[nodiscard]] bool replaces() const { return replaces_; }
  // The new content is the result's; what was moved aside goes when others can see that.
  void commit(Store& store, const Entry& published);

 private:
  void move_aside();

  const std::filesystem::path root_;  // of the cache
  const Key key_;
  const std::filesystem::path path_;
  const std::filesystem::path data_;
  const std::filesystem::path previous_;
  std::mutex mutex_;  // a task may ask from several threads
  bool used_ = false;
  bool moved_ = false;
  bool replaces_ = false;
  bool committed_ = false;
};

// Publishes a result and what lies in its directory (null: it has none): others find both, or
// neither. Where this throws and the record was accepted (is_accepted()), the directory stays
// with it, and the claim ends with it; else the last result's directory will come back.
Entry publish_with(Store& store, Publication publication, TaskDirectory* directory);

// Has an attempt that died left something there? Throws CacheError where that cannot be known.
[[nodiscard]] bool is_unsettled(const std::filesystem::path& root, const Key& key,
                                const std::filesystem::path& path);

// What an attempt that died, or could not write its record, has moved aside in a task's directory
// goes, where it had published, or comes back. Throws CacheError. REQUIRES: the key is claimed.
void settle_attempt(Store& store, const Key& key, const Entry& entry,
                    const std::filesystem::path& path);

// An attempt in another process came to nothing: what it moved aside, if it came that far and has
// not put it back itself, comes back. `before`: the entry when the key was claimed. Throws
// CacheError; then it is left to who is next. REQUIRES: what was left before was settled, and the
// key is claimed.
void undo_attempt(Store& store, const Key& key, const Entry& before,
                  const std::filesystem::path& path);

// Gives back what attempts of processes that died have moved aside. Called when a cache is opened.
void restore_directories(Store& store);

}  // namespace stook::detail
