#include "runtime/ready_queue.h"

#include <algorithm>

namespace stook::detail {
namespace {

// How often a group may see others take a token it waits for before they are held back.
constexpr std::uint32_t patience = 64;

}  // namespace

ReadyQueue::ReadyQueue(const std::map<std::string, int>& limits) {
  for (const auto& [label, limit] : limits) {
    label_slots_.emplace(label, static_cast<std::uint32_t>(labels_.size()));
    labels_.push_back({limit, limit, 0});
  }
}

std::uint32_t ReadyQueue::group_of(const std::vector<std::string>& names, Lane lane) {
  std::vector<std::uint32_t> slots;
  for (const std::string& name : names) {
    const auto found = label_slots_.find(name);
    if (found != label_slots_.end()) slots.push_back(found->second);
  }
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  const auto fresh = static_cast<std::uint32_t>(groups_.size());
  const auto [found, added] = group_slots_.emplace(std::pair(lane, slots), fresh);
  if (added) groups_.push_back({std::move(slots), {}, 0, lane});
  return found->second;
}

void ReadyQueue::announce(std::uint32_t group, double expected_seconds) {
  for (const std::uint32_t label : groups_[group].labels) {
    labels_[label].backlog += expected_seconds;
  }
}

// The heap's top is the longest remaining path; among equals, the oldest.
bool ReadyQueue::later(const Waiting& a, const Waiting& b) {
  if (a.remaining_path != b.remaining_path) return a.remaining_path < b.remaining_path;
  return a.arrival > b.arrival;
}

void ReadyQueue::push(std::uint32_t group, NodeIndex node, float remaining_path) {
  auto& heap = groups_[group].heap;
  heap.push_back({remaining_path, arrivals_++, node});
  std::push_heap(heap.begin(), heap.end(), later);
  ++size_;
  ++lane_sizes_[static_cast<std::size_t>(groups_[group].lane)];
}

NodeIndex ReadyQueue::take(Group& group) {
  std::pop_heap(group.heap.begin(), group.heap.end(), later);
  const NodeIndex node = group.heap.back().node;
  group.heap.pop_back();
  group.passed_over = 0;
  --size_;
  --lane_sizes_[static_cast<std::size_t>(group.lane)];
  for (const std::uint32_t label : group.labels) --labels_[label].free;
  return node;
}

NodeIndex ReadyQueue::pop(std::uint32_t& group, Lane lane) {
  if (size(lane) == 0) return no_node;
  Group* const chosen = choose(lane);
  if (chosen == nullptr) return no_node;
  group = static_cast<std::uint32_t>(chosen - groups_.data());
  if (groups_.size() > 1) {
    for (Group& other : groups_) {
      if (&other != chosen && !other.heap.empty() && !has_room(other) &&
          shares_label(other, *chosen)) {
        ++other.passed_over;
      }
    }
  }
  return take(*chosen);
}

void ReadyQueue::release(std::uint32_t group, double expected_seconds) {
  for (const std::uint32_t label : groups_[group].labels) {
    ++labels_[label].free;
    labels_[label].backlog = std::max(0.0, labels_[label].backlog - expected_seconds);
  }
}

bool ReadyQueue::has_room(const Group& group) const {
  return std::all_of(group.labels.begin(), group.labels.end(),
                     [this](std::uint32_t label) { return labels_[label].free > 0; });
}

bool ReadyQueue::shares_label(const Group& a, const Group& b) const {
  return std::any_of(a.labels.begin(), a.labels.end(), [&b](std::uint32_t label) {
    return std::find(b.labels.begin(), b.labels.end(), label) != b.labels.end();
  });
}

// What waits for this group, longest first: the path below its first task, and for each of its
// labels the time the label's outstanding work needs at the least. Of two groups that wait for the
// same label the one that needs a second, scarce one comes first: it has fewer chances.
void ReadyQueue::urgency(const Group& group, std::vector<double>& out) const {
  out.assign(1, group.heap.front().remaining_path);
  for (const std::uint32_t label : group.labels) {
    out.push_back(labels_[label].backlog / labels_[label].limit);
  }
  std::sort(out.rbegin(), out.rend());
}

bool ReadyQueue::more_urgent(const Group& a, const Group& b) const {
  std::vector<double> of_a;
  std::vector<double> of_b;
  urgency(a, of_a);
  urgency(b, of_b);
  if (of_a != of_b) return of_a > of_b;
  return later(b.heap.front(), a.heap.front());
}

const ReadyQueue::Group* ReadyQueue::starving() const {
  for (const Group& group : groups_) {
    if (group.passed_over >= patience && !group.heap.empty()) return &group;
  }
  return nullptr;
}

ReadyQueue::Group* ReadyQueue::choose(Lane lane) {
  if (groups_.size() == 1) return has_room(groups_.front()) ? &groups_.front() : nullptr;
  const Group* const first = starving();
  Group* best = nullptr;
  for (Group& group : groups_) {
    if (group.lane != lane || group.heap.empty() || !has_room(group)) continue;
    if (first != nullptr && &group != first && shares_label(group, *first)) continue;
    if (best == nullptr || more_urgent(group, *best)) best = &group;
  }
  return best;
}

}  // namespace stook::detail
