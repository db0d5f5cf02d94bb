// bundle_import.h - takes the results of a bundle into a cache.
// Unaware of runs. REQUIRES: a store of open_store(). Thread-safe as the store is, which other
// threads and processes may use meanwhile. Semantics: cache/README.md, "Bundles"
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "src/store.h"

namespace stook::detail {

struct ImportedBundle {
  std::uint64_t imported = 0;         // records that are new here
  std::uint64_t present = 0;          // those that were here already, with the same result
  std::uint64_t different = 0;        // with another result: that was kept
  std::uint64_t left_out = 0;         // why: see messages
  std::uint64_t unproven = 0;         // of those imported: something upstream is not what they saw
  std::vector<std::string> messages;  // one line each; the first thousand
};

// `name`: of the bundle, for errors. Throws CacheError: the bundle is refused, or the cache cannot
// be written; the records before that stay. Doing it again goes on from there.
ImportedBundle import_bundle(Store& store, int fd, const std::string& name, bool trusted);

}  // namespace stook::detail
