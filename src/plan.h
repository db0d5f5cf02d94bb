// plan.h - which tasks a run is about: walks down from the roots, constructing only what the store
// cannot answer for. Unaware of threads, executors and displays.
// Not thread-safe. Design: src/README.md
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "src/external.h"
#include "src/key_table.h"
#include "src/stable_vector.h"
#include "src/store.h"

#include <stook/task.hpp>

namespace stook::detail {

using NodeIndex = std::uint32_t;
constexpr NodeIndex no_node = 0xffffffff;

// Where a node is on its way. The last six are final.
enum class NodeState : std::uint8_t {
  waiting,    // constructed; an upstream is not settled yet
  ready,      // all upstreams are settled; it has not been started
  running,    // given to the executor
  elsewhere,  // another run holds the claim on its key
  blocked,    // an upstream's stored value turned out damaged: to be planned anew
  cached,     // the store answers for it; constants and external inputs too
  unchanged,  // suspect, and proven fresh
  ran,
  failed,
  skipped,  // not started: something upstream failed, or the run stopped
};
[[nodiscard]] constexpr bool is_final(NodeState state) { return state >= NodeState::cached; }
[[nodiscard]] constexpr bool is_answer(NodeState state) {
  return state == NodeState::cached || state == NodeState::unchanged || state == NodeState::ran;
}

// Where a task object holds a future: offsets of its members.
struct Members {
  std::unique_ptr<std::uint32_t[]> offsets;
  std::uint32_t count = 0;
};

struct Node {
  SpecPtr spec;
  NodeState state = NodeState::waiting;
  bool forced = false;             // runs even where it is fresh: the entry task
  bool outside = false;            // another process executed it: its value is in the store
  bool tried_again = false;        // it was somebody else's, and is ready once more
  bool rebuilt = false;            // it ran, or (Rebuild::downstream) something above it did
  TaskBase* object = nullptr;      // constructed and not yet run
  void* place = nullptr;           // the memory `object` lies in
  TaskContext* context = nullptr;  // of the object
  Members members;
  Entry entry;
  Digest digest;                  // valid once is_answer(state)
  Value value;                    // in memory, while somebody may need it
  std::uint32_t first_input = 0;  // into Plan::inputs
  std::uint32_t input_count = 0;
  std::uint32_t first_user = 0;  // into Plan::users
  std::uint32_t user_count = 0;
  std::uint32_t unsettled = 0;    // inputs that are not final
  std::uint32_t value_users = 0;  // users that may still ask for the value
  float remaining_path = 0;       // seconds from here to the end of the run
  std::uint16_t class_slot = 0;   // into Plan::classes

  [[nodiscard]] const TaskSpec& task() const { return static_cast<const TaskSpec&>(*spec); }
  [[nodiscard]] bool is_task() const { return spec->kind == SpecKind::task; }
};

struct PlannedClass {
  const ClassInfo* info;
  double expected_seconds;  // the mean of its recorded executions; 1 where there are none
  bool has_history = false;
};

// Gives each constructed task what it may ask of the run. Lives as long as the plan.
class ContextSource {
 public:
  virtual ~ContextSource() = default;
  virtual TaskContext* context_for(NodeIndex node) = 0;
};

class Plan {
 public:
  // Plans `roots` against `store`. Throws ConstructionFailed, Cycle, InvalidArgument; nothing has
  // run then. `force_roots`: the roots run even where they are fresh. `seen`: what external inputs
  // are to this run, whatever is on record; others are looked at and entered. Null: the record.
  Plan(Store& store, ContextSource& contexts, const std::vector<SpecPtr>& roots, bool force_roots,
       SeenInputs* seen = nullptr);
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  [[nodiscard]] NodeIndex find(const Key& key) const { return table_.find(key); }
  void destroy_object(Node& node);
  // "Root(...) > Task(...) > this one", from a root down.
  [[nodiscard]] std::vector<std::string> chain_to(NodeIndex node) const;
  // Is an external input on record with another content than was seen?
  [[nodiscard]] bool has_moved() const { return moved_; }
  // Null: it goes by the record.
  [[nodiscard]] const SeenInputs* seen() const { return seen_; }
  // Is that what this run has seen? Yes, where it goes by the record.
  [[nodiscard]] bool has_seen(const UpstreamSeen& external) const;
  // The value of `spec` as a bound future holds it. REQUIRES: its inputs' values are in memory.
  [[nodiscard]] Value value_for(const Spec& spec) const;

  StableVector<Node> nodes;
  std::vector<NodeIndex> inputs;
  std::vector<NodeIndex> users;
  std::vector<NodeIndex> roots;  // the tasks below the run's root futures
  std::vector<PlannedClass> classes;
  std::vector<NodeIndex> order;  // constructed nodes, upstream first

 private:
  NodeIndex node_of(const SpecPtr& spec);
  void look_up(std::vector<NodeIndex>& wave);
  void settle_external(Node& node);
  [[nodiscard]] Digest as_seen(const ExternalSpec& external, const Digest& recorded);
  void construct(NodeIndex index);
  void add_input(NodeIndex index, const SpecPtr& spec);
  void construct_all();
  void destroy_objects();
  void link_users();
  void sort();
  void measure_paths();
  [[noreturn]] void report_cycle(const std::vector<std::uint32_t>& unsettled) const;
  std::uint16_t class_slot(const ClassInfo& info);

  Store& store_;
  ContextSource& contexts_;
  SeenInputs* const seen_;
  bool moved_ = false;
  KeyTable table_;
  std::vector<NodeIndex> wave_;       // nodes that have been named and not yet looked up
  std::vector<NodeIndex> last_user_;  // per node: the last node that took it as an input
};

}  // namespace stook::detail
