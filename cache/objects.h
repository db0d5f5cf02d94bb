// objects.h - values over 1 MiB, one file each, named by the hash of the file's bytes.
// Unaware of keys and records. Thread-safe.
//
// An object is written beside its place and renamed into it, so a name never shows half a value.
// It always replaces a file of that name: the one there may be damaged.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "src/os.h"
#include "src/result.h"
#include "src/store.h"

namespace stook::detail {

struct StoredObject {
  Hash128 name;
  std::uint64_t stored_bytes = 0;
  bool compressed = false;
  Fd file;  // still open, to be synced within the durability window
};

class Objects {
 public:
  explicit Objects(std::filesystem::path directory) : directory_(std::move(directory)) {}

  // level 0: the pieces as they are, without a copy. Throws CacheError.
  [[nodiscard]] StoredObject write(std::span<const ByteSpan> pieces, std::uint64_t raw_bytes,
                                   int level) const;

  // The value, its hash verified. Fails where the file is gone or a byte of it differs. Throws
  // CacheError where that cannot be known.
  Result<std::unique_ptr<Payload>> read(const Hash128& name, std::uint64_t stored_bytes,
                                        std::uint64_t raw_bytes, bool compressed) const;

  // A file of this file system, whose content is known to be right, becomes the object.
  void adopt(const std::filesystem::path& file, const Hash128& name) const {
    move_into_place(file, name);
  }

  // Is it there, with this size and this hash? `also` sees its bytes, and may say no. Throws
  // CacheError where that cannot be known.
  [[nodiscard]] bool is_whole(const Hash128& name, std::uint64_t stored_bytes,
                              const std::function<bool(ByteSpan)>& also = {}) const;

  // As read(), without holding the value in memory.
  [[nodiscard]] Result<bool> check(const Hash128& name, std::uint64_t stored_bytes,
                                   std::uint64_t raw_bytes, bool compressed) const;

  // All files, those that are being written too. Throws CacheError.
  [[nodiscard]] std::vector<std::filesystem::path> list() const;

  // objects/ab/cdef...
  [[nodiscard]] std::filesystem::path path_of(const Hash128& name) const;

 private:
  [[nodiscard]] Fd create_temporary(std::filesystem::path& path) const;
  void move_into_place(const std::filesystem::path& from, const Hash128& name) const;

  const std::filesystem::path directory_;
};

}  // namespace stook::detail
