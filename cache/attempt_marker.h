// attempt_marker.h - the marker that is left before a task's directory is touched: whoever comes
// after a death knows where to look, and whose the id in that place was. A file in the spool for
// each key; and another for each command that is under way.
// Unaware of what is in the directories. Thread-safe; one key is for who has claimed it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <stook/key.hpp>

namespace stook::detail {

// What a marker says.
struct AttemptMarker {
  std::filesystem::path place;  // tasks/NAME/ID in the cache; empty: it does not say
  std::uint64_t id = 0;         // the key's at that time
};

[[nodiscard]] std::filesystem::path marker_of(const std::filesystem::path& root, const Key& key);
// Of a command that is under way; runtime/command_attempt says what is in it.
[[nodiscard]] std::filesystem::path command_marker_of(const std::filesystem::path& root,
                                                      const Key& key);

// Says that `directory`, the task's, is about to be touched. What says so already is not
// written anew: it would be empty for a moment. `durable`: it survives a power failure when this
// returns. Throws CacheError.
void leave_marker(const std::filesystem::path& root, const Key& key,
                  const std::filesystem::path& directory, bool durable);

// Throws CacheError where that cannot be read.
[[nodiscard]] AttemptMarker read_marker(const std::filesystem::path& root, const Key& key);

// There is nothing to put right any more. Where it cannot be removed that is looked at once more.
void remove_marker(const std::filesystem::path& root, const Key& key) noexcept;

// The keys that have one. Throws CacheError.
[[nodiscard]] std::vector<Key> markers_left(const std::filesystem::path& root);

// Is a file of that name in the spool one? Of a command's it is none a day after it was written:
// what was left running has ended.
[[nodiscard]] bool is_marker(const std::filesystem::path& file);

}  // namespace stook::detail
