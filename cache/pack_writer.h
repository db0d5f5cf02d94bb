// pack_writer.h - appends frames to this process's pack.
// Unaware of what frames mean and of the index. Thread-safe.
//
// A frame is first in a buffer; the buffer is written when it is large, 5 ms after its first frame,
// when somebody waits for one of its keys, or when asked; what was written is synced within the
// durability window. The file is created by the first frame: a run that finds everything in the
// cache leaves no pack. Writing again after a failure (a full disk) goes on where it stopped. What
// is in the buffer was accepted and stays, so while it cannot be written nothing more is taken.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "cache/fault.h"
#include "cache/frame.h"
#include "cache/shared.h"
#include "src/os.h"

namespace stook::detail {

struct Place {
  std::uint32_t pack = 0;
  std::uint64_t offset = 0;
};

class PackWriter {
 public:
  PackWriter(std::filesystem::path directory, PackHeader identity, Shared& shared,
             std::chrono::milliseconds window, Warn warn);
  ~PackWriter();  // writes and syncs what is left

  // Appends a frame made with salt(). `placed` is called under the lock, in the order of the pack.
  // The claims on `release` end when the frame has been written. Throws CacheError where it was not
  // taken; once it was, a failure to write is met by whoever appends, writes or syncs next.
  Place append(ByteSpan frame, std::span<const Key> release,
               const std::function<void(Place)>& placed);

  // Ends a claim when all frames so far have been written.
  void release_written(const Key& key);

  // An object file to be synced, its name as well, no later than the frames appended next. Each is
  // an open file: where too many are, they are synced first, so that the disk sets the pace. Throws
  // CacheError.
  struct Object {
    Fd file;
    std::filesystem::path path;
  };
  void sync_with_next(Object object);

  void write();  // all frames so far are written
  // ... and survive power loss. Both throw CacheError; sync() also where an earlier sync has failed
  // that nobody who asked has met: what it was to save may not survive, and is not synced again.
  void sync();
  // As sync(), for who appended when sync_failures() was `since`: whoever has met a failure that
  // came after that, it is met here too.
  void sync(std::uint64_t since);
  [[nodiscard]] std::uint64_t sync_failures() const;
  [[nodiscard]] std::uint64_t salt() const { return identity_.salt; }
  [[nodiscard]] std::uint32_t pack() const;  // 0: none was created yet
  [[nodiscard]] bool is_written(std::uint64_t offset) const;

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Clock = std::chrono::steady_clock;

  void create_pack();
  // REQUIRES: mutex_ is held; lets go of it while writing. False: see write_error_.
  [[nodiscard]] bool write_buffer(Lock& lock);
  [[noreturn]] void throw_write_error() const;
  void write_all(Lock& lock);
  void sync_written(Lock& lock);  // a failure is counted
  void sync_all(Lock& lock, std::uint64_t since);
  void meet_failures(std::uint64_t since);
  void run();
  void background_step(Lock& lock);

  const std::filesystem::path directory_;
  const PackHeader identity_;
  Shared& shared_;
  const std::chrono::milliseconds window_;
  const Warn warn_;

  mutable std::mutex mutex_;      // guards all below
  std::condition_variable wake_;  // the background thread has something to wait for
  std::condition_variable done_;  // a write or sync ended
  Fd fd_;
  std::uint32_t number_ = 0;
  std::uint32_t handle_ = 0;
  std::vector<std::byte> buffer_;  // what follows the written part of the file
  std::vector<Key> release_;       // claims that end with the buffer
  std::vector<std::byte> writing_;
  std::vector<Key> releasing_;
  std::vector<Object> objects_;
  std::uint64_t objects_given_ = 0;
  std::uint64_t objects_synced_ = 0;  // so many of them
  std::uint64_t appended_ = 0;        // end of the buffer, as an offset of the file
  std::uint64_t written_ = 0;
  std::uint64_t synced_ = 0;
  int write_error_ = 0;  // of the last attempt to write; 0: none
  int sync_error_ = 0;   // of the last sync that failed
  std::uint64_t sync_failures_ = 0;
  std::uint64_t told_failures_ = 0;  // of these, met by somebody who asked
  Clock::time_point first_append_, first_unsynced_;
  bool busy_ = false;  // somebody writes or syncs outside the lock
  bool idle_ = false;  // the background thread sleeps without a limit
  bool stop_ = false;
  std::thread thread_;  // started for the pack
};

}  // namespace stook::detail
