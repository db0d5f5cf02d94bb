// values.h - what a process may do in a cache that it must not open: read results at known places,
// keep large values. Touches packs and objects, never the index, the claims or a lock.
// Thread-safe.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "cache/objects.h"
#include "cache/packs.h"
#include "src/job.h"
#include "src/result.h"
#include "src/store.h"

namespace stook::detail {

class ValueFiles {
 public:
  // `root`: of a cache that somebody has open.
  explicit ValueFiles(const std::filesystem::path& root);

  // The encoded value of an input. Fails where it is damaged, gone, of another digest or encoded
  // otherwise than as `codec`. Throws CacheError where that cannot be known.
  [[nodiscard]] Result<std::unique_ptr<Payload>> read(const JobInput& input,
                                                      std::string_view codec);

  // Compresses; what is large goes into an object. Throws CacheError.
  [[nodiscard]] StoredValue keep(std::span<const ByteSpan> pieces, int compress_level) const;

  [[nodiscard]] std::filesystem::path task_path(std::string_view class_name,
                                                std::uint64_t id) const;

 private:
  const std::filesystem::path root_;
  Packs packs_;
  Objects objects_;
};

}  // namespace stook::detail
