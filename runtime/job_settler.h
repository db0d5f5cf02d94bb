// job_settler.h - what became of a job enters the cache and the plan: a publication, or a failure
// with what the task left behind.
// Unaware of how results travel. Belongs to Outside's thread.
// Design: runtime/executors/README.md
#pragma once

#include <vector>

#include "cache/values.h"
#include "runtime/execution.h"
#include "runtime/lost_jobs.h"

namespace stook::detail {

class JobSettler {
 public:
  // `log_limit`: bytes of stdout, and of stderr, that are kept of a task that died.
  // `directory`: in which tasks work; empty: where this process does. `looked`: before the run
  // looked at its inputs.
  JobSettler(Store& store, Plan& plan, ValueFiles& files, std::uint64_t run,
             std::uint64_t log_limit, std::filesystem::path directory, const Moment& looked)
      : store_(store), plan_(plan), files_(files), run_(run), log_limit_(log_limit),
        directory_(std::move(directory)), looked_(looked) {}

  // Both fill in `completion`; the claim is the caller's affair. settle() throws CacheError.
  void settle(Node& node, JobResult& result, Completion& completion);
  // What the task of a lost job has printed goes to its logs, while that is still there.
  [[nodiscard]] TaskOutput::Written collect_output(const Node& node, const LostJob& lost) const;
  // When whoever executed it has ended.
  void settle_lost(Node& node, const EndedJob& ended, Completion& completion);
  // What an attempt that came to nothing moved aside is put back; where that cannot be done,
  // whoever executes the task, or opens the cache, next does it. Gives a line that says why; or
  // nothing.
  [[nodiscard]] std::string give_back_directory(const Node& node) const;

 private:
  void publish(Node& node, const JobResult& result, TaskDirectory* directory);
  void enter_found_by(const JobResult& result);
  void take_transient(Node& node, const JobResult& result);
  void settle_failure(Node& node, JobResult& result, Completion& completion);
  void add_logs(const Node& node, bool out, bool err, Completion& completion);
  [[nodiscard]] std::filesystem::path path_of(const Node& node) const;

  Store& store_;
  Plan& plan_;
  ValueFiles& files_;
  const std::uint64_t run_;
  const std::uint64_t log_limit_;
  const std::filesystem::path directory_;
  const Moment looked_;
  DigestCache digests_;                 // of files that have changed since
  std::vector<UpstreamSeen> upstream_;  // kept for its room
};

}  // namespace stook::detail
