#include "cache/schema.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <array>
#include <cstring>

#include "cache/page_check.h"
#include "src/mutant.h"
#include "src/os.h"

namespace stook::detail {
namespace {

// records: one row for each key that was ever seen; ids are never reused, so rows are appended.
// keys: from key to id, apart from the rows, so that what is inserted in the order of keys is 24
//   bytes and not a hundred: at a million rows most leaf pages are touched by every batch.
// edges: id to id. WITHOUT ROWID: the key is the whole row.
// packs: how far each pack has been read into this index.
constexpr const char* kTables = R"sql(
CREATE TABLE records(
  id INTEGER PRIMARY KEY, high INTEGER, low INTEGER, class INTEGER, version INTEGER, kind INTEGER,
  state INTEGER, doubt INTEGER, cause INTEGER, digest_high INTEGER, digest_low INTEGER,
  pack INTEGER, offset INTEGER, bytes INTEGER, seconds REAL, seq INTEGER, used INTEGER,
  directory INTEGER);
CREATE TABLE keys(
  high INTEGER, low INTEGER, id INTEGER, PRIMARY KEY(high, low)) WITHOUT ROWID;
CREATE TABLE edges(up INTEGER, down INTEGER, PRIMARY KEY(up, down)) WITHOUT ROWID;
CREATE TABLE classes(
  id INTEGER PRIMARY KEY, name BLOB UNIQUE, checked INTEGER DEFAULT -1,
  cleared_seq INTEGER DEFAULT 0, records INTEGER DEFAULT 0, seconds REAL DEFAULT 0);
CREATE TABLE externals(id INTEGER PRIMARY KEY, class INTEGER, arguments BLOB, fingerprint BLOB);
CREATE TABLE packs(
  number INTEGER PRIMARY KEY, indexed INTEGER, last_seq INTEGER, retired INTEGER DEFAULT 0);
)sql";

void drop_tables(Database& database) {
  for (const char* sql : {"DROP TABLE IF EXISTS records", "DROP TABLE IF EXISTS keys",
                          "DROP TABLE IF EXISTS edges", "DROP TABLE IF EXISTS classes",
                          "DROP TABLE IF EXISTS externals", "DROP TABLE IF EXISTS packs"}) {
    database.execute(sql);
  }
}

// A file that has pages already keeps them as they are: index_is_usable() removes those of other
// versions before.
void make_tables(Database& database, std::uint32_t cache) {
  int reserved = kPageCheckBytes;
  sqlite3_file_control(database.handle(), "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
  database.execute(("PRAGMA page_size=" + std::to_string(kPageBytes)).c_str());
  database.execute("PRAGMA synchronous=OFF");
  database.execute("BEGIN IMMEDIATE");
  drop_tables(database);
  database.execute(kTables);
  database.execute(("PRAGMA user_version=" + std::to_string(kSchemaVersion)).c_str());
  const auto number = static_cast<std::int32_t>(cache);
  database.execute(("PRAGMA application_id=" + std::to_string(number)).c_str());
  database.execute("COMMIT");
}

}  // namespace

std::int64_t schema_version(Database& database) {
  return database.query_integer("PRAGMA user_version");
}

// https://sqlite.org/fileformat2.html, "The Database Header"
std::int64_t schema_version_in(const std::filesystem::path& index) {
  std::array<unsigned char, 100> header{};
  const Fd fd = os_open(index, O_RDONLY);
  if (!fd || os_pread(fd.get(), header.data(), header.size(), 0) < 64) return 0;
  if (std::memcmp(header.data(), "SQLite format 3", 16) != 0) return 0;
  std::int64_t version = 0;
  for (std::size_t at = 60; at < 64; ++at) version = version << 8 | header[at];
  return version;
}

bool has_tables(Database& database, std::uint32_t cache) {
  return (STOOK_MUTANT("index-version") || schema_version(database) == kSchemaVersion) &&
         (STOOK_MUTANT("index-number") ||
          database.query_integer("PRAGMA application_id") == static_cast<std::int32_t>(cache));
}

bool has_only_own_tables(Database& database) {
  Statement all(database, "SELECT type, sql FROM sqlite_schema");
  const std::string_view own = kTables;
  int tables = 0;
  for (all.start(); all.step();) {
    const std::string type(all.text(0)), sql(all.text(1));
    if (type == "index" && sql.empty()) continue;  // of UNIQUE and PRIMARY KEY
    if (type != "table" || sql.empty() || own.find(sql) == std::string_view::npos) return false;
    ++tables;
  }
  constexpr int kOwn = 6;
  return tables == kOwn;
}

bool set_up_writer(Database& database, Medium medium, std::uint32_t cache) {
  const bool there = has_tables(database, cache);
  // OFF while an index is made: if power loss spoils it, it is made anew.
  if (!there) make_tables(database, cache);
  // WAL: readers and the writer do not wait for each other. It needs memory shared by all
  // processes, which network file systems do not give; there a rollback journal serves.
  database.execute(medium == Medium::local ? "PRAGMA journal_mode=WAL"
                                           : "PRAGMA journal_mode=TRUNCATE");
  // NORMAL: power loss may take the last batches, never the consistency; the packs have them.
  database.execute(STOOK_MUTANT("sync-index") ? "PRAGMA synchronous=OFF"
                                              : "PRAGMA synchronous=NORMAL");
  // 0: SQLite before 3.51.3 can lose commits when a checkpoint races a writer that resets the log.
  // Checkpoints are made under the lock that writers hold.
  database.execute("PRAGMA wal_autocheckpoint=0");
  // A sorted batch walks over all of `keys`: a page must not be read twice for it. In KiB.
  database.execute("PRAGMA cache_size=-131072");
  // Sorting for for_each() does not go through files.
  database.execute("PRAGMA temp_store=MEMORY");
  return !there;
}

void set_up_reader(Database& database) {
  // Never by accident: all writing is done by the one connection that holds the lock.
  database.execute("PRAGMA query_only=1");
  database.execute("PRAGMA cache_size=-65536");
  database.execute("PRAGMA temp_store=MEMORY");
}

bool checkpoint(Database& database) {
  // PASSIVE: copies what no reader needs any more and waits for nobody. The next writer starts the
  // log from its beginning when all of it was copied. Failing does no harm: it is tried again.
  int in_log = -1;
  int copied = 0;
  return sqlite3_wal_checkpoint_v2(database.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &in_log,
                                   &copied) == SQLITE_OK &&
         copied == in_log;
}

}  // namespace stook::detail
