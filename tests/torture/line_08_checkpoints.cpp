// Line 8: writers and checkpointers on one database, under the lock that the cache takes for both.
// No row that was committed is missing.
//
// SQLite before 3.51.3 has a race (https://sqlite.org/wal.html#walresetbug): a checkpointer that
// has read the log's header, and is overtaken by a writer that begins the log anew, takes the new
// log for copied as far as the old one went; what is written there next is lost. Here every
// checkpointer stops at just that point. What it loses without the lock is shown beside it.
#include <sqlite3.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <mutex>
#include <optional>

#include "cache/page_check.h"
#include "cache/schema.h"
#include "cache/shared.h"
#include "tests/torture/line.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int kWriters = 8, kCheckpointers = 4;

// --- A checkpointer that stops where it matters -------------------------------------------------

std::mt19937_64 pause_random;  // of this process
int (*open_checked)(sqlite3_vfs*, const char*, sqlite3_file*, int, int*);
sqlite3_io_methods pausing;

int no_mapping(sqlite3_file*, sqlite3_int64, int, void** page) {
  *page = nullptr;
  return SQLITE_OK;
}

// SQLite calls this between reading the log's header and looking at how much of it was copied.
int pause(sqlite3_file*, sqlite3_int64, void*) {
  usleep(static_cast<useconds_t>(pause_random() % 4000));
  return SQLITE_OK;
}

int open_pausing(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
  const int code = open_checked(vfs, name, file, flags, out);
  if ((flags & SQLITE_OPEN_MAIN_DB) == 0 || file->pMethods == nullptr) return code;
  pausing = *file->pMethods;
  pausing.iVersion = 3;
  pausing.xFetch = no_mapping;
  pausing.xUnfetch = pause;
  file->pMethods = &pausing;
  return code;
}

void pause_in_checkpoints(std::uint64_t seed) {
  pause_random.seed(seed);
  sqlite3_vfs* const vfs = sqlite3_vfs_find(detail::checked_pages());
  open_checked = vfs->xOpen;
  vfs->xOpen = open_pausing;
}

// --- The processes ------------------------------------------------------------------------------

// The lock of the cache, or none.
class WriteLock {
 public:
  WriteLock(const fs::path& directory, bool locks) {
    if (!locks) return;
    shared_.emplace(directory / ".claims", false);
    if (!shared_->first()) return;
    shared_->raise({});
    shared_->admit_others();
  }
  void lock() {
    if (shared_) shared_->lock();
  }
  void unlock() {
    if (shared_) shared_->unlock();
  }

 private:
  std::optional<detail::Shared> shared_;
};

struct Round {
  fs::path directory;
  bool locks;
  Clock::time_point end;
};

