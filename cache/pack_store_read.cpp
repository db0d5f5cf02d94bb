// What PackStore answers.
#include <fnmatch.h>

#include <algorithm>

#include "cache/compress.h"
#include "cache/pack_store.h"
#include "cache/rebuild.h"
#include "src/mutant.h"

namespace stook::detail {

bool matches(std::string_view pattern, std::string_view name) {
  return pattern.empty() ||
         fnmatch(std::string(pattern).c_str(), std::string(name).c_str(), 0) == 0;
}

// A damaged index makes everything a miss until the next one who is alone rebuilds it. One that
// cannot be read for want of a descriptor, say, is no reason to execute anything again.
void PackStore::index_failed(const DatabaseError& error) {
  if (!error.damaged() && !STOOK_MUTANT("index-not-damaged")) throw error;
  request_rebuild(layout_);
  if (!index_failed_.exchange(true)) warn_(error.what());
}

Entry PackStore::unknown() {
  Entry entry;
  entry.known = STOOK_MUTANT("unknown-is-missing");
  return entry;
}

void PackStore::lookup(std::span<const Key> keys, std::span<Entry> entries) {
  try {
    view_.lookup(keys, entries);
  } catch (const DatabaseError& error) {
    index_failed(error);
    std::fill(entries.begin(), entries.end(), unknown());
  }
}

Result<OwnedFrame> PackStore::read_frame(const Entry& entry, Packs::Part part) {
  if (entry.pack == 0) return Failed{"no record is kept of it"};
  if (entry.pack == writer_->pack() && !writer_->is_written(entry.offset)) {
    try {
      writer_->write();
    } catch (const CacheError& error) { return Failed{error.what()}; }
  }
  auto frame = packs_.read(entry.pack, entry.offset, part);
  if (frame && !STOOK_MUTANT("record-digest") &&
      (frame->frame.digest != entry.digest || !is_record(frame->frame.kind))) {
    return Failed{"pack " + packs_.path_of(entry.pack).string() + " at " +
                  std::to_string(entry.offset) + ": another record is there"};
  }
  return frame;
}

Result<Record> PackStore::read_record(const Entry& entry) {
  const auto frame = read_frame(entry, Packs::Part::whole);
  if (!frame) return Failed{frame.reason()};
  return to_record(frame->frame, frame->pack->header);
}

Result<std::unique_ptr<Payload>> PackStore::read_value(const Entry& entry, std::string_view codec) {
  const auto owned = read_frame(entry, Packs::Part::front);
  if (!owned) return Failed{owned.reason()};
  const Frame& frame = owned->frame;
  if (frame.kind != FrameKind::result) return Failed{"its record keeps no value"};
  if (!STOOK_MUTANT("value-codec") && frame.codec != codec) {
    return Failed{"its value is encoded as \"" + std::string(frame.codec) + "\", not as \"" +
                  std::string(codec) + "\""};
  }
  if (frame.in_object) {
    return objects_.read(frame.object, frame.stored_bytes, frame.raw_bytes, frame.compressed);
  }
  auto block = std::make_unique<Block>(frame.raw_bytes);
  if (!frame.compressed) {
    std::copy(frame.value.begin(), frame.value.end(), block->memory().begin());
  } else if (!decompress(frame.value, block->memory())) {
    return Failed{"its value does not decompress"};
  }
  return std::unique_ptr<Payload>(std::move(block));
}

std::optional<Key> PackStore::key_of(std::uint64_t id) {
  std::optional<Key> key;
  try {
    // All that was published, by anybody, is looked at; not so by flush() while it is damaged.
    indexer_->exclusively([](Indexer::Transaction&) {});
    view_.read([&](View::Tables& tables) {
      if (const auto row = tables.rows.find_id(id)) key = row->key;
    });
  } catch (const DatabaseError& error) {
    index_failed(error);
    throw;
  }
  return key;
}

void PackStore::for_each(std::string_view pattern,
                         const std::function<bool(const Key&, const Entry&)>& visit) {
  std::vector<std::pair<Key, Entry>> found;
  try {
    indexer_->flush();
    view_.read([&](View::Tables& tables) {
      for (const ClassRow& type : tables.classes.all()) {
        if (!matches(pattern, type.name)) continue;
        tables.rows.for_each_of(type.id, [&](const Row& row) {
          if (row.entry.pack != 0) found.emplace_back(row.key, row.entry);
          return true;
        });
      }
    });
  } catch (const DatabaseError& error) { index_failed(error); }
  for (const auto& [key, entry] : found) {
    if (!visit(key, entry)) return;
  }
}

std::vector<ClassHistory> PackStore::history() {
  std::vector<ClassHistory> result;
  try {
    indexer_->flush();
    view_.read([&](View::Tables& tables) {
      for (const ClassRow& type : tables.classes.all()) {
        if (type.records > 0) result.push_back({type.name, type.records, type.seconds});
      }
    });
  } catch (const DatabaseError& error) { index_failed(error); }
  return result;
}

}  // namespace stook::detail
