// Checking a cache and describing it (maintain.h).
#include <map>
#include <unordered_map>

#include "cache/maintain.h"
#include "cache/pack_store.h"
#include "cache/rebuild.h"
#include "src/hash.h"

namespace stook::detail {
namespace {

std::uint64_t size_of_files(PackStore& store) {
  std::uint64_t size = 0;
  for (const std::uint32_t pack : store.packs().list()) size += store.packs().size_of(pack);
  for (const std::filesystem::path& object : store.objects().list()) {
    std::error_code gone;  // files may go while they are counted
    const std::uint64_t bytes = std::filesystem::file_size(object, gone);
    if (!gone) size += bytes;
  }
  return size;
}

std::vector<Row> all_rows(PackStore& store) {
  std::vector<Row> rows;
  store.view().read([&](View::Tables& tables) {
    tables.rows.for_each([&](const Row& row) { rows.push_back(row); });
  });
  return rows;
}

void verify_packs(PackStore& store, VerifyReport& report) {
  std::map<std::uint32_t, std::uint64_t> sizes;
  for (const std::uint32_t pack : store.packs().list()) sizes[pack] = store.packs().size_of(pack);
  for (const auto& live : store.shared().packs()) {  // asked after what is there
    if (live.alive && sizes.contains(live.number)) sizes[live.number] = live.length;
  }
  for (const auto& [pack, size] : sizes) {
    const auto path = store.packs().path_of(pack);
    if (size == 0) continue;  // created by a living process and not written yet
    Packs::Visitor visitor;
    visitor.frame = [&](const Frame&, std::uint64_t, std::uint64_t) { ++report.records; };
    visitor.damage = [&](std::uint64_t offset, std::uint64_t length) {
      report.defects.push_back("pack " + path.string() + ": " + std::to_string(length) +
                               " damaged bytes at " + std::to_string(offset));
    };
    const auto scanned = store.packs().scan(pack, 0, size, visitor);
    if (!scanned) report.defects.push_back(scanned.reason());
  }
}

// Why the row's record cannot be used; empty: it can.
std::string defect_of(PackStore& store, const Row& row, VerifyReport& report) {
  const auto owned = store.packs().read(row.entry.pack, row.entry.offset);
  if (!owned) return owned.reason();
  const Frame& frame = owned->frame;
  if (frame.key != row.key || frame.digest != row.entry.digest)
    return "the index names another record";
  if (!frame.in_object) return {};
  ++report.objects;
  const auto value =
      store.objects().check(frame.object, frame.stored_bytes, frame.raw_bytes, frame.compressed);
  return value ? std::string() : value.reason();
}

// Reads every page.
std::string defect_of_index(PackStore& store) {
  std::string defect;
  try {
    store.view().read([&](View::Tables& tables) {
      Statement check(tables.database, "PRAGMA quick_check(1)");
      if (!check.start().step() || check.text(0) == "ok") return;
      defect = "index " + store.layout().index.string() + ": " + std::string(check.text(0));
    });
    if (!defect.empty()) request_rebuild(store.layout());
    return defect;
  } catch (const DatabaseError& error) {
    if (error.damaged()) request_rebuild(store.layout());
    return error.what();
  }
}

PackStore& real(Store& store) {
  auto* real = dynamic_cast<PackStore*>(&store);
  if (real == nullptr) throw CacheError("maintain a cache: this store is not one on disk");
  return *real;
}

}  // namespace

void reindex(Store& store) { rebuild(real(store)); }

VerifyReport verify(Store& given, bool repair) {
  PackStore& store = real(given);
  VerifyReport report;
  store.flush();
  verify_packs(store, report);
  if (const std::string defect = defect_of_index(store); !defect.empty()) {
    report.defects.push_back(defect);
    return report;
  }
  for (const Row& row : all_rows(store)) {
    ++report.rows;
    if (row.entry.state == RecordState::missing || row.entry.pack == 0) continue;
    const std::string defect = defect_of(store, row, report);
    if (defect.empty()) continue;
    report.defects.push_back("result " + to_hex(row.key) + ": " + defect);
    if (repair) store.mark_damaged(row.key, row.entry, defect);
  }
  return report;
}

CacheStats stats(Store& given) {
  PackStore& store = real(given);
  CacheStats result;
  store.flush();
  std::unordered_map<std::uint64_t, std::string> names;
  store.view().read([&](View::Tables& tables) {
    for (const ClassRow& type : tables.classes.all()) {
      names[type.id] = type.name;
      if (type.records == 0) continue;
      ClassUse& use = result.by_class[type.name];
      use.executions = type.records;
      use.seconds = type.seconds;
    }
    tables.rows.for_each([&](const Row& row) {
      if (row.entry.pack == 0) return;
      ++result.records;
      if (row.entry.state == RecordState::missing) return;
      ++(row.entry.state == RecordState::fresh ? result.fresh : result.suspect);
      ClassUse& use = result.by_class[names[row.class_id]];
      ++use.records;
      use.bytes += row.bytes;
    });
  });
  result.packs = store.packs().list().size();
  result.bytes = size_of_files(store);
  return result;
}

}  // namespace stook::detail
