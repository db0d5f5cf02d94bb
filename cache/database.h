// database.h - a SQLite connection and its prepared statements.
// Unaware of tables. A connection belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include <stook/errors.hpp>
#include <stook/key.hpp>

struct sqlite3;
struct sqlite3_stmt;

namespace stook::detail {

// What SQLite said. damaged(): the file is not (any more) a database; it can be rebuilt.
class DatabaseError : public CacheError {
 public:
  DatabaseError(const std::string& text, int code) : CacheError(text), code_(code) {}
  [[nodiscard]] bool damaged() const;
  static const int kDamaged;  // for damage that is not SQLite's to find

 private:
  const int code_;
};

class Database {
 public:
  enum class Mode { read, write };  // write creates the file
  Database(const std::filesystem::path& file, Mode mode);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void execute(const char* sql);
  [[nodiscard]] std::int64_t query_integer(const char* sql);
  [[nodiscard]] sqlite3* handle() const { return handle_; }
  [[nodiscard]] bool changed_a_row() const;  // the last INSERT, UPDATE or DELETE
  [[noreturn]] void fail(int code) const;

 private:
  const std::filesystem::path file_;
  sqlite3* handle_ = nullptr;
};

// Prepared when first used. Numbers are bound as 64 bits, whatever their sign.
class Statement {
 public:
  Statement(Database& database, const char* sql) : database_(database), sql_(sql) {}
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Starts it with these values for ?1, ?2, ...; then step() until it is false.
  template <class... Values> Statement& start(const Values&... values) {
    prepare();
    int at = 0;
    (bind(++at, values), ...);
    return *this;
  }
  // start, one step, and done: for what returns no rows.
  template <class... Values> void run(const Values&... values) {
    start(values...);
    step();
    reset();
  }
  bool step();
  void reset() noexcept;

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] double real(int column) const;
  [[nodiscard]] std::string_view text(int column) const;  // until the next step

 private:
  void prepare();
  void bind_integer(int at, std::int64_t value);
  void bind(int at, double value);
  void bind(int at, std::string_view value);  // REQUIRES: lives until reset
  template <class T>
  requires(std::is_integral_v<T> || std::is_enum_v<T>) void bind(int at, T value) {
    bind_integer(at, static_cast<std::int64_t>(value));
  }

  Database& database_;
  const char* const sql_;
  sqlite3_stmt* statement_ = nullptr;
};

// What is read while it lives is of one moment.
class ReadTransaction {
 public:
  explicit ReadTransaction(Database& database) : database_(database) { database_.execute("BEGIN"); }
  ~ReadTransaction() {
    try {
      database_.execute("COMMIT");
    } catch (const DatabaseError&) {  // nothing was written
    }
  }
  ReadTransaction(const ReadTransaction&) = delete;
  ReadTransaction& operator=(const ReadTransaction&) = delete;

 private:
  Database& database_;
};

}  // namespace stook::detail
