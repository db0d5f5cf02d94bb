// class_table.h - the small tables of the index: classes, externals, and how far packs were read.
// Belongs to one connection; not thread-safe.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/database.h"
#include "src/store.h"

namespace stook::detail {

struct ClassRow {
  std::uint64_t id = 0;
  std::string name;
  std::int64_t checked = -1;      // all dependents of records of other versions are suspect
  std::uint64_t cleared_seq = 0;  // records from before this do not answer
  std::uint64_t records = 0;
  double seconds = 0;
  bool added = false;  // just now: it has no records yet
};

class ClassTable {
 public:
  explicit ClassTable(Database& database);
  [[nodiscard]] std::optional<ClassRow> find(std::string_view name);
  ClassRow find_or_add(std::string_view name);
  [[nodiscard]] std::vector<ClassRow> all();
  void add_history(std::uint64_t id, std::uint64_t records, double seconds);
  void set_checked(std::uint64_t id, std::int64_t version);
  void set_cleared(std::uint64_t id, std::uint64_t seq);
  void reset_all();

 private:
  Database& database_;
  Statement find_, add_, all_, history_, checked_, cleared_;
};

struct ExternalRow {
  std::uint64_t id = 0;
  std::uint64_t class_id = 0;
  std::string arguments;
  std::string fingerprint;
};

class ExternalTable {
 public:
  explicit ExternalTable(Database& database);
  [[nodiscard]] std::optional<ExternalRow> find(std::uint64_t id);
  void put(const ExternalRow& row);
  void erase(std::uint64_t id);
  [[nodiscard]] std::vector<ExternalRow> all();
  void erase_all();

 private:
  Database& database_;
  Statement put_, erase_, find_, all_;
};

struct PackMark {
  std::uint32_t number = 0;
  std::uint64_t indexed = 0;  // frames before this offset are in the index
  std::uint64_t last_seq = 0;
  bool retired = false;  // rewritten; removed when nobody can be reading it
};

class PackTable {
 public:
  explicit PackTable(Database& database);
  [[nodiscard]] PackMark find(std::uint32_t number);
  [[nodiscard]] std::vector<PackMark> all();
  void put(const PackMark& mark);  // never moves backwards
  void retire(std::uint32_t number);
  void erase(std::uint32_t number);
  void erase_all();

 private:
  Database& database_;
  Statement find_, all_, put_, retire_, erase_;
};

}  // namespace stook::detail
