// model.h - what caching means, in plain code: the judge of the engine. No files, no threads, no
// hashes; keys are (node, version), digests are the values themselves.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace stook::model {

using NodeId = int;
using Value = int;

// What the program is at the moment: the shape of its graph, the versions of its classes, the
// contents of its files.
struct World {
  // The upstream nodes of a node, for the version its class has now; files count from -1 down.
  std::function<std::vector<NodeId>(NodeId)> upstream;
  std::function<int(NodeId)> version;
  std::function<Value(NodeId, const std::vector<Value>&)> compute;
  std::map<NodeId, Value> files;
};

struct NodeKey {
  NodeId node;
  int version;
  friend auto operator<=>(const NodeKey&, const NodeKey&) = default;
};

enum class State { missing, fresh, suspect };

struct Seen {
  NodeKey key;
  Value digest;
  friend bool operator==(const Seen&, const Seen&) = default;
};

struct Record {
  State state = State::missing;
  bool damaged = false;
  Value value = 0;
  std::vector<Seen> upstream;  // of the last execution, kept when the result is cleared
};

class Model {
 public:
  // Runs `root`; the nodes that were executed are added to `executed`, in any order.
  Value run(const World& world, NodeId root, bool downstream, std::multiset<NodeId>& executed) {
    check_outside(world);
    world_ = &world;
    downstream_ = downstream;
    executed_ = &executed;
    settled_.clear();
    ran_.clear();
    settle(root);
    return need_value(root);
  }

  void clear(const NodeKey& key) {
    const auto found = records_.find(key);
    if (found == records_.end()) return;
    found->second.state = State::missing;
    suspect_dependents(key);
  }

  // The bytes of the record were hurt; nobody has noticed yet.
  void damage(const NodeKey& key) {
    const auto found = records_.find(key);
    if (found != records_.end()) found->second.damaged = true;
  }

  [[nodiscard]] const std::map<NodeKey, Record>& records() const { return records_; }

 private:
  static bool is_file(NodeId node) { return node < 0; }
  NodeKey key_of(NodeId node) const { return {node, is_file(node) ? 0 : world_->version(node)}; }

  // Changed files and records of other versions are treated like a clear.
  void check_outside(const World& world) {
    for (auto& [file, seen] : files_) {
      const Value now = world.files.at(file);
      if (now == seen) continue;
      seen = now;
      suspect_dependents({file, 0});
    }
    for (const auto& [key, record] : records_) {
      if (key.version != world.version(key.node)) suspect_dependents(key);
    }
  }

  void suspect_dependents(const NodeKey& changed) {
    std::set<NodeKey> visited;
    std::vector<NodeKey> work{changed};
    while (!work.empty()) {
      const NodeKey current = work.back();
      work.pop_back();
      for (auto& [key, record] : records_) {
        for (const Seen& seen : record.upstream) {
          if (seen.key != current || !visited.insert(key).second) continue;
          if (record.state == State::fresh) record.state = State::suspect;
          work.push_back(key);
        }
      }
    }
  }

  // After this the node's digest is known and right.
  void settle(NodeId node) {
    if (is_file(node)) {
      files_[node] = world_->files.at(node);
      return;
    }
    if (!settled_.insert(node).second) return;
    Record& record = records_[key_of(node)];
    if (record.state == State::fresh) return;
    std::vector<Seen> now;
    bool rebuilt_above = false;
    for (const NodeId up : world_->upstream(node)) {
      settle(up);
      now.push_back({key_of(up), digest_of(up)});
      rebuilt_above = rebuilt_above || ran_.contains(up);
    }
    const bool proven = record.state == State::suspect && !record.damaged &&
                        record.upstream == now && !(downstream_ && rebuilt_above);
    if (proven) {
      record.state = State::fresh;
    } else {
      execute(node, now);
    }
  }

  void execute(NodeId node, const std::vector<Seen>& upstream) {
    std::vector<Value> values;
    for (const Seen& seen : upstream) values.push_back(need_value(seen.key.node));
    const Value value = world_->compute(node, values);
    records_[key_of(node)] = {State::fresh, false, value, upstream};
    executed_->insert(node);
    ran_.insert(node);
  }

  Value digest_of(NodeId node) const {
    return is_file(node) ? files_.at(node) : records_.at(key_of(node)).value;
  }

  // The value itself: where what is stored of it is damaged it is computed again.
  Value need_value(NodeId node) {
    if (is_file(node)) return world_->files.at(node);
    Record& record = records_.at(key_of(node));
    if (record.damaged) {
      record.state = State::missing;
      settled_.erase(node);
      settle(node);
    }
    return records_.at(key_of(node)).value;
  }

  std::map<NodeKey, Record> records_;
  std::map<NodeId, Value> files_;  // those that were ever planned, as last seen
  const World* world_ = nullptr;
  bool downstream_ = false;
  std::multiset<NodeId>* executed_ = nullptr;
  std::set<NodeId> settled_;
  std::set<NodeId> ran_;
};

}  // namespace stook::model
