// file_stamp.h - what stat says of a file, and how far its times can be trusted.
// Thread-safe. Design: src/README.md
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace stook::detail {

// Two equal stamps mean the same content, unless the file was written twice within one tick of its
// file system's clock. Size -1: it is not there.
struct FileStamp {
  std::int64_t device = 0;
  std::int64_t inode = 0;
  std::int64_t size = -1;
  std::int64_t modified_ns = 0;  // Unix time
  std::int64_t changed_ns = 0;
  bool own_clock = false;  // stamped by this machine's: `changed_ns` cannot be set by hand

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
  [[nodiscard]] bool exists() const { return size >= 0; }
  // But for what chmod and ln change.
  [[nodiscard]] bool is_same_file(const FileStamp& other) const {
    return device == other.device && inode == other.inode && size == other.size &&
           modified_ns == other.modified_ns;
  }
  // The last change of its content came before the second of these moments, and, unless its file
  // system's clock goes before ours, not before the first.
  [[nodiscard]] std::int64_t earliest_change_ns() const;
  [[nodiscard]] std::int64_t latest_change_ns() const;
  // As ExternalSpec::fingerprint() of a file, whatever its age.
  [[nodiscard]] std::string fingerprint() const;
};
[[nodiscard]] FileStamp stamp_of(const std::filesystem::path& path);
// `info` is of `path`, which need not lead to anything any more.
[[nodiscard]] FileStamp stamp_from(const struct stat& info, const std::filesystem::path& path);
// See own_clock; of a file system with this number in statfs(2).
[[nodiscard]] bool has_own_clock(std::int64_t file_system);

}  // namespace stook::detail
