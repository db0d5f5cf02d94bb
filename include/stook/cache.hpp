// cache.hpp - the directory in which results are kept.
// Unaware of tasks. Thread-safe, and so is the directory for several processes at once.
// Formats and guarantees: cache/README.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace stook {

namespace detail {
class Store;
struct CacheState;
}  // namespace detail

struct CacheOptions {
  // How long a result may be lost to a power failure; the death of a process loses none.
  int sync_milliseconds = 50;
  // Every publication waits until it has survived a power failure.
  bool durability_full = false;
  // Takes a line about each defect that was found and will be recomputed. Default: stderr.
  std::function<void(std::string_view)> warn = {};
};

struct VerifyReport {
  std::size_t records = 0;
  std::size_t objects = 0;
  std::vector<std::string> defects;   // one line each; empty: everything is whole
};

struct CollectOptions {
  std::optional<std::uint64_t> max_bytes = {};        // evict the least recently used above this
  std::optional<std::int64_t> older_than_days = {};   // evict what was not used for so long
  std::set<std::string> keep_classes = {};            // never evicted
  bool dry_run = false;                               // only say what would go
};

struct CollectReport {
  std::size_t evicted = 0;             // results that no longer answer
  std::uint64_t bytes_before = 0;
  std::uint64_t bytes_after = 0;
};

struct CacheStats {
  std::size_t records = 0;
  std::size_t fresh = 0;
  std::size_t suspect = 0;
  std::uint64_t bytes = 0;                       // of packs and objects
  std::map<std::string, std::size_t> by_class;   // records
};

// Opens a cache and makes it the current one of this thread until it goes out of scope.
class Cache {
 public:
  // Creates the directory where it is not there. Throws CacheError.
  explicit Cache(const std::filesystem::path& directory, const CacheOptions& options = {});
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  [[nodiscard]] const std::filesystem::path& directory() const;

  // Rebuilds the index from the packs. Nothing is recomputed for it.
  void reindex();
  // Reads everything there is and checks it.
  [[nodiscard]] VerifyReport verify();
  // Removes what nothing refers to, and results beyond the limits.
  CollectReport collect(const CollectOptions& options = {});
  [[nodiscard]] CacheStats stats();

  // For the library: the store behind it.
  [[nodiscard]] detail::Store& store() const;

 private:
  std::unique_ptr<detail::CacheState> state_;
};

namespace detail {

// The store of this thread's current cache. Throws CacheError saying how to open one.
[[nodiscard]] Store& current_store();
[[nodiscard]] Store* current_store_or_null();
// Makes another thread of a run see the run's cache.
class CurrentStore {
 public:
  explicit CurrentStore(Store* store);
  ~CurrentStore();
  CurrentStore(const CurrentStore&) = delete;
  CurrentStore& operator=(const CurrentStore&) = delete;

 private:
  Store* previous_;
};

}  // namespace detail
}  // namespace stook
