// execution.h - executes one planned task in this process: claims its key, brings its inputs into
// memory, runs it, publishes its result. Also what the task may ask of the run meanwhile.
// Unaware of the order of tasks and of rate limits.
// Thread-safe: each node is executed by one thread at a time. Design: runtime/README.md
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/checkpoint.h"
#include "runtime/found_inputs.h"
#include "runtime/scheduler.h"
#include "runtime/task_directory.h"
#include "src/plan.h"
#include "src/store.h"

namespace stook::detail {

class Execution;

// The digests of a task's inputs, which are final.
void take_upstream(const Plan& plan, const Node& node, std::vector<UpstreamSeen>& upstream);
// Of its files, those that were changed since the run looked at them get a digest that nothing has:
// nobody knows which content was read.
void recheck_files(const Plan& plan, const Node& node, const Moment& looked, DigestCache& digests,
                   std::vector<UpstreamSeen>& upstream);
// Equal for two attempts: they are to make the same of the same.
[[nodiscard]] Digest made_of(const Plan& plan, const Node& node);
// What of a publication does not depend on where the task was executed. Refers to the node's task.
[[nodiscard]] Publication publication_of(const Node& node, std::uint64_t run);

// One per planned task.
class NodeContext final : public TaskContext {
 public:
  NodeContext(Execution& execution, NodeIndex node) : execution_(execution), node_(node) {}
  [[nodiscard]] const TaskSpec& spec() const override;
  [[nodiscard]] std::uint64_t id() override;
  [[nodiscard]] std::filesystem::path cache_root() const override;
  [[nodiscard]] std::filesystem::path directory() override;
  [[nodiscard]] std::filesystem::path checkpoint_directory() override;
  [[nodiscard]] std::filesystem::path log_path(std::string_view name) override;
  void progress(double fraction, std::string_view text) override;
  [[nodiscard]] bool stop_requested() const override;
  void add_input(const std::filesystem::path& file) override;
  [[nodiscard]] InputFinder& found_inputs() override;

  // For the execution: the task's directory while it runs, made when first wanted.
  [[nodiscard]] TaskDirectory& open_directory();
  [[nodiscard]] TaskDirectory* opened_directory() { return directory_.get(); }
  void close_directory() { directory_.reset(); }
  // run_task() begins, or has returned: from then on nothing here is made or moved any more.
  void set_executing(bool executing) {
    begun_ = begun_ || executing;
    executing_ = executing;
  }
  void forget_found_inputs() {
    found_inputs_.reset();
    checkpoint_.reset();
  }
  void append_found_inputs(std::vector<UpstreamSeen>& upstream);

 private:
  [[nodiscard]] std::filesystem::path path();
  [[nodiscard]] Checkpoint& checkpoint();

  Execution& execution_;
  const NodeIndex node_;
  std::atomic<bool> executing_ = false;
  std::atomic<bool> begun_ = false;
  std::unique_ptr<TaskDirectory> directory_;
  std::unique_ptr<InputFinder> found_inputs_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

class Execution final : public ContextSource {
 public:
  explicit Execution(Store& store) : store_(store) {}

  // REQUIRES: before execute(); the plan outlives this.
  void attach(Plan& plan) { plan_ = &plan; }
  TaskContext* context_for(NodeIndex node) override;

  // REQUIRES: the node is running, its inputs are answers.
  [[nodiscard]] Completion execute(NodeIndex node, std::uint64_t run);

  // Brings a node's value into memory; false where what is stored of it is damaged, and why.
  [[nodiscard]] bool load(Node& node, std::string& why);

  // The run is to end: somebody outside wants it.
  [[nodiscard]] bool stop_requested() const {
    return stop != nullptr && stop->load(std::memory_order_relaxed);
  }
  void note_failure() {
    if (!keep_going) failed_ = true;
  }
  // Nothing new is to be started: the run is to end, or something has failed.
  [[nodiscard]] bool starts_nothing() const {
    return failed_.load(std::memory_order_relaxed) || stop_requested();
  }

  int compress_level = 3;                   // of classes that do not say
  Moment looked;                            // before the declared inputs were looked at
  bool keep_going = false;                  // a failure lets others start
  const std::atomic<bool>* stop = nullptr;  // null: nobody will
  std::function<void(NodeIndex, double, std::string_view)> on_progress;

 private:
  friend class NodeContext;
  class Attempt;

  [[nodiscard]] bool load_inputs(const Node& node, Completion& completion);
  void bind_members(Node& node) const;

  Store& store_;
  Plan* plan_ = nullptr;
  DigestCache digests_;                      // of inputs found by tasks
  StableVector<NodeContext> contexts_;       // made while planning, by one thread
  std::array<std::mutex, 64> load_mutexes_;  // striped by node
  std::mutex contexts_mutex_;                // guards ids and directories being made
  std::atomic<bool> failed_ = false;
};

}  // namespace stook::detail
