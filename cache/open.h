// open.h - opens a cache directory. The only header of cache/ that a run needs.
// Thread-safe. Design: cache/README.md
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "src/store.h"

namespace stook::detail {

struct StoreOptions {
  // What was published survives power loss after this long. Longer: fewer syncs.
  std::chrono::milliseconds durability_window{50};
  // publish() returns when the record survives power loss. Slow: one sync for each.
  bool durability_full = false;
  // One line for each defect found. Default: stderr.
  std::function<void(std::string_view)> warn;
  // Of this program and machine, for explanations. Default: "unknown", the host's name.
  std::string build_id;
  std::string host;
};

// Throws CacheError: not a directory, not writable, a symbolic link, another user's, writable by
// others, with links in place of its own files, of another format version, no space, or on a
// network file system and open elsewhere.
[[nodiscard]] std::unique_ptr<Store> open_store(const std::filesystem::path& directory,
                                                const StoreOptions& options = {});

}  // namespace stook::detail
