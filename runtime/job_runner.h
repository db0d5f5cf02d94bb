// job_runner.h - executes one job: rebuilds the task it names, reads its inputs, runs it, keeps its
// value. What a worker process does, whoever sent the job.
// Unaware of how jobs come and results go, and of the index. Not thread-safe but for
// request_stop().
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "cache/execution_lock.h"
#include "cache/values.h"
#include "runtime/found_inputs.h"
#include "runtime/memory_group.h"
#include "runtime/task_output.h"
#include "src/job.h"
#include "src/os.h"

#include <stook/class_info.hpp>

namespace stook::detail {

class JobRunner {
 public:
  // `root`: of the cache. `stem`: of this process's files in the spool; its control group is named
  // after it.
  JobRunner(std::filesystem::path root, const std::filesystem::path& stem);

  // Never throws what is the task's doing: that is in the result.
  [[nodiscard]] JobResult run(const Job& job);

  // Goes to where the driver is, or has the tasks work. Where that is not there (in a container)
  // tasks with inputs by relative paths fail: such a path would mean another file.
  void work_in(const std::filesystem::path& directory);

  void request_stop() { stop_.store(true, std::memory_order_relaxed); }

  // Does somebody wait for the result? Asked before the task's directory is touched. Empty: yes.
  std::function<bool()> is_wanted;
  // And when the key is locked: who gives it up later sees that.
  bool asks_first = false;
  TaskOutput* output = nullptr;  // null: the process's own streams are left alone
  std::function<void(const JobProgress&)> on_progress;

 private:
  class Context;
  struct Kept {
    Digest digest;
    const ValueType* type;  // several types may have one encoding
    Value value;
    std::size_t bytes;
  };

  void begin_here();
  [[nodiscard]] bool is_at_home() const;
  void go_home();
  [[nodiscard]] std::filesystem::path whole(const std::filesystem::path& file) const;
  void require_wanted() const;  // or this process and what it has started end
  void execute(const Job& job, JobResult& result);
  [[nodiscard]] SpecPtr rebuild(const Job& job) const;
  [[nodiscard]] Value input(const Spec& leaf);
  [[nodiscard]] Value path_input(const ExternalSpec& leaf) const;
  [[nodiscard]] Value load(const JobInput& input, const ValueType& type);
  [[nodiscard]] Value find_kept(const Digest& digest, const ValueType& type);
  void keep(const Digest& digest, const ValueType& type, Value value, std::size_t bytes);

  const std::filesystem::path root_;
  const std::filesystem::path stem_;
  std::filesystem::path missing_directory_;  // where it cannot work; empty: it is there
  Fd home_;                                  // where it works; empty: it may not be searched
  std::filesystem::path home_name_;          // a task may go elsewhere
  bool in_user_code_ = false;
  std::unique_ptr<MemoryGroup> group_;  // null: no task was limited yet, or there are none here
  ExecutionLock lock_;
  ValueFiles files_;
  DigestCache digests_;  // of files that tasks have found
  std::atomic<bool> stop_ = false;
  std::unordered_map<Key, const JobInput*> inputs_;  // of the job that is being executed
  // Values that were read or made, the last used first.
  std::list<Kept> kept_;
  std::unordered_multimap<Digest, std::list<Kept>::iterator> by_digest_;
  std::size_t kept_bytes_ = 0;
};

}  // namespace stook::detail
