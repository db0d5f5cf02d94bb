#include "runtime/input_directories.h"

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
    for (const NodeIndex index : inputs_) {
      const Node& input = plan_.nodes[index];
      if (is_unsettled(store_.root(), input.spec->key, path_of(input))) return index;
    }
    return no_node;
  }

  // The first that is another one by now, or was cleared.
  [[nodiscard]] NodeIndex overtaken() const {
    std::vector<Entry> now(keys_.size());
    if (!keys_.empty()) store_.lookup(keys_, now);
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      const bool gone = now[i].state == RecordState::missing && now[i].doubt != Doubt::not_kept;
      if (gone || now[i].digest != plan_.nodes[inputs_[i]].digest) return inputs_[i];
    }
    return no_node;
  }

  // False: somebody else is about it.
  [[nodiscard]] bool settle(NodeIndex index) const {
    const Node& input = plan_.nodes[index];
    Entry entry = input.entry;
    const Claim claim = store_.claim(input.spec->key, entry);
    if (claim != Claim::acquired) return claim == Claim::published;
    try {
      settle_attempt(store_, input.spec->key, entry, path_of(input));
    } catch (...) {
      store_.release(input.spec->key);
      throw;
    }
    store_.release(input.spec->key);
    return true;
  }

  [[nodiscard]] fs::path path_of(const Node& input) const {
    return store_.task_path(input.task().info.name, input.entry.id);
  }

 private:
  Store& store_;
  Plan& plan_;
  std::vector<NodeIndex> inputs_;
  std::vector<Key> keys_;
};

}  // namespace

bool claim_task(Store& store, Plan& plan, Node& node, Completion& completion) {
  constexpr int kMostTries = 100;  // each puts one right
  const InputDirectories directories(store, plan, node);
  const Key& key = node.spec->key;
  for (int tries = 0;;) {
    const Claim claim = store.claim(key, node.entry, directories.keys());
    if (claim == Claim::published && node.forced) continue;  // it runs all the same
    if (claim != Claim::acquired) {
      completion.kind = claim == Claim::held ? Completion::Kind::held : Completion::Kind::published;
      return false;
    }
    NodeIndex unsettled = no_node;
    try {
      unsettled = STOOK_MUTANT("settle-inputs") ? no_node : directories.unsettled();
      if (unsettled == no_node) {
        completion.input = STOOK_MUTANT("overtaken-input") ? no_node : directories.overtaken();
        if (completion.input == no_node) return true;
      }
    } catch (...) {
      store.release(key);
      throw;
    }
    store.release(key);
    completion.kind = Completion::Kind::overtaken;
    if (unsettled == no_node) return false;
    if (++tries > kMostTries) {
      throw CacheError("cannot put right what attempts that died have left in " +
                       directories.path_of(plan.nodes[unsettled]).string());
    }
    completion.kind = Completion::Kind::held;
    if (!directories.settle(unsettled)) return false;
  }
}

}  // namespace stook::detail
