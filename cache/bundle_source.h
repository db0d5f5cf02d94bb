// bundle_source.h - the tar in a bundle: decompresses within bounds, gives the entries one by one,
// and lets no name, kind or size through that a bundle cannot have.
// Unaware of records. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "src/store.h"

struct archive;
struct archive_entry;

namespace stook::detail {

struct TarEntry {
  std::string name;  // relative; no empty, "." or ".." component; no slash at its end
  bool directory = false;
  bool executable = false;
  std::uint64_t size = 0;
};

// Are these more bytes than may come out of a bundle of this size, unless it is trusted?
[[nodiscard]] bool bundle_grows_too_much(std::uint64_t bytes, std::uint64_t size);

class BundleSource {
 public:
  BundleSource(int fd, std::string name, bool trusted);
  ~BundleSource();
  BundleSource(const BundleSource&) = delete;
  BundleSource& operator=(const BundleSource&) = delete;

  // The entry at which it stands; its content can be read once. `at_end`: there is none.
  [[nodiscard]] const TarEntry& entry() const { return entry_; }
  [[nodiscard]] bool at_end() const { return at_end_; }
  void advance();  // skips what was not read

  // The content of the entry, piece by piece: exactly its size.
  void read(const std::function<void(ByteSpan)>& sink);

  // No more than this will be in the files that follow. Refuses what cannot be true.
  void expect(std::uint64_t bytes);

  [[noreturn]] void refuse(const std::string& why) const;

 private:
  struct Stream;
  void check_entry(::archive_entry* entry);
  [[noreturn]] void fail() const;  // what libarchive or the stream says

  const std::string name_;
  std::unique_ptr<Stream> stream_;
  ::archive* archive_;
  TarEntry entry_;
  bool at_end_ = false;
  bool bounded_ = false;
  std::uint64_t left_ = 0;  // bytes that may still come, where bounded_
};

}  // namespace stook::detail
