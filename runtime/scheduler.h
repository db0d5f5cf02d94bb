// scheduler.h - which task starts when: counts inputs, settles suspects, holds the tokens, keeps
// the books. One function, set_state, changes a node's state.
// Unaware of threads and of how a task is executed. Not thread-safe: it belongs to the serial node
// of the flow graph. Design and table of states: runtime/README.md
#pragma once

#include <deque>
#include <functional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "runtime/observer.h"
#include "runtime/ready_queue.h"
#include "src/plan.h"
#include "src/store.h"

#include <stook/options.hpp>

namespace stook::detail {

// What became of one execution.
struct Completion {
  enum class Kind : std::uint8_t {
    ran,              // node.value, node.digest and node.entry are set
    not_started,      // it was in a batch when starting ended
    failed,           // `cause` says why
    held,             // another run executes the key
    published,        // another run has executed it: node.entry is new
    damaged,          // the stored value of `input` cannot be read
    overtaken,        // another run has made another directory of `input`, or has cleared it
    cache_failed,     // the cache can be neither read nor written; `cause` says why
    executor_failed,  // no process can be had to execute it; `cause` says why
  };
  NodeIndex node = no_node;
  Kind kind = Kind::ran;
  float seconds = 0;
  NodeIndex input = no_node;
  std::string cause;
  std::string stdout_path;  // of a task that failed in a process of its own
  std::string stderr_path;
};

// Why a value is not computed once more.
[[nodiscard]] std::string unreadable_text(const Node& node, const std::string& why);

class Scheduler {
 public:
  inline static constexpr std::size_t fewest_tries = 64;
  // `lane_of`: where tasks of a class are executed. Empty: all in threads.
  using LaneOf = std::function<Lane(const ClassInfo&)>;
  Scheduler(Plan& plan, Store& store, const RunOptions& options, RunObserver& observer,
            const LaneOf& lane_of = {});

  // Settles what can be settled without running anything.
  void start();
  // The tasks to be started next in a lane, one after the other by one worker; short ones come
  // several at once. None: nothing can start now.
  void next(std::vector<NodeIndex>& batch, Lane lane = Lane::threads);
  // Is it a short task, of which a worker may have some waiting?
  [[nodiscard]] bool is_short(NodeIndex node) const;
  void finished(Completion completion);
  // Claims may have ended: of the tasks held elsewhere some are ready again, and twice as many next
  // time where one of these has been heard of and none is held. All would be too many each time.
  void retry_elsewhere();
  // Start nothing new.
  void stop() { stopping_ = true; }
  // Their values were damaged in an earlier pass and have been made anew: if one is again, that is
  // its task's doing, and its users fail.
  void expect_whole(const std::unordered_set<Key>& keys) { expected_whole_ = &keys; }
  // Whatever has not been started will not be.
  void close();

  [[nodiscard]] bool waits_elsewhere() const { return !stopping_ && !elsewhere_.empty(); }
  // What the plan took for answers are none any more.
  [[nodiscard]] bool must_plan_again() const { return !damaged_.empty() || overtaken_; }
  // Whose values turned out damaged.
  [[nodiscard]] const std::vector<Key>& damaged() const { return damaged_; }
  // Why nothing can be kept, or executed, any more, and nothing new was started; empty: it can.
  [[nodiscard]] const std::string& cache_failure() const { return cache_failure_; }
  [[nodiscard]] const std::string& executor_failure() const { return executor_failure_; }
  // Were the tasks last handed out in the lane short ones?
  [[nodiscard]] bool hands_out_short(Lane lane) const {
    return short_lane_[static_cast<std::size_t>(lane)];
  }
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
  [[nodiscard]] std::size_t ready() const { return stopping_ ? 0 : queue_.size(); }
  [[nodiscard]] std::vector<Failure>& failures() { return failures_; }
  [[nodiscard]] Failure failure_of(NodeIndex index, std::string cause);
  // Adds what this plan came to, but for the tasks in `counted`. Where it will be planned again
  // (`only_ran`) just what ran, which then enters `counted`.
  void count(Stats& stats, std::unordered_set<Key>& counted, bool only_ran) const;

 private:
  void set_state(NodeIndex index, NodeState state);
  void settle(NodeIndex index);
  void settle_users();
  [[nodiscard]] bool inputs_unchanged(const Node& node, const Record& record) const;
  [[nodiscard]] bool found_unchanged(std::span<const UpstreamSeen> found) const;
  [[nodiscard]] bool is_there_now(const Entry& entry) const;
  [[nodiscard]] bool rebuilt_above(const Node& node) const;
  [[nodiscard]] bool proves_fresh(const Node& node) const;
  void release_inputs(const Node& node);
  void fail(Completion& completion);
  void note_damage(Completion& completion);
  void adopt_published(NodeIndex index);
  void confirm_pending();

  Plan& plan_;
  Store& store_;
  const RunOptions& options_;
  RunObserver& observer_;
  ReadyQueue queue_;
  std::vector<std::uint32_t> class_groups_;  // per Plan::classes
  std::vector<double> class_seconds_;        // sums in this run, per Plan::classes
  std::vector<std::size_t> class_ran_;
  std::vector<NodeIndex> to_settle_;  // worklist: nodes all of whose inputs are final
  std::vector<NodeIndex> finished_;   // worklist: nodes that became final
  std::deque<NodeIndex> elsewhere_;
  std::size_t tries_ = fewest_tries;  // of these that are tried at once
  bool heard_ = false;                // of one that was tried, since some were last
  bool still_held_ = false;           // and it was held
  std::vector<Key> to_confirm_;
  std::vector<Failure> failures_;
  std::string cache_failure_;
  std::string executor_failure_;
  bool short_lane_[lane_count] = {};
  std::vector<bool> is_root_;
  double busy_seconds_ = 0;
  std::size_t in_flight_ = 0;
  bool stopping_ = false;
  bool overtaken_ = false;
  const std::unordered_set<Key>* expected_whole_ = nullptr;
  std::vector<Key> damaged_;
};

}  // namespace stook::detail
