#include "runtime/execution.h"

#include <chrono>

#include "runtime/input_directories.h"
#include "src/context.h"
#include "src/external.h"
#include "src/hash.h"
#include "src/mutant.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::int64_t unix_nanoseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace

void take_upstream(const Plan& plan, const Node& node, std::vector<UpstreamSeen>& upstream) {
  upstream.clear();
  upstream.reserve(node.input_count);
  for (std::uint32_t i = 0; i < node.input_count; ++i) {
    const Node& input = plan.nodes[plan.inputs[node.first_input + i]];
    upstream.push_back({input.spec->key, input.digest});
  }
}

namespace {

// Null: the i-th input is no file.
const ExternalSpec* file_input(const Plan& plan, const Node& node, std::uint32_t i) {
  const Spec& spec = *plan.nodes[plan.inputs[node.first_input + i]].spec;
  if (spec.kind != SpecKind::external) return nullptr;
  const auto& external = static_cast<const ExternalSpec&>(spec);
  return external.what == ExternalSpec::What::file ? &external : nullptr;
}

}  // namespace

void recheck_files(const Plan& plan, const Node& node, const Moment& looked, DigestCache& digests,
                   std::vector<UpstreamSeen>& upstream) {
  if (STOOK_MUTANT("recheck-files")) return;
  for (std::uint32_t i = 0; i < node.input_count; ++i) {
    if (const ExternalSpec* const file = file_input(plan, node, i)) {
      const SeenInput* const seen = find_seen(plan.seen(), file->key);
      const std::string fingerprint = seen == nullptr ? "" : seen->stamp.fingerprint();
      upstream[i] = recheck_file(*file, upstream[i].digest, fingerprint, looked, digests);
    }
  }
}

Digest made_of(const Plan& plan, const Node& node) {
  std::vector<UpstreamSeen> upstream;
  take_upstream(plan, node, upstream);
  Hasher hasher;
  const auto update = [&](const Hash128& hash) {
    hasher.update(&hash.high, sizeof hash.high);
    hasher.update(&hash.low, sizeof hash.low);
  };
  update(node.spec->key);
  hasher.update(&node.task().info.version, sizeof node.task().info.version);
  for (std::uint32_t i = 0; i < upstream.size(); ++i) {
    update(upstream[i].key);
    update(upstream[i].digest);
    // What was changed, and changed back, was another one for a while.
    if (const ExternalSpec* const file = file_input(plan, node, i)) {
      const std::int64_t changed = stamp_of(file->name).changed_ns;
      hasher.update(&changed, sizeof changed);
    }
  }
  return Digest{hasher.finish()};
}

Publication publication_of(const Node& node, std::uint64_t run) {
  const TaskSpec& task = node.task();
  Publication publication;
  publication.key = task.key;
  publication.id = node.entry.id;
  publication.class_name = task.info.name;
  publication.version = task.info.version;
  publication.codec = task.value_type.signature;
  publication.run = run;
  if (task.info.store == stook::Store::never) publication.kind = RecordKind::transient;
  return publication;
}

TaskContext* Execution::context_for(NodeIndex node) { return &contexts_.emplace_back(*this, node); }

bool Execution::load(Node& node, std::string& why) {
  if (!node.is_task()) return true;  // constants and external inputs have theirs from the start
  if (node.state == NodeState::ran && !node.outside) return true;
  const std::size_t stripe = (reinterpret_cast<std::uintptr_t>(&node) / sizeof(Node)) % 64;
  const std::lock_guard lock(load_mutexes_[stripe]);
  if (node.value) return true;
  const ValueType& type = node.spec->value_type;
  const auto payload = store_.read_value(node.entry, type.signature);
  if (payload) {
    try {
      Reader reader((*payload)->bytes());
      reader.set_root(store_.root().string());
      node.value = type.decode(reader);
      reader.finish();
      return true;
    } catch (const std::exception& error) { why = error.what(); }
  } else {
    why = payload.reason();
  }
  node.value.reset();
  store_.mark_damaged(node.spec->key, node.entry, task_text(node.task()) + ": " + why);
  return false;
}

