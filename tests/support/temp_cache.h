// temp_cache.h - a cache in a directory of its own, removed at the end.
#pragma once

#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>

#include <stook/stook.hpp>

namespace stook::test {

class TempDirectory {
 public:
  TempDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "stook-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

class TempCache {
 public:
  TempCache() { open(); }
  [[nodiscard]] const std::filesystem::path& path() const { return directory_.path(); }
  Cache& operator*() { return *cache_; }
  Cache* operator->() { return &*cache_; }
  void close() { cache_.reset(); }
  void open() {
    CacheOptions options;
    options.warn = [this](std::string_view) { ++warnings_; };
    cache_.emplace(directory_ / "cache", options);
  }
  // Defects that were reported.
  [[nodiscard]] int warnings() const { return warnings_; }
  // As another process would find it.
  void reopen() {
    close();
    open();
  }
  [[nodiscard]] std::filesystem::path root() const { return directory_ / "cache"; }

 private:
  TempDirectory directory_;
  std::atomic<int> warnings_ = 0;
  std::optional<Cache> cache_;
};

}  // namespace stook::test
