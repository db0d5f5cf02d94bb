// schema.h - the tables of index.sqlite and how its connections are set up.
// Knows no rows. Everything here can be rebuilt from the packs.
#pragma once

#include "cache/database.h"

namespace stook::detail {

// local: several processes share the write-ahead log's memory. remote: the file system cannot.
enum class Medium { local, remote };

// True: the tables were made just now, or another version's were thrown away.
bool set_up_writer(Database& database, Medium medium);
void set_up_reader(Database& database);

[[nodiscard]] bool has_tables(Database& database);

// Syncs the log and copies it into the database file. False: what was committed may not survive a
// power failure. REQUIRES: the write lock is held.
bool checkpoint(Database& database);

}  // namespace stook::detail