bool Execution::load_inputs(const Node& node, Completion& completion) {
  for (std::uint32_t i = 0; i < node.input_count; ++i) {
    const NodeIndex input = plan_->inputs[node.first_input + i];
    if (!load(plan_->nodes[input], completion.cause)) {
      completion.input = input;
      return false;
    }
  }
  return true;
}

void Execution::bind_members(Node& node) const {
  auto* const object = static_cast<std::byte*>(node.place);
  for (std::uint32_t i = 0; i < node.members.count; ++i) {
    const auto* future = reinterpret_cast<const FutureBase*>(object + node.members.offsets[i]);
    if (future->spec()) future->bind(plan_->value_for(*future->spec()));
  }
}

// One execution of one task, from claim to publication.
class Execution::Attempt {
 public:
  Attempt(Execution& execution, Node& node, NodeIndex index, std::uint64_t run)
      : execution_(execution), store_(execution.store_), node_(node),
        context_(static_cast<NodeContext&>(*node.context)), index_(index), run_(run) {}

  Completion run() {
    Completion completion;
    completion.node = index_;
    try {
      if (!claim_task(store_, *execution_.plan_, node_, completion)) return completion;
      claimed_ = true;
      if (!execution_.load_inputs(node_, completion)) {
        store_.release(node_.spec->key);
        completion.kind = Completion::Kind::damaged;
        return completion;
      }
      execute();
      publish();
      completion.seconds = static_cast<float>(static_cast<double>(duration_ns_) * 1e-9);
      return completion;
    } catch (const CacheError& error) {
      if (is_accepted(error, node_.spec->key)) claimed_ = STOOK_MUTANT("accepted-claim");
      // From run_task() it is the task's own affair; from anywhere else nothing could be kept.
      completion.kind = in_user_code_ ? Completion::Kind::failed : Completion::Kind::cache_failed;
      completion.cause =
          in_user_code_ ? describe_exception(std::current_exception()) : error.what();
    } catch (...) {
      completion.kind = Completion::Kind::failed;
      completion.cause = describe_exception(std::current_exception());
    }
    node_.value.reset();
    end_of_task();
    context_.close_directory();
    if (claimed_) end_claim(completion.kind == Completion::Kind::failed);
    return completion;
  }

 private:
  // Of what failed the user will be told the id, and another process may execute it next.
  void end_claim(bool failed) {
    try {
      if (failed) store_.expose_id(node_.spec->key, node_.entry.id, node_.task().info.name);
    } catch (...) {}  // the failure is what counts
    store_.release(node_.spec->key);
  }

  void execute() {
    const TaskSpec& task = node_.task();
    if (node_.entry.pack != 0 || !node_.entry.known) context_.open_directory().put_aside();
    context_.set_executing(true);
    context_.forget_found_inputs();
    execution_.bind_members(node_);
    const RunningTask running(task);
    started_ns_ = unix_nanoseconds();
    const auto start = Clock::now();
    in_user_code_ = true;
    node_.value = task.info.run(node_.object);
    in_user_code_ = false;
    end_of_task();
    duration_ns_ =
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
  }

  // What a destructor of its asks for, or a thread that it has left behind, is not its own any
  // more.
  void end_of_task() {
    if (!STOOK_MUTANT("end-of-task")) context_.set_executing(false);
  }

  void publish() {
    const TaskSpec& task = node_.task();
    Writer writer;
    writer.set_root(store_.root().string());
    task.value_type.encode(node_.value.get(), writer);
    CanonicalWriter arguments;
    task.write_arguments(arguments);
    TaskDirectory* const directory = context_.opened_directory();
    std::vector<UpstreamSeen> upstream;
    take_upstream(*execution_.plan_, node_, upstream);
    recheck_files(*execution_.plan_, node_, execution_.looked, execution_.digests_, upstream);
    context_.append_found_inputs(upstream);
    Publication publication = publication_of(node_, run_);
    publication.arguments = arguments.bytes();
    publication.upstream = upstream;
    publication.digest = digest_of(writer);
    if (directory != nullptr && directory->used()) {
      publication.directory = directory->digest();
      publication.digest = combine_digests(publication.digest, publication.directory);
    }
    if (directory != nullptr) directory->sync();
    publication.started_ns = started_ns_;
    publication.duration_ns = duration_ns_;
    publication.compress_level = task.info.compress_level.value_or(execution_.compress_level);
    if (publication.kind != RecordKind::transient) publication.value = writer.pieces();
    node_.entry = publish_with(store_, publication, directory);
    node_.digest = publication.digest;
    context_.close_directory();
  }

