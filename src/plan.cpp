#include "src/plan.h"

#include <algorithm>
#include <unordered_map>

#include "src/context.h"
#include "src/external.h"
#include "src/mutant.h"
#include "src/task_object.h"

#include <stook/errors.hpp>

namespace stook::detail {

Plan::Plan(Store& store, ContextSource& contexts, const std::vector<SpecPtr>& root_specs,
           bool force_roots, SeenInputs* seen)
    : store_(store), contexts_(contexts), seen_(seen) {
  for (const SpecPtr& root : root_specs) {
    for_each_leaf(root, [&](const SpecPtr& leaf) {
      const NodeIndex index = node_of(leaf);
      roots.push_back(index);
      nodes[index].forced = force_roots && nodes[index].is_task();
    });
  }
  try {
    construct_all();
    link_users();
    sort();
    measure_paths();
  } catch (...) {  // there will be no destructor
    destroy_objects();
    throw;
  }
}

void Plan::construct_all() {
  std::vector<NodeIndex> wave;
  while (!wave_.empty()) {
    wave.swap(wave_);
    wave_.clear();
    look_up(wave);
    for (const NodeIndex index : wave) {
      if (nodes[index].state == NodeState::waiting) construct(index);
    }
  }
}

Plan::~Plan() { destroy_objects(); }

void Plan::destroy_objects() {
  for (Node& node : nodes) destroy_object(node);
}

void Plan::destroy_object(Node& node) {
  if (node.object == nullptr) return;
  destroy_task(node.task().info, node.object, node.place);
  node.object = nullptr;
}

NodeIndex Plan::node_of(const SpecPtr& spec) {
  const auto fresh = static_cast<NodeIndex>(nodes.size());
  const NodeIndex index = table_.insert(spec->key, fresh);
  if (index != fresh) return index;
  Node& node = nodes.emplace_back();
  last_user_.push_back(no_node);
  node.spec = spec;
  if (spec->kind == SpecKind::constant) {
    const auto& constant = static_cast<const ConstantSpec&>(*spec);
    node.state = NodeState::cached;
    node.digest = constant.digest;
    node.value = constant.value;
  } else {
    wave_.push_back(index);
  }
  return index;
}

void Plan::look_up(std::vector<NodeIndex>& wave) {
  std::vector<Key> keys(wave.size());
  std::vector<Entry> entries(wave.size());
  for (std::size_t i = 0; i < wave.size(); ++i) keys[i] = nodes[wave[i]].spec->key;
  store_.lookup(keys, entries);
  for (std::size_t i = 0; i < wave.size(); ++i) {
    Node& node = nodes[wave[i]];
    node.entry = entries[i];
    if (!node.is_task()) {
      settle_external(node);
    } else if (node.entry.state == RecordState::fresh && !node.forced) {
      node.class_slot = class_slot(node.task().info);
      node.state = NodeState::cached;
      node.digest = node.entry.digest;
    }
  }
}

// Known inputs were checked when the run began; one that has no record is read now.
void Plan::settle_external(Node& node) {
  const auto& external = static_cast<const ExternalSpec&>(*node.spec);
  if (!external.exists()) {
    throw InvalidArgument("the " + external.text() +
                          " is an input of this run and is not there: provide it, or correct its "
                          "name (a relative path counts from the working directory)");
  }
  if (node.entry.state != RecordState::fresh) {
    const std::string fingerprint = external.fingerprint();
    const SeenInput now = see(external);
    Publication publication;
    publication.key = external.key;
    publication.id = store_.id_of(external.key);
    publication.kind = RecordKind::external;
    publication.class_name = external.class_name();
    publication.arguments = external.arguments;
    publication.digest = now.digest;
    publication.codec = fingerprint;
    node.entry = store_.publish(publication);
    if (seen_ != nullptr) seen_->insert_or_assign(external.key, now);
  }
  node.state = NodeState::cached;
  node.digest = seen_ == nullptr ? node.entry.digest : as_seen(external, node.entry.digest);
  node.value = external.value();
}

// The record may be of another process, which sees another file of that name, or saw it at another
// time.
Digest Plan::as_seen(const ExternalSpec& external, const Digest& recorded) {
  const auto [at, is_new] = seen_->try_emplace(external.key);
  // Where it is what is on record by now, that is no other view.
  if (is_new || at->second.digest != recorded) at->second = see(external);
  if (STOOK_MUTANT("as-seen")) return recorded;
  moved_ = moved_ || at->second.digest != recorded;
  return at->second.digest;
}

bool Plan::has_seen(const UpstreamSeen& external) const {
  if (seen_ == nullptr) return true;
  const SeenInput* const now = find_seen(seen_, external.key);
  return now != nullptr && now->digest == external.digest;
}

void Plan::construct(NodeIndex index) {
  Node& node = nodes[index];
  const TaskSpec& task = node.task();
  node.class_slot = class_slot(task.info);
  node.context = contexts_.context_for(index);
  TaskObject made;
  try {
    made = construct_task(task, node.context);
  } catch (...) {
    const std::string cause = describe_exception(std::current_exception());
    std::string text = "the constructor of " + task_text(task) + " threw " + cause +
                       "; nothing has run. It was planned as";
    for (const std::string& link : chain_to(index)) text += "\n  " + link;
    throw ConstructionFailed(text);
  }
  node.object = made.object;
  node.place = made.place;
  node.members.count = static_cast<std::uint32_t>(made.offsets.size());
  if (node.members.count > 0) {
    node.members.offsets = std::make_unique_for_overwrite<std::uint32_t[]>(node.members.count);
    std::copy(made.offsets.begin(), made.offsets.end(), node.members.offsets.get());
  }
  node.first_input = static_cast<std::uint32_t>(inputs.size());
  for (const std::uint32_t offset : made.offsets) {
    const SpecPtr& spec = future_at(made.place, offset).spec();
    if (spec) for_each_leaf(spec, [&](const SpecPtr& leaf) { add_input(index, leaf); });
  }
  // `nodes` has grown, and `node` has stayed where it was.
  node.input_count = static_cast<std::uint32_t>(inputs.size()) - node.first_input;
}

void Plan::add_input(NodeIndex index, const SpecPtr& spec) {
  const NodeIndex input = node_of(spec);
  if (last_user_[input] == index) return;  // an upstream held twice is one upstream
  last_user_[input] = index;
  inputs.push_back(input);
}

void Plan::link_users() {
  for (const NodeIndex input : inputs) ++nodes[input].user_count;
  std::uint32_t total = 0;
  for (Node& node : nodes) {
    node.first_user = total;
    total += node.user_count;
    node.value_users = node.user_count;
    node.user_count = 0;
  }
  users.resize(total);
  for (NodeIndex index = 0; index < nodes.size(); ++index) {
    const Node& node = nodes[index];
    for (std::uint32_t i = 0; i < node.input_count; ++i) {
      Node& input = nodes[inputs[node.first_input + i]];
      users[input.first_user + input.user_count++] = index;
    }
  }
}

// Upstream first; what is left over is, or hangs on, a cycle.
void Plan::sort() {
  std::vector<std::uint32_t> unsettled(nodes.size());
  std::size_t constructed = 0;
  for (NodeIndex index = 0; index < nodes.size(); ++index) {
    const Node& node = nodes[index];
    if (node.object == nullptr) continue;
    ++constructed;
    for (std::uint32_t i = 0; i < node.input_count; ++i) {
      if (nodes[inputs[node.first_input + i]].object != nullptr) ++unsettled[index];
    }
    if (unsettled[index] == 0) order.push_back(index);
  }
  for (std::size_t at = 0; at < order.size(); ++at) {
    const Node& node = nodes[order[at]];
    for (std::uint32_t i = 0; i < node.user_count; ++i) {
      const NodeIndex user = users[node.first_user + i];
      if (--unsettled[user] == 0) order.push_back(user);
    }
  }
  if (order.size() != constructed) report_cycle(unsettled);
}

void Plan::report_cycle(const std::vector<std::uint32_t>& unsettled) const {
  NodeIndex at = 0;
  while (unsettled[at] == 0) ++at;
  // Every unsettled node has an unsettled input: following them must come back.
  std::vector<NodeIndex> path;
  std::vector<bool> seen(nodes.size());
  while (!seen[at]) {
    seen[at] = true;
    path.push_back(at);
    const Node& node = nodes[at];
    for (std::uint32_t i = 0; i < node.input_count; ++i) {
      const NodeIndex input = inputs[node.first_input + i];
      if (unsettled[input] != 0) {
        at = input;
        break;
      }
    }
  }
  std::string text = "a task needs its own result; nothing has run:";
  for (auto it = std::find(path.begin(), path.end(), at); it != path.end(); ++it) {
    text += "\n  " + task_text(nodes[*it].task()) + " needs";
    if (path.end() - it > 1 && it - path.begin() > 20) {
      text += "\n  ...";
      break;
    }
  }
  text += "\n  " + task_text(nodes[at].task());
  throw Cycle(text);
}

void Plan::measure_paths() {
  std::unordered_map<std::string, double> means;
  for (const ClassHistory& history : store_.history()) {
    if (history.records > 0) {
      means[history.name] = history.seconds / static_cast<double>(history.records);
    }
  }
  for (PlannedClass& planned : classes) {
    const auto found = means.find(planned.info->name);
    planned.has_history = found != means.end();
    planned.expected_seconds = planned.has_history ? found->second : 1.0;
  }
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    Node& node = nodes[*at];
    float longest = 0;
    for (std::uint32_t i = 0; i < node.user_count; ++i) {
      longest = std::max(longest, nodes[users[node.first_user + i]].remaining_path);
    }
    const auto expected = static_cast<float>(classes[node.class_slot].expected_seconds);
    node.remaining_path = longest + (node.entry.seconds > 0 ? node.entry.seconds : expected);
  }
}

