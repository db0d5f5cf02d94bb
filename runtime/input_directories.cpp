#include "runtime/input_directories.h"

#include <map>
#include <vector>

#include "runtime/task_directory.h"
#include "src/mutant.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

class InputDirectories {
 public:
  InputDirectories(Store& store, Plan& plan, const Node& node) : store_(store), plan_(plan) {
    for (std::uint32_t i = 0; i < node.input_count; ++i) {
      const NodeIndex index = plan.inputs[node.first_input + i];
      if (!plan.nodes[index].entry.has_directory || STOOK_MUTANT("read-directories")) continue;
      inputs_.push_back(index);
      keys_.push_back(plan.nodes[index].spec->key);
    }
  }

  [[nodiscard]] const std::vector<Key>& keys() const { return keys_; }

  // The first that an attempt which died has left half made. no_node: none.
  [[nodiscard]] NodeIndex unsettled() const {
    if (STOOK_MUTANT("settle-inputs")) return no_node;
    for (const NodeIndex index : inputs_) {
      const Node& input = plan_.nodes[index];
      if (is_unsettled(store_.root(), input.spec->key, path_of(input))) return index;
    }
    return no_node;
  }

  // The first that is another one by now, or was cleared. Of what nothing is known (the index
  // cannot be read) the plan's word counts.
  [[nodiscard]] NodeIndex overtaken() const {
    std::vector<Entry> now(keys_.size());
    if (!keys_.empty()) store_.lookup(keys_, now);
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      const bool gone = now[i].state == RecordState::missing &&
                        (now[i].doubt == Doubt::cleared || now[i].doubt == Doubt::damaged);
      const bool other = now[i].pack != 0 && now[i].digest != plan_.nodes[inputs_[i]].digest;
      if (gone || other) return inputs_[i];
    }
    return no_node;
  }

  // False: somebody else is about it.
  [[nodiscard]] bool settle(NodeIndex index) const {
    const Node& input = plan_.nodes[index];
    Entry entry = input.entry;
    Claim claim = Claim::published;
    while (claim == Claim::published) claim = store_.claim(input.spec->key, entry);
    if (claim != Claim::acquired) return false;
    try {
      settle_attempt(store_, input.spec->key, entry, path_of(input));
    } catch (...) {
      store_.release(input.spec->key);
      throw;
    }
    store_.release(input.spec->key);
    return true;
  }

  [[nodiscard]] fs::path path_of(NodeIndex index) const { return path_of(plan_.nodes[index]); }

 private:
  [[nodiscard]] fs::path path_of(const Node& input) const {
    return store_.task_path(input.task().info.name, input.entry.id);
  }

  Store& store_;
  Plan& plan_;
  std::vector<NodeIndex> inputs_;
  std::vector<Key> keys_;
};

// Before anything is claimed: who is refused here wakes nobody, nor himself.
bool settle_inputs(const InputDirectories& directories) {
  constexpr int kMostTries = 10;  // others may make it anew, and die, in between
  std::map<NodeIndex, int> tries;
  for (;;) {
    const NodeIndex unsettled = directories.unsettled();
    if (unsettled == no_node) return true;
    if (++tries[unsettled] > kMostTries) {
      throw CacheError("cannot put right what an attempt that died has left in " +
                       directories.path_of(unsettled).string());
    }
    if (!directories.settle(unsettled)) return false;
  }
}

}  // namespace

bool claim_task(Store& store, Plan& plan, Node& node, Completion& completion) {
  const InputDirectories directories(store, plan, node);
  const Key& key = node.spec->key;
  for (;;) {
    completion.kind = Completion::Kind::held;
    if (!settle_inputs(directories)) return false;
    const Claim claim = store.claim(key, node.entry, directories.keys());
    if (claim == Claim::held || claim == Claim::orphaned) return false;
    if (claim == Claim::published) {
      if (node.forced) continue;  // it runs all the same
      completion.kind = Completion::Kind::published;
      return false;
    }
    completion.kind = Completion::Kind::ran;
    if (directories.keys().empty()) return true;
    bool again = false;
    try {
      again = directories.unsettled() != no_node;
      if (!again && !STOOK_MUTANT("overtaken-input")) completion.input = directories.overtaken();
      if (!again && completion.input == no_node) return true;
    } catch (...) {
      store.release(key);
      throw;
    }
    store.release(key);
    if (again) continue;  // whoever made one has died just before
    completion.kind = Completion::Kind::overtaken;
    return false;
  }
}

}  // namespace stook::detail
