// task_output.h - what a task prints, in a process that executes nothing else meanwhile: stdout and
// stderr go to files of the task's own, which exist only where something was printed.
// Unaware of tasks. One object per process; not thread-safe but for watch().
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>

#include "src/os.h"

namespace stook::detail {

class TaskOutput {
 public:
  // Points descriptors 1 and 2 of this process at files `stem`.stdout and `stem`.stderr, which the
  // driver finds there where this process dies. Throws CacheError.
  explicit TaskOutput(const std::filesystem::path& stem);
  ~TaskOutput();  // removes them; the descriptors go to /dev/null
  TaskOutput(const TaskOutput&) = delete;
  TaskOutput& operator=(const TaskOutput&) = delete;

  // A task starts. What a child of the one before it still prints is taken for its own.
  void begin(std::uint64_t limit);
  struct Written {
    bool out = false;
    bool err = false;
  };
  // The task has ended: what was printed goes to `directory`/stdout and stderr, in place of what
  // was there. Where nothing was printed, nothing is there afterwards. What a failed attempt
  // printed goes to stdout.failed and stderr.failed, and leaves the last result's as they were.
  // `may_exist`: there may be something of an earlier attempt.
  using Directory = std::function<std::filesystem::path()>;
  Written end(const Directory& directory, bool failed, bool may_exist);
  // Cuts what has grown beyond the limit; called every now and then from another thread.
  void watch();

  static std::filesystem::path out_file(const std::filesystem::path& stem);
  static std::filesystem::path err_file(const std::filesystem::path& stem);

 private:
  struct Stream {
    int target;  // 1 or 2
    std::filesystem::path file;
    Fd fd;
    bool cut = false;
  };
  void open(Stream& stream);
  bool finish(Stream& stream, const Directory& directory, const char* name, bool may_exist);
  void cut_at_limit(Stream& stream);

  std::mutex mutex_;  // of watch() against the others
  Stream out_;        // GUARDED_BY(mutex_), as all below
  Stream err_;
  std::uint64_t limit_ = 0;
};

// Puts a file into a task's directory, which is made, but for one that is a symbolic link. False:
// it is where it was.
bool move_log(const std::filesystem::path& file, const std::filesystem::path& to);

// Moves what a process printed that died to `directory`: stdout.failed, stderr.failed.
TaskOutput::Written collect_output(const std::filesystem::path& stem,
                                   const std::filesystem::path& directory, std::uint64_t limit);

// The last `lines` lines of a file, at most some 8 KiB; empty where there is none.
[[nodiscard]] std::string last_lines(const std::filesystem::path& file, int lines);
// Each line after "    | ".
[[nodiscard]] std::string quoted_lines(const std::string& text);

}  // namespace stook::detail
