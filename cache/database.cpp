#include "cache/database.h"

#include <sqlite3.h>

#include <utility>

#include "cache/fault.h"
#include "cache/page_check.h"

namespace stook::detail {
namespace {

// Writers wait for the lock of .claims, so SQLite's own is only ever held by a reader who is
// recovering the write-ahead log: brief.
constexpr int kBusyMilliseconds = 30'000;

// Of what SQLite could not do.
int system_error(sqlite3* handle, int code) {
  switch (code & 0xff) {
    case SQLITE_FULL: return ENOSPC;
    case SQLITE_NOMEM: return ENOMEM;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: return sqlite3_system_errno(handle);
    default: return 0;
  }
}

}  // namespace

const int DatabaseError::kDamaged = SQLITE_CORRUPT;

bool DatabaseError::damaged() const {
  const int primary = code_ & 0xff;
  // CONSTRAINT: a pack gives one id to two keys, or a key two; the rebuilt index settles that.
  return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_CONSTRAINT ||
         code_ == SQLITE_IOERR_READ || code_ == SQLITE_IOERR_SHORT_READ;
}

Database::Database(const std::filesystem::path& file, Mode mode) : file_(file) {
  const int flags =
      (mode == Mode::write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READWRITE) |
      SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
  const int code = sqlite3_open_v2(file.c_str(), &handle_, flags, checked_pages());
  if (code != SQLITE_OK) {
    const std::string why = handle_ != nullptr ? sqlite3_errmsg(handle_) : "no memory";
    const bool gone = handle_ != nullptr && sqlite3_system_errno(handle_) == ENOENT;
    sqlite3_close(handle_);
    throw DatabaseError("open " + file_.string() + ": " + why,
                        gone ? DatabaseError::kDamaged : code);
  }
  sqlite3_extended_result_codes(handle_, 1);
  // A file that somebody else has made: no code of its own runs, and its schema is not altered.
  for (const auto& [option, on] : {std::pair{SQLITE_DBCONFIG_DEFENSIVE, 1},
                                   {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                   {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                                   {SQLITE_DBCONFIG_ENABLE_VIEW, 0}}) {
    sqlite3_db_config(handle_, option, on, nullptr);
  }
  sqlite3_busy_timeout(handle_, kBusyMilliseconds);
}

Database::~Database() { sqlite3_close(handle_); }

void Database::fail(int code) const {
  const bool damaged = DatabaseError("", code).damaged();
  throw DatabaseError("use the index " + file_.string() + ": " + sqlite3_errmsg(handle_) + "; " +
                          (damaged ? "the index can be rebuilt from the packs: `stook reindex`"
                                   : std::string(advice(system_error(handle_, code)))),
                      code);
}

void Database::execute(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

std::int64_t Database::query_integer(const char* sql) {
  Statement statement(*this, sql);
  return statement.start().step() ? statement.integer(0) : 0;
}

bool Database::changed_a_row() const { return sqlite3_changes(handle_) > 0; }

Statement::~Statement() { sqlite3_finalize(statement_); }

void Statement::prepare() {
  if (statement_ != nullptr) return;
  const int code = sqlite3_prepare_v3(database_.handle(), sql_, -1, SQLITE_PREPARE_PERSISTENT,
                                      &statement_, nullptr);
  if (code != SQLITE_OK) database_.fail(code);
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  reset();
  if (code != SQLITE_DONE) database_.fail(code);
  return false;
}

void Statement::reset() noexcept { sqlite3_reset(statement_); }

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }

std::string_view Statement::text(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return {static_cast<const char*>(data), data == nullptr ? 0 : size};
}

void Statement::bind_integer(int at, std::int64_t value) {
  sqlite3_bind_int64(statement_, at, value);
}

void Statement::bind(int at, double value) { sqlite3_bind_double(statement_, at, value); }

void Statement::bind(int at, std::string_view value) {
  sqlite3_bind_blob(statement_, at, value.data() == nullptr ? "" : value.data(),
                    static_cast<int>(value.size()), SQLITE_STATIC);
}

}  // namespace stook::detail
