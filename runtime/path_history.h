// path_history.h - whether a name leads to the same file as at a moment before: a link or a
// directory on the way may have been put in another's place, and the times of the file tell nothing
// of that. Unaware of contents. One object per execution; not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "src/file_stamp.h"

namespace stook::detail {

class PathHistory {
 public:
  // `tick_ns`: the moment, on the clock that stamps files.
  explicit PathHistory(std::int64_t tick_ns);

  // Before anything is read: what `path` leads through, links to the end, is as it is now. For
  // directories in which something will be made.
  void note(const std::string& path);

  // Afterwards: does `path` lead to the same file, the whole time since the moment? False also
  // where nobody can know: entries of a directory that was not noted, and of the one above it, have
  // changed. What is asked of a directory is asked once.
  [[nodiscard]] bool held(const std::string& path);

 private:
  struct Identity {
    std::int64_t device, inode;
    std::int64_t changed_ns;  // of a link: its number is soon given again
    friend bool operator==(const Identity&, const Identity&) = default;
  };

  static Identity identity_of(const FileStamp& stamp, bool is_link);
  template <class Visit> static bool walk(const std::filesystem::path& path, const Visit& visit);
  [[nodiscard]] std::filesystem::path whole(const std::string& path) const { return base_ / path; }
  [[nodiscard]] bool directory_held(const std::filesystem::path& path);
  [[nodiscard]] bool is_unchanged(const std::string& directory);

  const std::int64_t tick_ns_;
  const std::filesystem::path base_;  // names are absolute here: depfiles mix both
  std::unordered_map<std::string, Identity> noted_;
  std::unordered_set<std::string> walked_;  // directories whose way has been noted
  std::unordered_map<std::string, bool> held_;
  std::unordered_map<std::string, bool> unchanged_;
};

}  // namespace stook::detail
