#include "cache/item.h"

namespace stook::detail {
namespace {

ItemKind item_kind(FrameKind kind) {
  switch (kind) {
    case FrameKind::clear_key: return ItemKind::cleared_key;
    case FrameKind::clear_class: return ItemKind::cleared_class;
    case FrameKind::id_given: return ItemKind::given;
    case FrameKind::damaged: return ItemKind::damaged;
    default: return ItemKind::record;
  }
}

}  // namespace

RecordKind record_kind(FrameKind kind) {
  if (kind == FrameKind::external) return RecordKind::external;
  return kind == FrameKind::transient ? RecordKind::transient : RecordKind::result;
}

void add_frame(Batch& batch, const Frame& frame, std::uint32_t class_ref, Place place,
               std::uint64_t length) {
  Item item;
  item.kind = item_kind(frame.kind);
  item.record = record_kind(frame.kind);
  item.class_ref = class_ref;
  item.version = frame.version;
  item.key = frame.key;
  item.id = frame.id;
  item.seq = frame.seq;
  item.digest = frame.digest;
  item.has_directory = !frame.directory.is_zero();
  item.pack = place.pack;
  item.offset = place.offset;
  item.length = length;
  item.bytes = frame.in_object ? frame.stored_bytes : 0;
  item.seconds = static_cast<float>(static_cast<double>(frame.duration_ns) * 1e-9);
  item.upstream = static_cast<std::uint32_t>(batch.upstream.size());
  item.upstream_count = static_cast<std::uint32_t>(frame.upstream_count());
  for (std::size_t i = 0; i < frame.upstream_count(); ++i) {
    batch.upstream.push_back(frame.upstream_at(i));
  }
  if (frame.kind == FrameKind::external) {
    item.external = static_cast<std::uint32_t>(batch.externals.size());
    batch.externals.push_back({std::string(frame.arguments), std::string(frame.codec)});
  }
  batch.items.push_back(item);
}

}  // namespace stook::detail
