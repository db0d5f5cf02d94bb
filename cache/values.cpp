#include "cache/values.h"

#include <algorithm>

#include "cache/compress.h"
#include "cache/layout.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

Result<std::unique_ptr<Payload>> unpack(ByteSpan stored, bool compressed, std::uint64_t raw_bytes) {
  if (!STOOK_MUTANT("sent-sizes") && !compressed && stored.size() != raw_bytes)
    return Failed{"its recorded sizes differ"};
  auto block = std::make_unique<Block>(raw_bytes);
  if (!compressed) {
    std::copy(stored.begin(), stored.end(), block->memory().begin());
  } else if (!decompress(stored, block->memory())) {
    return Failed{"its value does not decompress"};
  }
  return std::unique_ptr<Payload>(std::move(block));
}

}  // namespace

ValueFiles::ValueFiles(const std::filesystem::path& root)
    : root_(root), packs_(root / "packs"), objects_(root / "objects") {}

Result<std::unique_ptr<Payload>> ValueFiles::read(const JobInput& input, std::string_view codec) {
  if (input.place == JobInput::Place::here) {
    return unpack(input.stored.bytes, input.stored.compressed, input.stored.raw_bytes);
  }
  if (input.place == JobInput::Place::object) {
    const StoredValue& value = input.stored;
    return objects_.read(value.object, value.stored_bytes, value.raw_bytes, value.compressed);
  }
  const auto owned = packs_.read(input.pack, input.offset, Packs::Part::front);
  if (!owned) return Failed{owned.reason()};
  const Frame& frame = owned->frame;
  if (!STOOK_MUTANT("input-digest") &&
      (frame.kind != FrameKind::result || frame.digest != input.digest)) {
    return Failed{"another record is at its place in pack " + std::to_string(input.pack)};
  }
  if (frame.codec != codec) {
    return Failed{"its value is encoded as \"" + std::string(frame.codec) + "\", not as \"" +
                  std::string(codec) + "\""};
  }
  if (frame.in_object) {
    return objects_.read(frame.object, frame.stored_bytes, frame.raw_bytes, frame.compressed);
  }
  return unpack(frame.value, frame.compressed, frame.raw_bytes);
}

StoredValue ValueFiles::keep(std::span<const ByteSpan> pieces, int compress_level) const {
  StoredValue value;
  for (const ByteSpan& piece : pieces) value.raw_bytes += piece.size();
  if (value.raw_bytes > kMostInline) {
    const StoredObject object = objects_.write(pieces, value.raw_bytes, compress_level);
    value.in_object = true;
    value.object = object.name;
    value.stored_bytes = object.stored_bytes;
    value.compressed = object.compressed;
    return value;
  }
  value.compressed = compress(pieces, value.raw_bytes, compress_level, value.bytes);
  if (!value.compressed) {
    value.bytes.clear();
    value.bytes.reserve(value.raw_bytes);
    for (const ByteSpan& piece : pieces) {
      value.bytes.insert(value.bytes.end(), piece.begin(), piece.end());
    }
  }
  value.stored_bytes = value.bytes.size();
  return value;
}

std::filesystem::path ValueFiles::task_path(std::string_view class_name, std::uint64_t id) const {
  return root_ / "tasks" / safe_name(class_name) / std::to_string(id);
}

}  // namespace stook::detail
