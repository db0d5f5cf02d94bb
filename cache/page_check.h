// page_check.h - a checksum in every page of the index: a shim between SQLite and the file.
// Unaware of tables. Thread-safe.
//
// SQLite leaves the last 8 bytes of each page to whoever asked for them (set_up_writer does). Here
// they hold the low half of the XXH3-128 of the rest of the page, XOR its place in the file. A page
// that is read with another one is SQLITE_CORRUPT: DatabaseError::damaged(), and the index is
// rebuilt from the packs. Pages in the write-ahead log have SQLite's own checksums; it looks at
// them when a log is left over, and check_log() sees to it that a broken one is not taken for a
// short one.
#pragma once

#include <filesystem>

namespace stook::detail {

inline constexpr int kPageBytes = 4096;
inline constexpr int kPageCheckBytes = 8;

// The name of the VFS, for sqlite3_open_v2(). Registered by the first call.
[[nodiscard]] const char* checked_pages();

// Is the write-ahead log that somebody left over whole, but for a last frame that is cut short? An
// absent one is. SQLite ignores what follows a broken frame; where what followed had been copied to
// the database already, the result would be a mixture of old and new.
// REQUIRES: nobody has the database open.
[[nodiscard]] bool check_log(const std::filesystem::path& log);

}  // namespace stook::detail
