#include "runtime/scheduler.h"

#include <algorithm>
#include <utility>

#include "runtime/found_inputs.h"
#include "src/context.h"
#include "src/external.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

// Tasks this short are handed out several at a time.
constexpr double short_seconds = 50e-6;
constexpr std::size_t short_batch = 32;
constexpr std::size_t confirm_batch = 4096;

std::vector<std::string> labels_with_name(const ClassInfo& info) {
  std::vector<std::string> labels{info.name};
  labels.insert(labels.end(), info.labels.begin(), info.labels.end());
  return labels;
}

Counts& operator+=(Counts& counts, const Node& node) {
  counts.planned += node.state != NodeState::cached;
  counts.ran += node.state == NodeState::ran;
  counts.cached += node.state == NodeState::cached;
  counts.unchanged += node.state == NodeState::unchanged;
  counts.failed += node.state == NodeState::failed;
  counts.skipped += node.state == NodeState::skipped;
  return counts;
}

}  // namespace

Scheduler::Scheduler(Plan& plan, Store& store, const RunOptions& options, RunObserver& observer,
                     const LaneOf& lane_of)
    : plan_(plan), store_(store), options_(options), observer_(observer),
      queue_(options.rate_limits), class_seconds_(plan.classes.size()),
      class_ran_(plan.classes.size()), is_root_(plan.nodes.size()) {
  for (const PlannedClass& planned : plan.classes) {
    const Lane lane = lane_of ? lane_of(*planned.info) : Lane::threads;
    class_groups_.push_back(queue_.group_of(labels_with_name(*planned.info), lane));
  }
  for (const NodeIndex root : plan.roots) is_root_[root] = true;
}

void Scheduler::start() {
  for (const NodeIndex index : plan_.order) {
    Node& node = plan_.nodes[index];
    for (std::uint32_t i = 0; i < node.input_count; ++i) {
      node.unsettled += !is_final(plan_.nodes[plan_.inputs[node.first_input + i]].state);
    }
    queue_.announce(class_groups_[node.class_slot],
                    plan_.classes[node.class_slot].expected_seconds);
    if (node.unsettled == 0) to_settle_.push_back(index);
  }
  std::reverse(to_settle_.begin(), to_settle_.end());  // they are taken from its end
  settle_users();
}

// The one place where a state changes: it keeps counters, tokens and queues with it.
void Scheduler::set_state(NodeIndex index, NodeState state) {
  Node& node = plan_.nodes[index];
  const std::uint32_t group = class_groups_[node.class_slot];
  const double expected = plan_.classes[node.class_slot].expected_seconds;
  if (node.state == NodeState::running) {
    --in_flight_;
    queue_.release(group, is_final(state) || state == NodeState::blocked ? expected : 0);
  }
  // It was handed out and has not been executed.
  const bool came_back = node.state == NodeState::running && state != NodeState::ran &&
                         state != NodeState::failed && state != NodeState::elsewhere;
  if (came_back) observer_.task_elsewhere(plan_, index);
  node.state = state;
  switch (state) {
    case NodeState::ready: queue_.push(group, index, node.remaining_path); break;
    case NodeState::running:
      ++in_flight_;
      observer_.task_started(plan_, index);
      break;
    case NodeState::elsewhere:
      elsewhere_.push_back(index);
      observer_.task_elsewhere(plan_, index);
      break;
    case NodeState::waiting:
    case NodeState::blocked:
      if (state == NodeState::blocked) finished_.push_back(index);
      break;
    case NodeState::cached:  // another run has made it meanwhile
    case NodeState::unchanged:
      finished_.push_back(index);
      observer_.task_unchanged(plan_, index);
      break;
    default: finished_.push_back(index);
  }
}

std::string unreadable_text(const Node& node, const std::string& why) {
  return "the result of " + task_text(node.task()) +
         " cannot be read back, though this run has just made it: " + why +
         "; its codec (to_json and from_json, or what else writes and reads it) has to take "
         "what it gives";
}

// REQUIRES: every input of the node is final or blocked.
void Scheduler::settle(NodeIndex index) {
  Node& node = plan_.nodes[index];
  bool blocked = false;
  for (std::uint32_t i = 0; i < node.input_count; ++i) {
    const NodeState state = plan_.nodes[plan_.inputs[node.first_input + i]].state;
    if (state == NodeState::failed || state == NodeState::skipped) {
      return set_state(index, NodeState::skipped);
    }
    blocked = blocked || state == NodeState::blocked;
  }
  if (blocked) return set_state(index, NodeState::blocked);
  node.rebuilt = rebuilt_above(node);
  if (!node.forced && proves_fresh(node)) {
    node.digest = node.entry.digest;
    to_confirm_.push_back(node.spec->key);
    if (to_confirm_.size() >= confirm_batch) confirm_pending();
    return set_state(index, NodeState::unchanged);
  }
  set_state(index, NodeState::ready);
}