// Rows of different sizes, one a transaction. Counts those that were committed.
void write_rows(const Round& round, int writer, std::uint64_t seed, std::uint64_t& written) {
  WriteLock lock(round.directory, round.locks);
  detail::Database database(round.directory / "rows", detail::Database::Mode::write);
  database.execute("PRAGMA wal_autocheckpoint=0");
  database.execute("PRAGMA synchronous=OFF");
  detail::Statement insert(database, "INSERT INTO rows VALUES(?1, ?2, ?3)");
  std::mt19937_64 random(seed);
  const std::string filler(1000, 'f');
  while (Clock::now() < round.end) {
    {
      const std::lock_guard held(lock);
      database.execute("BEGIN IMMEDIATE");
      insert.run(std::int64_t{writer}, static_cast<std::int64_t>(written + 1),
                 std::string_view(filler).substr(random() % filler.size()));
      database.execute("COMMIT");
      ++written;
    }
    // Now and then there must be nothing left to copy: only then is a log begun anew.
    if (random() % 16 == 0) usleep(static_cast<useconds_t>(random() % 20'000));
  }
}

void make_checkpoints(const Round& round, std::uint64_t seed, std::uint64_t& made) {
  pause_in_checkpoints(seed);
  WriteLock lock(round.directory, round.locks);
  detail::Database database(round.directory / "rows", detail::Database::Mode::write);
  database.execute("PRAGMA wal_autocheckpoint=0");
  // Before it has read, a connection does not know of the log, and its checkpoints do nothing.
  (void)database.query_integer("SELECT 1 FROM rows");
  while (Clock::now() < round.end) {
    {
      const std::lock_guard held(lock);
      made += detail::checkpoint(database) ? 1 : 0;
    }
    usleep(1);
  }
}

// --- A round ------------------------------------------------------------------------------------

struct Result {
  std::uint64_t commits = 0, checkpoints = 0;
  std::uint64_t lost = 0;  // rows that were committed
  std::string damage;      // what SQLite says of the file, or said while it was used
};

void make_database(const fs::path& directory) {
  fs::create_directory(directory);
  detail::Database database(directory / "rows", detail::Database::Mode::write);
  detail::set_up_writer(database, detail::Medium::local, 1);
  database.execute("CREATE TABLE rows(writer INTEGER, number INTEGER, filler BLOB,"
                   " PRIMARY KEY(writer, number)) WITHOUT ROWID");
}

void look_for_rows(const fs::path& directory, int writer, std::uint64_t written, Result& result) {
  detail::Database database(directory / "rows", detail::Database::Mode::write);
  detail::Statement count(database, "SELECT count(*) FROM rows WHERE writer=?1 AND number<=?2");
  count.start(std::int64_t{writer}, static_cast<std::int64_t>(written)).step();
  result.lost += written - static_cast<std::uint64_t>(count.integer(0));
}

void check_pages(const fs::path& directory, Result& result) {
  detail::Database database(directory / "rows", detail::Database::Mode::write);
  detail::Statement check(database, "PRAGMA integrity_check(1)");
  if (check.start().step() && check.text(0) != "ok") result.damage = check.text(0);
}

// What process i did and what went wrong for it, in a file of its own.
void take_part(const Round& round, int i, std::uint64_t seed) {
  std::uint64_t done = 0;
  std::string trouble;
  try {
    i < kWriters ? write_rows(round, i, seed, done) : make_checkpoints(round, seed, done);
  } catch (const Error& error) { trouble = error.what(); }
  std::ofstream(round.directory / ("done" + std::to_string(i))) << done << '\n' << trouble << '\n';
}

Result look_at(const Round& round) {
  Result result;
  try {
    check_pages(round.directory, result);
    for (int i = 0; i < kWriters + kCheckpointers; ++i) {
      std::ifstream in(round.directory / ("done" + std::to_string(i)));
      std::uint64_t done = 0;
      std::string trouble;
      std::getline((in >> done).ignore(), trouble);
      if (!trouble.empty()) result.damage = trouble;
      (i < kWriters ? result.commits : result.checkpoints) += done;
      if (i < kWriters) look_for_rows(round.directory, i, done, result);
    }
  } catch (const Error& error) { result.damage = error.what(); }
  return result;
}

Result play(Line& line, bool locks, std::chrono::seconds how_long) {
  const Round round{line.directory() / (locks ? "locked" : "not locked"), locks,
                    Clock::now() + how_long};
  make_database(round.directory);
  line.in_slices(kWriters + kCheckpointers, [&](int i) -> std::uint64_t {
    take_part(round, i, line.seed() * 100 + static_cast<std::uint64_t>(i));
    return 0;
  });
  return look_at(round);
}

std::string shown(const Result& result) {
  return std::to_string(result.commits) + " commits, " + std::to_string(result.checkpoints) +
         " checkpoints: " + std::to_string(result.lost) + " rows missing" +
         (result.damage.empty() ? "" : ", " + result.damage);
}

int run(Line& line) {
  const auto locked = play(line, true, line.nightly() ? 1800s : 15s);
  if (locked.lost > 0 || !locked.damage.empty()) line.violation(shown(locked));
  if (locked.commits == 0 || locked.checkpoints == 0) line.violation("nothing was done");
  const auto free = play(line, false, line.nightly() ? 60s : 2s);  // told, not judged
  return line.finish("8 writers, 4 checkpointers, SQLite " + std::string(sqlite3_libversion()) +
                     ": " + shown(locked) + "; without our lock " + shown(free));
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
