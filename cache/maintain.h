// maintain.h - looking after a cache: rebuild its index, check it, make it smaller, describe it.
// Unaware of runs. Thread-safe; each may be called while other processes use the cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/store.h"

namespace stook::detail {

// Makes the index anew from the packs. REQUIRES: a store of open_store().
void reindex(Store& store);

struct VerifyReport {
  std::uint64_t records = 0;         // whole frames in the packs
  std::uint64_t objects = 0;         // values in files of their own that were checked
  std::uint64_t rows = 0;            // of the index
  std::vector<std::string> defects;  // one line each; empty: all is well
  [[nodiscard]] bool good() const { return defects.empty(); }
};

// Reads every byte of every pack and object and compares every index row with its record. Rows
// whose record is damaged are marked so if `repair`: they will be computed again.
VerifyReport verify(Store& store, bool repair = false);

struct CollectOptions {
  std::optional<std::uint64_t> max_bytes;       // evict the least recently used above this
  std::optional<std::int64_t> older_than_days;  // evict what was not used for so long
  std::set<std::string> keep_classes;           // never evicted
  bool dry_run = false;                         // only say what would go
};

struct CollectReport {
  std::uint64_t evicted = 0;       // records that no longer answer
  std::uint64_t bytes_before = 0;  // packs and objects
  std::uint64_t bytes_after = 0;
  std::uint64_t packs_rewritten = 0;
  std::uint64_t objects_removed = 0;
};

// Evicts by the options, rewrites packs that hold garbage and removes objects nobody names. Packs
// of living processes, this one's included, are left alone; while another process has the cache
// open, nothing is removed that it may be reading or writing: that goes when somebody is alone.
CollectReport collect(Store& store, const CollectOptions& options = {});

struct ClassUse {
  std::uint64_t records = 0;  // that answer
  std::uint64_t bytes = 0;    // of their records and objects
  std::uint64_t executions = 0;
  double seconds = 0;
};

struct CacheStats {
  std::uint64_t records = 0;
  std::uint64_t fresh = 0;
  std::uint64_t suspect = 0;
  std::uint64_t bytes = 0;  // of packs and objects on disk
  std::uint64_t packs = 0;
  std::map<std::string, ClassUse> by_class;
};

CacheStats stats(Store& store);

}  // namespace stook::detail
