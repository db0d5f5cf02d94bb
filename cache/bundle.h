// bundle.h - results on their way from one cache to another: a file that holds records, their
// values and their task directories.
// Unaware of what a cache does with them. Not thread-safe. Semantics: cache/README.md, "Bundles"
//
// Version 1. A tar file (GNU format: names are bytes) in zstd, so that `tar --zstd -tf` shows it.
// What it must hold, in this order:
//
//   bundle    = head *group tail
//   head      = file "stook-bundle"          ; text below
//   group     = pack [object] [directory]    ; object, directory: of the last record of the pack
//   pack      = file "records/N.pack"        ; as in frame.h; N: 000001, 000002, ...
//   object    = file "objects/ab/cdef..."    ; left out where an earlier group had it
//   directory = data *below                  ; where the record's directory digest is not zero
//   data      = directory "tasks/NAME/ID/data"            ; NAME, ID: the record's
//   below     = file | directory "tasks/NAME/ID/data/..." ; names ascending as bytes
//   tail      = file "stook-bundle.end"      ; the bytes of the head: nothing is missing
//
//   text      = "stook bundle 1" LF "records " number LF "last id " number LF "bytes " number LF
//
// Upstream records come before what was made of them. "last id": no record that used its directory
// has a higher one. "bytes": all files but head and tail have no more together. A record with an
// object or a directory is the last of its pack. Kinds of frames: result, transient, external.
//
// Refused: anything else. Symbolic and hard links, devices, absolute names, "." and "..", names
// that come twice or where they do not belong, sizes other than recorded, another content than the
// checksum, hash or digest says. Besides, unless the bundle is trusted: a zstd window over 8 MiB,
// more than 64 MiB and 1000 bytes out of each byte read, frames over 4 MiB. Memory: 5 frames.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "cache/bundle_source.h"
#include "cache/frame.h"
#include "cache/packs.h"
#include "src/external.h"

namespace stook::detail {

struct BundleHead {
  std::uint64_t records = 0;
  std::uint64_t last_id = 0;
  std::uint64_t bytes = 0;
};

// The names in a bundle, as above.
namespace bundle_names {
inline constexpr const char* kHead = "stook-bundle";
inline constexpr const char* kTail = "stook-bundle.end";
[[nodiscard]] std::string pack(std::uint64_t number);
[[nodiscard]] std::string object(const Hash128& name);
[[nodiscard]] std::string data(std::string_view class_name, std::uint64_t id);
}  // namespace bundle_names

[[nodiscard]] std::string to_text(const BundleHead& head);
// None: not a head, or of another version.
[[nodiscard]] std::optional<BundleHead> parse_bundle_head(std::string_view text);

inline constexpr std::uint64_t kMostUntrustedFrame = std::uint64_t{4} << 20;
inline constexpr std::uint64_t kMostId = std::uint64_t{1} << 40;

// What was to be written has been cleared or executed again meanwhile: write another bundle.
struct SourceChanged : CacheError {
  using CacheError::CacheError;
};

// Writes a bundle: the records in their order, each with what belongs to it. All throw CacheError.
class BundleWriter {
 public:
  BundleWriter(int fd, std::string name, const BundleHead& head);
  ~BundleWriter();
  BundleWriter(const BundleWriter&) = delete;
  BundleWriter& operator=(const BundleWriter&) = delete;

  void add(const OwnedFrame& record);
  void add_object(const std::filesystem::path& file, const Hash128& name);  // of the last record
  // Of the last record. Throws SourceChanged where it is not what the record says.
  void add_directory(const std::filesystem::path& data, const Frame& record);
  void finish();

 private:
  struct Tar;
  void close_pack();

  const std::string text_;  // head and tail
  std::unique_ptr<Tar> tar_;
  std::shared_ptr<const OpenPack> source_;  // of the pack that is being gathered
  std::vector<std::byte> pack_;
  std::uint64_t packs_ = 0;
};

struct BundleLimits {
  bool trusted = false;  // by size and window only: what is refused for its form stays refused
};

// A record of a bundle, by view until the next one is asked for.
struct BundleRecord {
  Frame frame;
  bool has_object = false;  // it follows; else an earlier record had it
};

// Reads a bundle from its beginning to its end. All throw CacheError, which says what is wrong and
// where; nothing that is wrong is ever given out.
class BundleReader {
 public:
  // `name`: of the bundle, for errors.
  BundleReader(int fd, std::string name, const BundleLimits& limits);
  BundleReader(const BundleReader&) = delete;
  BundleReader& operator=(const BundleReader&) = delete;

  [[nodiscard]] const BundleHead& head() const { return head_; }

  // False: that was all, and nothing is missing. What belongs to the record before and was not
  // taken is read over and checked.
  bool next(BundleRecord& record);

  // What belongs to the record that next() gave. Each once; the object first.
  void take_object(const std::filesystem::path& file);     // makes the file
  void take_directory(const std::filesystem::path& data);  // makes the directory

  // The error with this text, and where in the bundle it is.
  [[noreturn]] void refuse(const std::string& why) const { source_.refuse(why); }

 private:
  void read_head();
  void read_pack();
  void read_tail();
  void check_record();
  void read_object(const std::filesystem::path* file);
  void read_directory(const std::filesystem::path* data);
  void read_below(const std::filesystem::path* data, std::string_view name,
                  DirectoryHasher& hasher);
  [[nodiscard]] std::string read_text();

  const bool trusted_;
  BundleSource source_;
  BundleHead head_;
  std::string head_text_;
  std::vector<std::byte> pack_;
  PackHeader pack_header_;
  std::size_t at_ = 0;  // in the pack
  std::uint64_t packs_ = 0;
  std::uint64_t records_ = 0;
  Frame frame_;
  Digest value_;                               // of the value alone, where it was looked at
  bool object_due_ = false;                    // it follows, and was not read
  bool directory_due_ = false;                 // the same
  std::unordered_set<std::uint64_t> objects_;  // the low halves of the names that came
};

}  // namespace stook::detail
