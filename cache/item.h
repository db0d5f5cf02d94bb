// item.h - what the index has to be told, in the order in which it was appended to a pack.
// Plain data, not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cache/frame.h"
#include "cache/pack_writer.h"  // Place

namespace stook::detail {

enum class ItemKind : std::uint8_t {
  record,  // of any RecordKind
  given,   // an id that was shown before its key had a record
  cleared_key,
  cleared_class,
  damaged,
  confirmed,  // not in a pack: what it says can be derived from the records
};

struct Item {
  ItemKind kind = ItemKind::record;
  RecordKind record = RecordKind::result;
  bool has_directory = false;
  std::uint32_t class_ref = 0;  // ClassNames
  std::uint32_t version = 0;
  Key key;
  std::uint64_t id = 0;
  std::uint64_t seq = 0;
  Digest digest;
  std::uint32_t pack = 0;
  float seconds = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;    // of the frame
  std::uint64_t bytes = 0;     // of the value in an object; 0: it is in the frame
  std::uint32_t upstream = 0;  // Batch::upstream, `upstream_count` from here
  std::uint32_t upstream_count = 0;
  std::uint32_t external = 0;  // Batch::externals
};

struct ExternalText {
  std::string arguments;
  std::string fingerprint;
};

struct Batch {
  std::vector<Item> items;
  std::vector<UpstreamSeen> upstream;
  std::vector<ExternalText> externals;

  [[nodiscard]] bool empty() const { return items.empty(); }
  [[nodiscard]] std::span<const UpstreamSeen> upstream_of(const Item& item) const {
    return {upstream.data() + item.upstream, item.upstream_count};
  }
};

[[nodiscard]] RecordKind record_kind(FrameKind kind);

// Adds what a frame found in a pack says.
void add_frame(Batch& batch, const Frame& frame, std::uint32_t class_ref, Place place,
               std::uint64_t length);

}  // namespace stook::detail
