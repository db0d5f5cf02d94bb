// packs.h - reads packs: one frame at a place, or all frames of a stretch.
// Unaware of the index. Thread-safe. The format is in frame.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "cache/frame.h"
#include "src/os.h"
#include "src/result.h"

namespace stook::detail {

struct OpenPack {
  Fd fd;
  PackHeader header;
};

// A frame and the memory it looks into.
struct OwnedFrame {
  std::vector<std::byte> bytes;
  Frame frame;
  std::shared_ptr<const OpenPack> pack;
};

[[nodiscard]] std::filesystem::path pack_path(const std::filesystem::path& directory,
                                              std::uint32_t number);

class Packs {
 public:
  explicit Packs(std::filesystem::path directory) : directory_(std::move(directory)) {}

  // `front`: without the upstreams, which may be many times the rest. Throws as scan() does.
  enum class Part { whole, front };
  Result<OwnedFrame> read(std::uint32_t number, std::uint64_t offset, Part part = Part::whole);
  // The same for whom it is all one why it cannot be read.
  Result<OwnedFrame> try_read(std::uint32_t number, std::uint64_t offset);

  // Visits the whole frames in [from, to) in order. Damaged stretches are reported and skipped, and
  // so is what the disk does not give back when asked twice. Fails where the pack is gone or its
  // header is damaged. Throws CacheError where that cannot be known (no descriptor is left, say):
  // whoever took it for damage would lose what is there.
  struct Visitor {
    std::function<void(const Frame&, std::uint64_t offset, std::uint64_t length)> frame;
    std::function<void(std::uint64_t offset, std::uint64_t length)> damage;
    // Whole, but of a kind that only later versions know: it is to be left as it is.
    std::function<void(std::uint64_t offset)> unknown = [](std::uint64_t) {};
  };
  Result<std::shared_ptr<const OpenPack>> scan(std::uint32_t number, std::uint64_t from,
                                               std::uint64_t to, const Visitor& visitor);

  Result<std::shared_ptr<const OpenPack>> open(std::uint32_t number);  // throws as scan() does
  // What is said of a frame for Visitor::unknown.
  [[nodiscard]] std::string about_unknown(std::uint32_t number, std::uint64_t offset) const;
  // Is it a pack of a version that this program does not read?
  [[nodiscard]] bool is_foreign(std::uint32_t number) const;
  void forget(std::uint32_t number);  // it was removed
  void drop_ahead();  // what was read ahead: damage that came since is seen by the next read
  [[nodiscard]] std::vector<std::uint32_t> list() const;            // throws CacheError
  [[nodiscard]] std::uint64_t size_of(std::uint32_t number) const;  // 0: gone; throws CacheError
  [[nodiscard]] std::filesystem::path path_of(std::uint32_t number) const;

 private:
  // Bytes of a pack from `start` on: records that are wanted one after the other lie together.
  struct Stretch {
    std::uint32_t number = 0;
    std::uint64_t start = 0;
    std::vector<std::byte> bytes;
  };
  Result<std::shared_ptr<const OpenPack>> open_unless(std::uint32_t number,
                                                      bool (*is_gone)(int error));
  std::shared_ptr<const Stretch> find_ahead(std::uint32_t number, std::uint64_t offset, Part part);
  std::shared_ptr<const Stretch> read_ahead(std::uint32_t number, std::uint64_t offset, int fd);
  Result<OwnedFrame> take_frame(const std::shared_ptr<const OpenPack>& pack, const Stretch& from,
                                std::uint64_t offset, Part part) const;

  const std::filesystem::path directory_;
  std::mutex mutex_;
  // Guarded by mutex_, as the rest.
  std::map<std::uint32_t, std::shared_ptr<const OpenPack>> open_;
  std::shared_ptr<const Stretch> ahead_;
  std::size_t ahead_bytes_ = 0;   // to read next time
  std::size_t ahead_served_ = 0;  // records that ahead_ has given
};

}  // namespace stook::detail
