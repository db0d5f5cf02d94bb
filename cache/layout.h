// layout.h - where things are in a cache directory, and whether it may be used.
// Unaware of what is in the files. Thread-safe after construction.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "cache/schema.h"  // Medium

namespace stook::detail {

struct Layout {
  std::filesystem::path root, index, packs, objects, tasks, trash, claims, rebuild;
  Medium medium = Medium::local;
  std::uint32_t number = 0;  // of this cache, at random: an index that is not its own is noticed
};

// Checks the directory, or makes it and what belongs into it. Throws CacheError: not a directory, a
// symbolic link, another user's, writable by others, not writable, of another format version, or
// one of its own files or directories is a link or something else than it must be.
[[nodiscard]] Layout open_layout(const std::filesystem::path& directory, std::string_view creator);

// Throws CacheError where a pack, or a directory of objects or of tasks, is a symbolic link: what
// is cleared there would be removed elsewhere. REQUIRES: nobody else has the cache open.
void check_names(const Layout& layout);

// A class name as the name of a directory: letters, digits, '_', '-' and '.' stay, every other byte
// becomes %XX; so do the dots of "." and "..". Long names end in a hash.
[[nodiscard]] std::string safe_name(std::string_view class_name);
// The class name that it stands for; empty: it does not say (a long one), or stands for none.
[[nodiscard]] std::string class_name_of(std::string_view safe_name);

}  // namespace stook::detail
