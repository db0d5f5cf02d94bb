// bundle_export.h - which results go into a bundle, with all they were made of.
// Unaware of runs. REQUIRES: stores of open_store(). Thread-safe as the store is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "src/store.h"

namespace stook::detail {

struct ExportedBundle {
  std::uint64_t records = 0;
  std::uint64_t results = 0;  // of those: what the patterns select
  std::uint64_t bytes = 0;    // of records, objects and files, before compression
  std::uint64_t left_out = 0;
  std::vector<std::string> messages;  // why; the first thousand
};

// Writes the fresh results whose class matches one of the patterns (globs, or "#ID"; none: all) and
// every record upstream of them to `fd`. What cannot be carried is left out, with all that was made
// of it, and told. `name`: of the bundle, for errors. Throws InvalidArgument where a pattern
// selects nothing, SourceChanged, CacheError.
ExportedBundle export_bundle(Store& store, int fd, const std::string& name,
                             const std::vector<std::string>& patterns);

// The ids that a bundle may bring: those that no other key has, or may have been given.
class BundleIds {
 public:
  // From now on no id up to `last` is given to a new key.
  BundleIds(Store& store, std::uint64_t last);
  // True: nobody has it, and it will not be given again.
  [[nodiscard]] bool take(std::uint64_t id);

 private:
  Store& store_;
  std::uint64_t first_;  // from here on nobody had been given one
  bool alone_;
  std::vector<std::uint64_t> in_memory_;  // given by this process, and not on record; sorted
  std::vector<std::uint64_t> taken_;      // since the last flush
};

// As Store::lookup(), but an index that cannot be read is an error, not a miss. Throws CacheError.
[[nodiscard]] Entry look_up(Store& store, const Key& key);

// A checked file becomes the object of that name.
void adopt_object(Store& store, const std::filesystem::path& file, const Hash128& name);
// Whether the object is there and whole.
[[nodiscard]] bool has_object(Store& store, const Hash128& name, std::uint64_t stored_bytes);

}  // namespace stook::detail
