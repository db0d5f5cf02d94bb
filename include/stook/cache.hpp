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

struct ExportOptions {
  // Which results: patterns of class names (globs), or "#ID". Empty: all. What they were made of
  // goes with them.
  std::vector<std::string> patterns = {};
};

struct ExportReport {
  std::size_t results = 0;             // that were selected
  std::size_t records = 0;             // these, and what they were made of
  std::uint64_t bytes = 0;             // at most, before compression
  std::size_t left_out = 0;            // what cannot be carried, and what was made of it
  std::vector<std::string> messages;   // why, and what the import will want to be told: one line
                                       // each, the first thousand
};

struct ImportOptions {
  // The bundle is your own: it may grow more than a thousand times when it is decompressed, take
  // more memory for that, and hold records of more than 4 MiB besides their values. It is
  // checked all the same.
  bool trusted = false;
};

struct ImportReport {
  std::size_t imported = 0;            // records that are new here
  std::size_t present = 0;             // that were here already, with the same result
  std::size_t different = 0;           // that were here with another result, which was kept
  std::size_t left_out = 0;
  std::size_t unproven = 0;            // of those imported: something upstream is different here
  std::vector<std::string> messages;   // about each that was not taken; the first thousand
};

// Opens a cache and makes it the current one of this thread until it goes out of scope, on the same
// thread. The one that was opened last of those that are there is current.
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

  // Writes results, with their values, task directories and all they were made of, to a file that
  // another cache can import; "-" is standard output. Only what is fresh. Throws InvalidArgument
  // where a pattern matches nothing, CacheError; then there is no file.
  ExportReport export_to(const std::filesystem::path& file, const ExportOptions& options = {});
  // Takes in what export_to() has written; "-" is standard input. What is fresh here stays as it
  // is. Throws CacheError where the bundle is damaged or not to be trusted: what came before that
  // place is in the cache, and right; nothing else is.
  ImportReport import_from(const std::filesystem::path& file, const ImportOptions& options = {});

  // For the library: the store behind it.
  [[nodiscard]] detail::Store& store() const;

 private:
  std::unique_ptr<detail::CacheState> state_;
};

namespace detail {

// The store of this thread's current cache. Throws CacheError saying how to open one.
[[nodiscard]] Store& current_store();
[[nodiscard]] Store* current_store_or_null();
// A store that is the current one of a thread, until it goes or another one comes.
struct OpenStore {
  Store* store;
  OpenStore* before;
};
// Makes another thread of a run see the run's cache.
class CurrentStore {
 public:
  explicit CurrentStore(Store* store);
  ~CurrentStore();
  CurrentStore(const CurrentStore&) = delete;
  CurrentStore& operator=(const CurrentStore&) = delete;

 private:
  OpenStore here_;
};

}  // namespace detail
}  // namespace stook