bool Scheduler::rebuilt_above(const Node& node) const {
  if (options_.rebuild != Rebuild::downstream) return false;
  for (std::uint32_t i = 0; i < node.input_count; ++i) {
    const Node& input = plan_.nodes[plan_.inputs[node.first_input + i]];
    if (input.state == NodeState::ran || input.rebuilt) return true;
  }
  return false;
}

bool Scheduler::proves_fresh(const Node& node) const {
  if (node.rebuilt || node.entry.state != RecordState::suspect) return false;
  const auto record = store_.read_record(node.entry);
  return record && inputs_unchanged(node, *record);
}

bool Scheduler::inputs_unchanged(const Node& node, const Record& record) const {
  const std::span<const UpstreamSeen> seen_then(record.upstream);
  const bool has_found = seen_then.size() > node.input_count;
  if (seen_then.size() < node.input_count) return false;
  if (has_found && !is_found_mark(seen_then[node.input_count])) return false;
  for (std::uint32_t i = 0; i < node.input_count; ++i) {
    const Node& input = plan_.nodes[plan_.inputs[node.first_input + i]];
    const UpstreamSeen& seen = record.upstream[i];
    if (seen.key != input.spec->key || seen.digest != input.digest) return false;
  }
  return !has_found || found_unchanged(seen_then.subspan(node.input_count + 1));
}

// What the execution found while it ran: known as it was seen then.
bool Scheduler::found_unchanged(std::span<const UpstreamSeen> found) const {
  std::vector<Key> keys;
  for (const UpstreamSeen& seen : found) keys.push_back(seen.key);
  std::vector<Entry> entries(keys.size());
  store_.lookup(keys, entries);
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (entries[i].state != RecordState::fresh || entries[i].digest != found[i].digest) {
      return false;
    }
    if (!plan_.has_seen(found[i]) && !is_there_now(entries[i])) return false;
  }
  return true;
}

// It has been entered since this run looked: by a task of its own, or by another process, to which
// the file of that name may be another one.
bool Scheduler::is_there_now(const Entry& entry) const {
  if (STOOK_MUTANT("found-elsewhere")) return true;
  const auto record = store_.read_record(entry);
  const SpecPtr spec = record ? external_from(record->class_name, record->arguments) : SpecPtr();
  if (!spec) return false;
  const auto& external = static_cast<const ExternalSpec&>(*spec);
  try {
    return external.looks_like(record->codec) || external.digest() == entry.digest;
  } catch (const CacheError&) { return false; }  // it is executed, and will say so
}

// Follows what became final or blocked, without recursion.
void Scheduler::settle_users() {
  for (;;) {
    if (!to_settle_.empty()) {
      const NodeIndex index = to_settle_.back();
      to_settle_.pop_back();
      settle(index);
    } else if (!finished_.empty()) {
      const NodeIndex index = finished_.back();
      finished_.pop_back();
      Node& node = plan_.nodes[index];
      plan_.destroy_object(node);
      release_inputs(node);
      for (std::uint32_t i = node.user_count; i-- > 0;) {  // the first one is taken first
        const NodeIndex user = plan_.users[node.first_user + i];
        if (--plan_.nodes[user].unsettled == 0) to_settle_.push_back(user);
      }
      if (node.value_users == 0 && !is_root_[index]) node.value.reset();
    } else {
      break;
    }
  }
}

// A value that nobody may ask for any more is let go.
void Scheduler::release_inputs(const Node& node) {
  for (std::uint32_t i = 0; i < node.input_count; ++i) {
    const NodeIndex index = plan_.inputs[node.first_input + i];
    Node& input = plan_.nodes[index];
    if (--input.value_users == 0 && !is_root_[index]) input.value.reset();
  }
}

void Scheduler::next(std::vector<NodeIndex>& batch, Lane lane) {
  confirm_pending();  // before what was made from the confirmed is published
  if (stopping_) return;
  while (batch.size() < short_batch) {
    std::uint32_t group = 0;
    const NodeIndex index = queue_.pop(group, lane);
    if (index == no_node) break;
    set_state(index, NodeState::running);
    batch.push_back(index);
    // More than one only where they are short and their order hardly matters.
    short_lane_[static_cast<std::size_t>(lane)] = is_short(index);
    if (queue_.limited(group) || !is_short(index) || queue_.size(lane) < 2 * short_batch) break;
  }
}

bool Scheduler::is_short(NodeIndex node) const {
  const std::uint16_t slot = plan_.nodes[node].class_slot;
  return class_ran_[slot] > 0 &&
         class_seconds_[slot] < short_seconds * static_cast<double>(class_ran_[slot]);
}

