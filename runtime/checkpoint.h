// checkpoint.h - what an attempt of a task leaves for the next one, and what that was made of.
// Unaware of ids and of schedulers. One object per execution; thread-safe.
// Design: runtime/README.md, "Directories"
#pragma once

#include <filesystem>
#include <mutex>
#include <set>
#include <string>

#include <stook/key.hpp>

namespace stook::detail {

class Checkpoint {
 public:
  // The directory in `path`, which is CACHE/tasks/NAME/ID of the task: as the last attempt has left
  // it, where that was made of the same (`made_of`, and the files it had found are as they were),
  // else empty. `root`: of the cache. Throws CacheError.
  const std::filesystem::path& open(const std::filesystem::path& root,
                                    const std::filesystem::path& path, const Digest& made_of);
  // The task has found a file: what it leaves from now on is made of that, too. Throws CacheError.
  void add(const std::filesystem::path& file, const Digest& digest);

 private:
  [[nodiscard]] bool is_of(const std::string& made_of, std::set<std::string>& files) const;
  void write(const std::string& text, int flags) const;

  std::mutex mutex_;
  std::filesystem::path directory_;  // empty: it is not open
  std::filesystem::path owner_;      // lines: what it was made of; then each file
  std::set<std::string> files_;      // lines that are there, or are to be when it is open
};

}  // namespace stook::detail
