// job_maker.h - a claimed task as work for another process: what it has to know, and no more.
// Unaware of how jobs travel. Belongs to Outside's thread.
// Design: runtime/executors/README.md, "A job"
#pragma once

#include <unordered_set>

#include "cache/values.h"
#include "runtime/execution.h"
#include "src/job.h"

#include <stook/options.hpp>

namespace stook::detail {

struct JobDefaults {
  int compress_level = 3;
  bool allow_other_build = false;
  std::uint64_t memory = 0;
  std::uint64_t log_limit = 0;
  std::filesystem::path directory;  // where the worker works; empty: where this process does
};

class JobMaker {
 public:
  JobMaker(Store& store, Plan& plan, Execution& execution, const ValueFiles& files,
           const JobDefaults& defaults);

  // Fills in all but the number. False: an input turned out damaged, and `completion` says which.
  // Throws CacheError. REQUIRES: the node's inputs are answers.
  [[nodiscard]] bool make(const Node& node, Job& job, Completion& completion);

 private:
  bool add_task(Job& job, Node& input, std::string& damage);
  void add_external(Job& job, const ExternalSpec& input);
  [[nodiscard]] Value value_for_worker(const ExternalSpec& input) const;
  void add_value(Job& job, JobInput place, const ValueType& type, const Value& value);
  bool add_future(Job& job, const SpecPtr& future, Completion& completion);

  Store& store_;
  Plan& plan_;
  Execution& execution_;
  const ValueFiles& files_;
  const JobDefaults defaults_;
  const bool is_elsewhere_;
  std::unordered_set<NodeIndex>
      inputs_;  // of the task at hand, where futures are among its arguments
};

}  // namespace stook::detail
