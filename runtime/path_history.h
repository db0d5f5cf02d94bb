// path_history.h - whether a name leads to the same file as at a moment before: a link or a
// directory on the way may have been put in another's place, and the times of the file tell nothing
// of that. Unaware of contents. One object per execution; not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace stook::detail {

class PathHistory {
 public:
  // `tick_ns`: the moment, on the clock that stamps files.
  explicit PathHistory(std::int64_t tick_ns) : tick_ns_(tick_ns) {}

  // Before anything is read: the directories that `path` leads through are as they are now. For
  // those in which something will be made.
  void note(const std::string& path);

  // Afterwards: does `path` lead to the same file, the whole time since the moment? False also
  // where nobody can know: entries of a directory that was not noted, and of the one above it, have
  // changed. What is asked of a directory is asked once.
  [[nodiscard]] bool held(const std::string& path);

 private:
  using Identity = std::pair<std::int64_t, std::int64_t>;  // device, inode

  template <class Visit> static bool walk(const std::string& path, const Visit& visit);
  [[nodiscard]] bool directory_held(const std::string& path);
  [[nodiscard]] bool is_unchanged(const std::string& directory);

  const std::int64_t tick_ns_;
  std::unordered_map<std::string, Identity> noted_;
  std::unordered_map<std::string, bool> held_;
  std::unordered_map<std::string, bool> unchanged_;
};

}  // namespace stook::detail
