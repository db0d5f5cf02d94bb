// hostile.h - bundles as nobody would write them: tar headers by hand, packs with checksums that
// hold.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cache/frame.h"

namespace stook::torture {

struct TarFile {
  std::string name;
  std::string content = {};
  char type = '0';        // '0' file, '1' hard link, '2' symbolic link, '3' device, '5' directory
  std::string link = {};  // where it points to
  std::uint64_t says = ~0u;  // its size in the header, where that is a lie
};

[[nodiscard]] std::string tar_of(const std::vector<TarFile>& files);
[[nodiscard]] std::string zstd_of(const std::string& bytes, int level = 3, int window_log = 0);
// So many zeros, compressed.
[[nodiscard]] std::string zstd_of_zeros(std::uint64_t count, const std::string& before = {});

// A record that holds: its value, its digest, its checksums.
struct HostileRecord {
  std::string name = "task";
  std::string class_name = "Task";
  std::string value = "value";
  std::uint64_t id = 100;                             // the sample has lower ones
  Digest directory = {};                              // zero: none
  bool in_object = false;                             // of `value`, as it is
  std::uint64_t raw_bytes = ~0u, stored_bytes = ~0u;  // where they lie
  bool wrong_digest = false;
};
[[nodiscard]] std::string pack_of(const std::vector<HostileRecord>& records);
[[nodiscard]] std::string object_name(const std::string& content);

// A bundle of these files: head and tail around them, which say what is there.
struct Says {
  std::uint64_t records = 1, last_id = 100, bytes = 1 << 20;
};
[[nodiscard]] std::vector<TarFile> bundle_of(const std::vector<TarFile>& files, const Says& says);

struct BadBundle {
  std::string name;
  std::string reason;  // is in the error; empty: it is taken
  std::string bytes;
};
[[nodiscard]] std::vector<BadBundle> bad_bundles();

void write_file(const std::filesystem::path& path, const std::string& bytes);

}  // namespace stook::torture
