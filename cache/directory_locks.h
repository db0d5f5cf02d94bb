// directory_locks.h - the directories of tasks while tasks are executed: many may read one, or one
// may make it anew.
// Unaware of what lies in them. Thread-safe.
//
// A directory is a byte of CACHE/.claims far behind its content, its place: read, it is locked
// shared; made, exclusively. So between processes the kernel counts, and forgets the dead. Two keys
// may have one place, which is rare: then somebody waits who need not, but nobody for himself.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "src/os.h"

#include <stook/key.hpp>

namespace stook::detail {

class DirectoryLocks {
 public:
  inline static constexpr std::uint32_t kPlaces = 1u << 30;
  // The kernel walks through all locks of a file for each: a process that reads more than this
  // locks all places but those it makes. Then nobody else makes any.
  inline static constexpr std::size_t kMostPlaces = 4096;

  // alone: other processes are kept out of the cache. `file` and `path` outlive this.
  DirectoryLocks(const Fd& file, const std::filesystem::path& path, bool alone)
      : file_(file), path_(path), alone_(alone) {}

  // For who executes `key`, until end(). False: somebody reads what he is to make, or makes what he
  // is to read; nothing is held then. Throws CacheError.
  [[nodiscard]] bool take(const Key& key, bool makes, std::span<const Key> reads);
  void end(std::span<const Key> keys) noexcept;

 private:
  struct Held {
    bool makes = false;
    std::uint32_t place = 0;           // of what is made
    std::vector<std::uint32_t> reads;  // ascending
  };

  [[nodiscard]] bool take_making(Held& held);
  [[nodiscard]] bool take_reading(Held& held, std::span<const std::uint32_t> wanted);
  void let_go(const Held& held) noexcept;
  [[nodiscard]] bool lock(std::uint32_t first, std::uint32_t count, LockMode mode) const;
  void unlock(std::uint32_t first, std::uint32_t count) const noexcept;
  [[nodiscard]] bool lock_all();
  void unlock_unread() noexcept;

  const Fd& file_;
  const std::filesystem::path& path_;
  const bool alone_;
  std::atomic<std::size_t> count_ = 0;  // of held_: most tasks have no directory
  std::mutex mutex_;                    // guards all below: what is held by this process
  std::unordered_map<Key, Held> held_;
  std::map<std::uint32_t, std::uint32_t> readers_;  // of each place
  std::set<std::uint32_t> makers_;
  bool all_ = false;  // all places are locked, but for makers_ shared
};

}  // namespace stook::detail
