// ready_queue.h - the tasks that could start now, in the order in which they should, under the rate
// limits. Unaware of graphs and of how tasks are executed.
// Not thread-safe: it belongs to the scheduler's serial node. Design: runtime/README.md
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "src/plan.h"

namespace stook::detail {

// Where tasks are executed. Each lane is full by itself, the labels' tokens are common to all.
enum class Lane : std::uint8_t { threads, workers, prefix };
inline constexpr std::size_t lane_count = 3;

class ReadyQueue {
 public:
  // `limits`: label -> tasks at once. REQUIRES: every limit >= 1
  explicit ReadyQueue(const std::map<std::string, int>& limits);

  // The group of tasks that have the same limited labels. `labels`: class name, then its labels.
  [[nodiscard]] std::uint32_t group_of(const std::vector<std::string>& labels,
                                       Lane lane = Lane::threads);

  // Tells of work to come, so that scarce labels can be kept busy.
  void announce(std::uint32_t group, double expected_seconds);

  void push(std::uint32_t group, NodeIndex node, float remaining_path);
  // The next task of the lane and its group; its tokens are taken. no_node: nothing can start now.
  [[nodiscard]] NodeIndex pop(std::uint32_t& group, Lane lane = Lane::threads);
  // Gives the tokens back. `expected_seconds` as announced, 0 where the task will come again.
  void release(std::uint32_t group, double expected_seconds);

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t size(Lane lane) const {
    return lane_sizes_[static_cast<std::size_t>(lane)];
  }
  [[nodiscard]] bool limited(std::uint32_t group) const { return !groups_[group].labels.empty(); }

 private:
  struct Waiting {
    float remaining_path;
    std::uint64_t arrival;
    NodeIndex node;
  };
  struct Label {
    int free;
    int limit;
    double backlog;  // seconds of announced work that is not finished
  };
  struct Group {
    std::vector<std::uint32_t> labels;
    std::vector<Waiting> heap;
    std::uint32_t passed_over = 0;
    Lane lane = Lane::threads;
  };

  static bool later(const Waiting& a, const Waiting& b);
  [[nodiscard]] bool has_room(const Group& group) const;
  [[nodiscard]] bool shares_label(const Group& a, const Group& b) const;
  void urgency(const Group& group, std::vector<double>& out) const;
  [[nodiscard]] bool more_urgent(const Group& a, const Group& b) const;
  [[nodiscard]] Group* choose(Lane lane);
  [[nodiscard]] const Group* starving() const;
  NodeIndex take(Group& group);

  std::map<std::string, std::uint32_t> label_slots_;
  std::vector<Label> labels_;
  std::vector<Group> groups_;
  std::map<std::pair<Lane, std::vector<std::uint32_t>>, std::uint32_t> group_slots_;
  std::uint64_t arrivals_ = 0;
  std::size_t size_ = 0;
  std::size_t lane_sizes_[lane_count] = {};
};

}  // namespace stook::detail
