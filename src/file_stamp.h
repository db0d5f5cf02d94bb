// file_stamp.h - what stat says of a file, and how far its times can be trusted.
// Thread-safe.
#pragma once

#include <algorithm>
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

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
  [[nodiscard]] bool exists() const { return size >= 0; }
  [[nodiscard]] std::int64_t newest_ns() const { return std::max(modified_ns, changed_ns); }
  // As ExternalSpec::fingerprint() of a file, whatever its age.
  [[nodiscard]] std::string fingerprint() const;
};
[[nodiscard]] FileStamp stamp_of(const std::filesystem::path& path);

}  // namespace stook::detail