  Execution& execution_;
  Store& store_;
  Node& node_;
  NodeContext& context_;
  const NodeIndex index_;
  const std::uint64_t run_;
  std::int64_t started_ns_ = 0;
  std::int64_t duration_ns_ = 0;
  bool claimed_ = false;
  bool in_user_code_ = false;
};

Completion Execution::execute(NodeIndex index, std::uint64_t run) {
  Completion completion = Attempt(*this, plan_->nodes[index], index, run).run();
  if (completion.kind == Completion::Kind::failed) note_failure();
  if (completion.kind == Completion::Kind::cache_failed) failed_ = true;
  return completion;
}

const TaskSpec& NodeContext::spec() const { return execution_.plan_->nodes[node_].task(); }

std::uint64_t NodeContext::id() {
  Node& node = execution_.plan_->nodes[node_];
  const std::lock_guard lock(execution_.contexts_mutex_);
  Store& store = execution_.store_;
  const std::string_view name = node.task().info.name;
  if (executing_) store.expose_id(node.spec->key, node.entry.id, name);  // it is claimed
  else if (!begun_) node.entry.id = store.show_id(node.spec->key, name);
  return node.entry.id;
}

fs::path NodeContext::path() {
  const std::uint64_t task_id = id();
  return execution_.store_.task_path(spec().info.name, task_id);
}

TaskDirectory& NodeContext::open_directory() {
  fs::path task_path = path();
  const std::lock_guard lock(execution_.contexts_mutex_);
  if (!directory_) {
    directory_ = std::make_unique<TaskDirectory>(
        execution_.store_, spec().key, execution_.plan_->nodes[node_].entry, std::move(task_path));
  }
  return *directory_;
}

fs::path NodeContext::cache_root() const { return execution_.store_.root(); }

// While it is being planned a task only learns where its directories will be.
fs::path NodeContext::directory() { return executing_ ? open_directory().data() : path() / "data"; }

fs::path NodeContext::checkpoint_directory() {
  if (!executing_) return path() / "checkpoint";
  const Plan& plan = *execution_.plan_;
  return checkpoint().open(execution_.store_.root(), path(), made_of(plan, plan.nodes[node_]));
}

fs::path NodeContext::log_path(std::string_view name) { return path() / name; }

void NodeContext::progress(double fraction, std::string_view text) {
  if (execution_.on_progress) execution_.on_progress(node_, fraction, text);
}

void NodeContext::add_input(const fs::path& file) {
  refuse_directory(file);
  FoundInput found = found_inputs().look(file.string());
  checkpoint().add(file, found.digest);
  found_inputs().add(std::move(found));
}

Checkpoint& NodeContext::checkpoint() {
  const std::lock_guard lock(execution_.contexts_mutex_);
  if (!checkpoint_) checkpoint_ = std::make_unique<Checkpoint>();
  return *checkpoint_;
}

InputFinder& NodeContext::found_inputs() {
  if (!begun_) throw Error("inputs are found while run_task() runs, not in a constructor");
  const std::lock_guard lock(execution_.contexts_mutex_);
  if (!found_inputs_) {
    found_inputs_ = std::make_unique<InputFinder>(execution_.store_, execution_.plan_->seen(),
                                                  execution_.digests_, execution_.looked);
  }
  return *found_inputs_;
}

void NodeContext::append_found_inputs(std::vector<UpstreamSeen>& upstream) {
  if (found_inputs_ && checkpoint_ && !STOOK_MUTANT("recheck-found")) found_inputs_->recheck_all();
  if (found_inputs_) found_inputs_->append_to(upstream);
  checkpoint_.reset();
  found_inputs_.reset();
}

bool NodeContext::stop_requested() const { return execution_.stop_requested(); }

}  // namespace stook::detail
