#include "cache/class_table.h"

namespace stook::detail {
namespace {

std::uint64_t number(const Statement& from, int column) {
  return static_cast<std::uint64_t>(from.integer(column));
}

ClassRow read_class(const Statement& from) {
  return {number(from, 0), std::string(from.text(1)), from.integer(2),
          number(from, 3), number(from, 4),           from.real(5)};
}

ExternalRow read_external(const Statement& from) {
  return {number(from, 0), number(from, 1), std::string(from.text(2)), std::string(from.text(3))};
}

PackMark read_mark(const Statement& from) {
  return {static_cast<std::uint32_t>(from.integer(0)), number(from, 1), number(from, 2),
          from.integer(3) != 0};
}

}  // namespace

ClassTable::ClassTable(Database& database)
    : database_(database),
      find_(database, "SELECT id, name, checked, cleared_seq, records, seconds FROM classes "
                      "WHERE name=?1"),
      add_(database, "INSERT OR IGNORE INTO classes(name) VALUES(?1)"),
      all_(database, "SELECT id, name, checked, cleared_seq, records, seconds FROM classes"),
      history_(database, "UPDATE classes SET records=records+?2, seconds=seconds+?3 WHERE id=?1"),
      checked_(database, "UPDATE classes SET checked=?2 WHERE id=?1"),
      cleared_(database, "UPDATE classes SET cleared_seq=?2 WHERE id=?1") {}

std::optional<ClassRow> ClassTable::find(std::string_view name) {
  if (!find_.start(name).step()) return std::nullopt;
  ClassRow row = read_class(find_);
  find_.reset();
  return row;
}

ClassRow ClassTable::find_or_add(std::string_view name) {
  auto row = find(name);
  if (!row) {
    add_.run(name);
    row = find(name);
    row->added = true;
  }
  return *row;
}

std::vector<ClassRow> ClassTable::all() {
  std::vector<ClassRow> rows;
  for (all_.start(); all_.step();) rows.push_back(read_class(all_));
  return rows;
}

void ClassTable::add_history(std::uint64_t id, std::uint64_t records, double seconds) {
  history_.run(id, records, seconds);
}

void ClassTable::set_checked(std::uint64_t id, std::int64_t version) { checked_.run(id, version); }

void ClassTable::set_cleared(std::uint64_t id, std::uint64_t seq) { cleared_.run(id, seq); }

// Their ids stay: processes remember them.
void ClassTable::reset_all() {
  database_.execute("UPDATE classes SET checked=-1, cleared_seq=0, records=0, seconds=0");
}

ExternalTable::ExternalTable(Database& database)
    : database_(database), put_(database, "INSERT OR REPLACE INTO externals VALUES(?1,?2,?3,?4)"),
      erase_(database, "DELETE FROM externals WHERE id=?1"),
      find_(database, "SELECT id, class, arguments, fingerprint FROM externals WHERE id=?1"),
      all_(database, "SELECT id, class, arguments, fingerprint FROM externals") {}

void ExternalTable::put(const ExternalRow& row) {
  put_.run(row.id, row.class_id, std::string_view(row.arguments),
           std::string_view(row.fingerprint));
}

void ExternalTable::erase(std::uint64_t id) { erase_.run(id); }

std::optional<ExternalRow> ExternalTable::find(std::uint64_t id) {
  if (!find_.start(id).step()) return std::nullopt;
  ExternalRow row = read_external(find_);
  find_.reset();
  return row;
}

std::vector<ExternalRow> ExternalTable::all() {
  std::vector<ExternalRow> rows;
  for (all_.start(); all_.step();) rows.push_back(read_external(all_));
  return rows;
}

void ExternalTable::erase_all() { database_.execute("DELETE FROM externals"); }

PackTable::PackTable(Database& database)
    : database_(database),
      find_(database, "SELECT number, indexed, last_seq, retired FROM packs WHERE number=?1"),
      all_(database, "SELECT number, indexed, last_seq, retired FROM packs"),
      put_(database, "INSERT INTO packs(number, indexed, last_seq) VALUES(?1,?2,?3) ON "
                     "CONFLICT(number) DO UPDATE SET "
                     "indexed=max(indexed, excluded.indexed), "
                     "last_seq=max(last_seq, excluded.last_seq)"),
      retire_(database, "UPDATE packs SET retired=1 WHERE number=?1"),
      erase_(database, "DELETE FROM packs WHERE number=?1") {}

PackMark PackTable::find(std::uint32_t pack) {
  PackMark mark{pack, 0, 0, false};
  if (!find_.start(pack).step()) return mark;
  mark = read_mark(find_);
  find_.reset();
  return mark;
}

std::vector<PackMark> PackTable::all() {
  std::vector<PackMark> marks;
  for (all_.start(); all_.step();) marks.push_back(read_mark(all_));
  return marks;
}

void PackTable::put(const PackMark& mark) { put_.run(mark.number, mark.indexed, mark.last_seq); }

void PackTable::retire(std::uint32_t pack) { retire_.run(pack); }

void PackTable::erase(std::uint32_t pack) { erase_.run(pack); }

void PackTable::erase_all() { database_.execute("DELETE FROM packs"); }

}  // namespace stook::detail
