// schema.h - the tables of index.sqlite and how its connections are set up.
// Knows no rows. Everything here can be rebuilt from the packs.
#pragma once

#include "cache/database.h"

namespace stook::detail {

// local: several processes share the write-ahead log's memory. remote: the file system cannot.
enum class Medium { local, remote };

// Are its tables those that stook makes, and is there nothing else in it: no trigger, no view?
[[nodiscard]] bool has_only_own_tables(Database& database);

// `cache`: the number of the cache that the index belongs to.
// True: the tables were made just now, or those of another version or cache were thrown away.
bool set_up_writer(Database& database, Medium medium, std::uint32_t cache);
void set_up_reader(Database& database);

inline constexpr std::int64_t kSchemaVersion = 3;  // 2: pages have checksums. 3: directory

// The version that made the tables; 0: there are none.
[[nodiscard]] std::int64_t schema_version(Database& database);

// The same, from the file's header: pages of other versions may have no checksums. 0: it has none.
[[nodiscard]] std::int64_t schema_version_in(const std::filesystem::path& index);

// Of this version, for this cache?
[[nodiscard]] bool has_tables(Database& database, std::uint32_t cache);

// Syncs the log and copies it into the database file. False: what was committed may not survive a
// power failure. REQUIRES: the write lock is held.
bool checkpoint(Database& database);

}  // namespace stook::detail
