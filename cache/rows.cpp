#include "cache/rows.h"

namespace stook::detail {
namespace {

#define STOOK_ROW_COLUMNS                                                                       \
  "r.id, r.high, r.low, r.class, r.version, r.kind, r.state, r.doubt, r.cause, r.digest_high, " \
  "r.digest_low, r.pack, r.offset, r.bytes, r.seconds, r.seq, r.used, r.directory"

Row read_row(const Statement& from) {
  int at = 0;
  const auto next = [&] { return from.integer(at++); };
  const auto number = [&] { return static_cast<std::uint64_t>(next()); };
  Row row;
  row.entry.id = number();
  row.key.high = number();
  row.key.low = number();
  row.class_id = number();
  row.version = static_cast<std::uint32_t>(next());
  row.kind = static_cast<RecordKind>(next());
  row.entry.state = static_cast<RecordState>(next());
  row.entry.doubt = static_cast<Doubt>(next());
  row.entry.cause = number();
  row.entry.digest.high = number();
  row.entry.digest.low = number();
  row.entry.pack = static_cast<std::uint32_t>(next());
  row.entry.offset = number();
  row.bytes = number();
  row.entry.seconds = static_cast<float>(from.real(at++));
  row.seq = number();
  row.used = next();
  row.entry.has_directory = next() != 0;
  return row;
}

}  // namespace

Rows::Rows(Database& database)
    : database_(database),
      find_(database, "SELECT " STOOK_ROW_COLUMNS
                      " FROM keys k JOIN records r ON r.id = k.id WHERE k.high=?1 AND k.low=?2"),
      find_id_(database, "SELECT " STOOK_ROW_COLUMNS " FROM records r WHERE r.id=?1"),
      all_(database, "SELECT " STOOK_ROW_COLUMNS " FROM records r"),
      of_class_(database,
                "SELECT " STOOK_ROW_COLUMNS " FROM records r WHERE r.class=?1 ORDER BY r.seq"),
      last_id_(database, "SELECT max(id) FROM records"),
      insert_key_(database, "INSERT OR IGNORE INTO keys VALUES(?1,?2,?3)"),
      insert_(database, "INSERT INTO records VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,"
                        "?14,?15,?16,?17,?18)"),
      update_(database, "UPDATE records SET class=?2, version=?3, kind=?4, state=?5, doubt=?6, "
                        "cause=?7, digest_high=?8, digest_low=?9, pack=?10, offset=?11, "
                        "bytes=?12, seconds=?13, seq=?14, used=?15, directory=?16 WHERE id=?1"),
      set_state_(database, "UPDATE records SET state=?2, doubt=?3, cause=?4 WHERE id=?1"),
      clear_(database, "UPDATE records SET state=0, doubt=?2, cause=0, seq=?3 WHERE id=?1"),
      set_used_(database, "UPDATE records SET used=?2 WHERE id=?1"),
      set_place_(database, "UPDATE records SET pack=?2, offset=?3, bytes=?4, kind=?5, state=?6, "
                           "doubt=?7 WHERE id=?1") {}

std::optional<Row> Rows::find(const Key& key) {
  if (!find_.start(key.high, key.low).step()) return std::nullopt;
  const Row row = read_row(find_);
  find_.reset();
  return row;
}

std::optional<Row> Rows::find_id(std::uint64_t id) {
  if (!find_id_.start(id).step()) return std::nullopt;
  const Row row = read_row(find_id_);
  find_id_.reset();
  return row;
}

void Rows::for_each(const std::function<void(const Row&)>& visit) {
  for (all_.start(); all_.step();) visit(read_row(all_));
}

void Rows::for_each_of(std::uint64_t class_id, const std::function<bool(const Row&)>& visit) {
  bool more = true;
  for (of_class_.start(class_id); more && of_class_.step();) more = visit(read_row(of_class_));
  of_class_.reset();
}

std::uint64_t Rows::last_id() {
  const bool any = last_id_.start().step();
  const auto id = any ? static_cast<std::uint64_t>(last_id_.integer(0)) : 0;
  last_id_.reset();
  return id;
}

bool Rows::insert_key(const Key& key, std::uint64_t id) {
  insert_key_.run(key.high, key.low, id);
  return database_.changed_a_row();
}

void Rows::insert(const Row& row) {
  const Entry& e = row.entry;
  insert_.run(e.id, row.key.high, row.key.low, row.class_id, row.version, row.kind, e.state,
              e.doubt, e.cause, e.digest.high, e.digest.low, e.pack, e.offset, row.bytes,
              static_cast<double>(e.seconds), row.seq, row.used, e.has_directory);
}

void Rows::update(const Row& row) {
  const Entry& e = row.entry;
  update_.run(e.id, row.class_id, row.version, row.kind, e.state, e.doubt, e.cause, e.digest.high,
              e.digest.low, e.pack, e.offset, row.bytes, static_cast<double>(e.seconds), row.seq,
              row.used, e.has_directory);
}

void Rows::set_state(std::uint64_t id, RecordState state, Doubt doubt, std::uint64_t cause) {
  set_state_.run(id, state, doubt, cause);
}

void Rows::clear(std::uint64_t id, Doubt doubt, std::uint64_t seq) { clear_.run(id, doubt, seq); }

void Rows::set_used(std::uint64_t id, std::int64_t day) { set_used_.run(id, day); }

void Rows::set_place(const Row& row) {
  set_place_.run(row.entry.id, row.entry.pack, row.entry.offset, row.bytes, row.kind,
                 row.entry.state, row.entry.doubt);
}

void Rows::erase_all() {
  database_.execute("DELETE FROM records");
  database_.execute("DELETE FROM keys");
}

}  // namespace stook::detail
