// places.h - what lies in a cache's directories of tasks: looked at, refused, made to go away.
// Unaware of what it is. Thread-safe. Design: runtime/README.md, "Directories"
#pragma once

#include <filesystem>
#include <initializer_list>

namespace stook::detail {

// Of the link where it is one. Both throw CacheError where that cannot be known.
[[nodiscard]] std::filesystem::file_status look_at(const std::filesystem::path& path);
[[nodiscard]] bool is_there(const std::filesystem::path& path);

// It is gone in one step, whatever the permissions of what is in it. False: it may still be there,
// and errno says why. `root`: of the cache, as below.
[[nodiscard]] bool discard(const std::filesystem::path& root, const std::filesystem::path& path);

// Nothing below the cache is made or removed through a symbolic link. Both throw CacheError.
[[nodiscard]] bool has_link(const std::filesystem::path& root, const std::filesystem::path& path);
void refuse_links(const std::filesystem::path& root,
                  std::initializer_list<std::filesystem::path> paths);

}  // namespace stook::detail
