// external.h - looks at inputs from outside: a cheap fingerprint first, the content's digest when
// that differs. Unaware of stores.
// Thread-safe. Design: src/README.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/file_stamp.h"
#include "src/hash.h"

#include <stook/errors.hpp>
#include <stook/key.hpp>
#include <stook/spec.hpp>

namespace stook::detail {

struct UnreadableInput : CacheError {
  UnreadableInput(const std::string& what, int why) : CacheError(what), error(why) {}
  int error;  // as errno
};

class ExternalSpec final : public Spec {
 public:
  enum class What { file, directory, variable };
  ExternalSpec(What what, std::string name, const std::string* otherwise);

  [[nodiscard]] std::string_view class_name() const;
  // What it is called, e.g. "file data.csv".
  [[nodiscard]] std::string text() const;

  // What can be seen without reading contents. Empty: it must be read (it changed so recently that
  // its times say nothing, or it is not there).
  [[nodiscard]] std::string fingerprint() const;
  // Whether it looks as it did when `recorded` was a fingerprint to be trusted. `stamp`: gets that
  // of a file.
  [[nodiscard]] bool looks_like(std::string_view recorded, FileStamp* stamp = nullptr) const;
  // Of the content; a fixed digest where it is not there, another one where it may not be read.
  // Throws UnreadableInput where that cannot be known, also where some of a directory may not be
  // read.
  [[nodiscard]] Digest digest() const;
  [[nodiscard]] bool exists() const;
  // Whether all it holds may be read, as far as that is known without reading.
  [[nodiscard]] bool may_be_read() const;
  // Of a directory: of anything in it, see FileStamp. The end of time where that cannot be known.
  [[nodiscard]] std::int64_t latest_change_ns() const;
  [[nodiscard]] Value value() const;

  const What what;
  const std::string name;
  const std::string arguments;  // canonical

 private:
  const bool has_otherwise_;
  const std::string otherwise_;
};

// Without "." and what is doubled. ".." stays: "x/.." is another directory once x is a link.
[[nodiscard]] std::string normal_path(const std::filesystem::path& path);

// On record for an input that may not be read. That may change, and no fingerprint shows it.
[[nodiscard]] Digest unreadable_digest();
// On record for an input that cannot be read by a fault of its own: what was made of it is suspect.
[[nodiscard]] Digest unknown_digest();

// An external input, as this process has seen it. `stamp`: of a file, from before it was read.
struct SeenInput {
  Digest digest;
  FileStamp stamp;
};
using SeenInputs = std::unordered_map<Key, SeenInput>;
[[nodiscard]] SeenInput see(const ExternalSpec& external);  // throws as ExternalSpec::digest()
// Null: there is none.
[[nodiscard]] const SeenInput* find_seen(const SeenInputs* seen, const Key& external);

// The input a record speaks of; null where this build does not know its kind.
[[nodiscard]] SpecPtr external_from(std::string_view class_name, std::string_view arguments);

// The digest of a directory, entry by entry, in the order of their names as bytes: whoever receives
// a directory piece by piece need not read it again.
class DirectoryHasher {
 public:
  DirectoryHasher();
  void directory(std::string_view name);              // names are relative to it
  void file(std::string_view name, bool executable);  // then its content, then end_file()
  void content(const void* data, std::size_t size);
  void end_file();
  void link(std::string_view name, std::string_view target);
  void special(std::string_view name);
  [[nodiscard]] Digest finish() const { return Digest{hasher_.finish()}; }

 private:
  Hasher hasher_;
  std::uint64_t size_ = 0;  // of the file so far
};

// Everything below `directory`, in that order. Throws std::filesystem::filesystem_error.
[[nodiscard]] std::vector<std::filesystem::path> entries_below(
    const std::filesystem::path& directory);

struct UnreadableDirectory : UnreadableInput {
  using UnreadableInput::UnreadableInput;
};

// Digest of everything below `directory`: relative names, kinds, contents. What goes again and
// again while it is read is left out. Throws UnreadableDirectory.
[[nodiscard]] Digest digest_directory(const std::filesystem::path& directory);

}  // namespace stook::detail