void Scheduler::finished(Completion completion) {
  const NodeIndex index = completion.node;
  Node& node = plan_.nodes[index];
  if (std::exchange(node.tried_again, false)) {
    heard_ = true;
    still_held_ = still_held_ || completion.kind == Completion::Kind::held;
  }
  switch (completion.kind) {
    case Completion::Kind::ran:
      class_seconds_[node.class_slot] += completion.seconds;
      ++class_ran_[node.class_slot];
      busy_seconds_ += completion.seconds;
      set_state(index, NodeState::ran);
      observer_.task_finished(plan_, index, completion.seconds);
      break;
    case Completion::Kind::not_started: set_state(index, NodeState::ready); break;
    case Completion::Kind::failed: fail(completion); break;
    case Completion::Kind::held: set_state(index, NodeState::elsewhere); break;
    case Completion::Kind::published: adopt_published(index); break;
    case Completion::Kind::cache_failed:
    case Completion::Kind::executor_failed: {
      stopping_ = true;
      std::string& why =
          completion.kind == Completion::Kind::cache_failed ? cache_failure_ : executor_failure_;
      if (why.empty()) why = std::move(completion.cause);
      set_state(index, NodeState::skipped);
      break;
    }
    case Completion::Kind::damaged: note_damage(completion); break;
    case Completion::Kind::overtaken:
      overtaken_ = true;
      set_state(index, NodeState::blocked);
      break;
  }
  settle_users();
}

// Another run made the record; it answers if it saw what this run's inputs are.
void Scheduler::adopt_published(NodeIndex index) {
  Node& node = plan_.nodes[index];
  const auto record = store_.read_record(node.entry);
  if (node.entry.state == RecordState::fresh && record && inputs_unchanged(node, *record)) {
    node.digest = node.entry.digest;
    return set_state(index, NodeState::cached);
  }
  set_state(index, NodeState::ready);
}

void Scheduler::note_damage(Completion& completion) {
  const Node& input = plan_.nodes[completion.input];
  if (expected_whole_ != nullptr && expected_whole_->contains(input.spec->key)) {
    completion.cause = unreadable_text(input, completion.cause);
    return fail(completion);
  }
  damaged_.push_back(input.spec->key);
  set_state(completion.node, NodeState::blocked);
}

Failure Scheduler::failure_of(NodeIndex index, std::string cause) {
  Node& node = plan_.nodes[index];
  node.entry.id = store_.show_id(node.spec->key, node.task().info.name);  // the user will see it
  Failure failure;
  failure.class_name = node.task().info.name;
  failure.id = node.entry.id;
  failure.arguments = arguments_json(node.task()).dump();
  failure.cause = std::move(cause);
  failure.chain = plan_.chain_to(index);
  return failure;
}

void Scheduler::fail(Completion& completion) {
  Failure failure = failure_of(completion.node, std::move(completion.cause));
  failure.stdout_path = std::move(completion.stdout_path);
  failure.stderr_path = std::move(completion.stderr_path);
  if (!options_.keep_going) stopping_ = true;
  set_state(completion.node, NodeState::failed);
  observer_.task_failed(plan_, completion.node, failure);
  failures_.push_back(std::move(failure));
}

void Scheduler::retry_elsewhere() {
  if (stopping_) return;
  if (std::exchange(heard_, false)) {
    tries_ =
        std::exchange(still_held_, false) ? fewest_tries : std::min(2 * tries_, plan_.nodes.size());
  }
  for (std::size_t count = 0; count < tries_ && !elsewhere_.empty(); ++count) {
    const NodeIndex index = elsewhere_.front();
    elsewhere_.pop_front();
    plan_.nodes[index].tried_again = true;
    set_state(index, NodeState::ready);
  }
}

void Scheduler::confirm_pending() {
  if (!to_confirm_.empty()) store_.confirm(to_confirm_);
  to_confirm_.clear();
}

void Scheduler::close() {
  confirm_pending();
  for (const NodeIndex index : plan_.order) {
    Node& node = plan_.nodes[index];
    if (is_final(node.state) || node.state == NodeState::blocked) continue;
    node.state = NodeState::skipped;
    plan_.destroy_object(node);
  }
}

void Scheduler::count(Stats& stats, std::unordered_set<Key>& counted, bool only_ran) const {
  std::vector<Counts> by_class(plan_.classes.size());
  for (const Node& node : plan_.nodes) {
    if (!node.is_task() || node.state == NodeState::blocked) continue;
    if (!counted.empty() && counted.contains(node.spec->key)) continue;
    if (only_ran && node.state != NodeState::ran) continue;
    if (only_ran) counted.insert(node.spec->key);
    by_class[node.class_slot] += node;
    stats += node;
    if (node.state == NodeState::cached || node.state == NodeState::unchanged) {
      stats.saved_seconds += node.entry.seconds;
    }
  }
  for (std::size_t slot = 0; slot < by_class.size(); ++slot) {
    Counts& total = stats.by_class[plan_.classes[slot].info->name];
    const Counts& counts = by_class[slot];
    total.planned += counts.planned;
    total.ran += counts.ran;
    total.cached += counts.cached;
    total.unchanged += counts.unchanged;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
  }
  stats.busy_seconds += busy_seconds_;
}

}  // namespace stook::detail