std::vector<std::string> Plan::chain_to(NodeIndex target) const {
  // While planning there are no users yet: find, for each node on the way up, one that took it.
  std::vector<NodeIndex> path{target};
  for (NodeIndex at = target; last_user_[at] != no_node && path.size() < nodes.size();) {
    at = last_user_[at];
    path.push_back(at);
  }
  constexpr std::size_t shown = 12;
  std::vector<std::string> chain;
  for (std::size_t i = path.size(); i-- > 0;) {
    if (path.size() > 2 * shown && i < path.size() - shown && i >= shown) {
      if (i == shown)
        chain.push_back("... " + std::to_string(path.size() - 2 * shown) + " more ...");
      continue;
    }
    chain.push_back(future_text(*nodes[path[i]].spec));
  }
  return chain;
}

Value Plan::value_for(const Spec& spec) const {
  if (spec.kind == SpecKind::task) return nodes[table_.find(spec.key)].value;
  return value_of(spec, [this](const Spec& leaf) {
    // Of one key, and perhaps of two types: a vector and a list have one encoding.
    const bool constant = leaf.kind == SpecKind::constant && !STOOK_MUTANT("own-constant");
    return constant ? static_cast<const ConstantSpec&>(leaf).value
                    : nodes[table_.find(leaf.key)].value;
  });
}

std::uint16_t Plan::class_slot(const ClassInfo& info) {
  for (std::size_t slot = 0; slot < classes.size(); ++slot) {
    if (classes[slot].info == &info) return static_cast<std::uint16_t>(slot);
  }
  classes.push_back({&info, 0, false});
  return static_cast<std::uint16_t>(classes.size() - 1);
}

}  // namespace stook::detail
