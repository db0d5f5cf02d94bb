#include "runtime/run.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <unordered_set>

#include "runtime/execution.h"
#include "runtime/executors/prefixes.h"
#include "runtime/executors/words.h"
#include "runtime/flow.h"
#include "runtime/progress.h"
#include "runtime/scheduler.h"
#include "runtime/select.h"
#include "runtime/worker.h"
#include "src/context.h"
#include "src/external.h"
#include "src/mutant.h"
#include "src/os.h"
#include "src/shown.h"

#include <stook/cache.hpp>
#include <stook/errors.hpp>
#include <stook/run.hpp>

namespace stook::detail {
namespace {

using Clock = std::chrono::steady_clock;

// A damaged value costs one more pass; this many in a row mean that something else is wrong.
constexpr int most_passes = 1000;

int jobs_of(const RunOptions& options) {
  if (options.executor.workers() > 0) return options.executor.workers();
  if (options.jobs > 0) return options.jobs;
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

std::set<std::string> known_labels() {
  std::set<std::string> labels;
  for (const ClassInfo* info : all_classes()) {
    labels.insert(info->name);
    labels.insert(info->labels.begin(), info->labels.end());
  }
  return labels;
}

// Looks at the stop flag of the caller whenever something happens.
class StoppingObserver final : public RunObserver {
 public:
  StoppingObserver(RunObserver& next, const std::atomic<bool>* stop) : next_(next), stop_(stop) {}
  void attach(Scheduler& scheduler) {
    scheduler_ = &scheduler;
    look();
  }
  void run_started(const Plan& plan) override { next_.run_started(plan); }
  void task_started(const Plan& plan, NodeIndex node) override {
    look();
    next_.task_started(plan, node);
  }
  void task_finished(const Plan& plan, NodeIndex node, double seconds) override {
    look();
    next_.task_finished(plan, node, seconds);
  }
  void task_unchanged(const Plan& plan, NodeIndex node) override {
    next_.task_unchanged(plan, node);
  }
  void task_failed(const Plan& plan, NodeIndex node, const Failure& failure) override {
    look();
    next_.task_failed(plan, node, failure);
  }
  void task_elsewhere(const Plan& plan, NodeIndex node) override {
    look();
    next_.task_elsewhere(plan, node);
  }

 private:
  void look() {
    if (stop_ != nullptr && stop_->load(std::memory_order_relaxed)) scheduler_->stop();
  }

  RunObserver& next_;
  const std::atomic<bool>* stop_;
  Scheduler* scheduler_ = nullptr;
};

std::uint64_t new_run_number() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

Invalidated check_versions(Store& store) {
  std::vector<ClassVersion> versions;
  for (const ClassInfo* info : all_classes()) versions.push_back({info->name, info->version});
  return store.check_versions(versions);
}

class Runner {
 public:
  Runner(Store& store, const RunRequest& request)
      : store_(store), request_(request),
        observer_(request.observer != nullptr ? *request.observer : silent_),
        force_roots_(request.force_roots) {}

  RunResult run() {
    const auto start = Clock::now();
    int unreadable = 0;
    for (Pass pass; (pass = one_pass()) != Pass::done;) {
      if (pass == Pass::overtaken) continue;
      if (++unreadable == most_passes) {
        throw CacheError("stored results keep turning out damaged as they are made, or others make "
                         "them anew without end: look at the disk under " +
                         store_.root().string() + ", and at who uses it");
      }
      force_roots_ = force_roots_ && !roots_ran_;
    }
    store_.sync();
    result_.stats.wall_seconds = std::chrono::duration<double>(Clock::now() - start).count();
    observer_.run_finished(result_.stats);
    return std::move(result_);
  }

 private:
  enum class Pass : std::uint8_t {
    done,
    unreadable,  // a stored value is, or a directory is another one: it has to be done again
    overtaken,   // nothing was executed: another program has published what is none to this one
  };

  Pass one_pass() {
    Execution execution(store_);
    execution.compress_level = request_.compress_level;
    execution.keep_going = request_.options.keep_going;
    execution.stop = request_.stop;
    execution.looked = looked_;
    const auto begun = Clock::now();
    Plan plan(store_, execution, request_.roots, force_roots_, &outside_.seen);
    if (is_overtaken() || has_moved(plan, Clock::now() - begun)) return Pass::overtaken;
    execution.attach(plan);
    for (const Key& key : counted_) {
      const NodeIndex node = plan.find(key);
      if (node != KeyTable::none) plan.nodes[node].rebuilt = true;
    }
    StoppingObserver stopping(observer_, request_.stop);
    Scheduler scheduler(plan, store_, request_.options, stopping,
                        [this](const ClassInfo& info) { return lane_of(info); });
    scheduler.expect_whole(damaged_);
    stopping.attach(scheduler);
    observer_.run_started(plan);
    scheduler.start();
    if (scheduler.ready() > 0) {
      FlowOptions flow;
      flow.jobs = jobs_of(request_.options);
      flow.run = run_number_;
      flow.threads = lane_ == Lane::threads;
      flow.outside = lane_ != Lane::threads || !prefixes_.empty();
      flow.processes = {&request_.options, &prefixes_, flow.jobs, request_.compress_level,
                        run_number_};
      run_flow(scheduler, execution, plan, store_, flow);
    }
    scheduler.close();
    if (!scheduler.cache_failure().empty()) throw CacheError(scheduler.cache_failure());
    if (!scheduler.executor_failure().empty()) throw ExecutorError(scheduler.executor_failure());
    auto& failures = scheduler.failures();
    std::move(failures.begin(), failures.end(), std::back_inserter(result_.failures));
    result_.stopped = request_.stop != nullptr && request_.stop->load();
    for (const NodeIndex root : plan.roots) {
      roots_ran_ = roots_ran_ || plan.nodes[root].state == NodeState::ran;
    }
    const bool done = result_.stopped || !result_.failures.empty() ||
                      (!scheduler.must_plan_again() && take_values(plan, execution, scheduler));
    damaged_.insert(scheduler.damaged().begin(), scheduler.damaged().end());
    scheduler.count(result_.stats, counted_, !done);
    return done ? Pass::done : Pass::unreadable;
  }

  // Has another version of the program published, since versions were looked at, what the plan
  // takes for an answer?
  bool is_overtaken() {
    constexpr int most_looks = 20;  // it may go on and on
    return ++looks_ < most_looks && check_versions(store_).suspected > 0 &&
           !STOOK_MUTANT("versions-after-plan");
  }

  // Has another process, to which the outside world is another one, published what the plan takes
  // for an answer? Then this one's counts, and those answers are looked at again.
  bool has_moved(const Plan& plan, Clock::duration planned) {
    constexpr int most_moves = 100;
    const std::uint64_t written = store_.written_by_others();
    if (!plan.has_moved() && written == written_) return false;
    if (STOOK_MUTANT("moved-outside")) return false;
    store_.flush();  // with what the others wrote
    written_ = written;
    outside_ = check_outside_world(store_, &outside_.seen);  // the plan has seen more
    if (!plan.has_moved() && outside_.entered == 0 && is_as_planned(plan)) return false;
    if (++moves_ == most_moves) {
      throw CacheError(
          "an input from outside is another one to other programs that use the cache " +
          store_.root().string() +
          " now (a relative path, a variable): let them use caches of their own");
    }
    // Or two would go on in step.
    if (moves_ > 1) std::this_thread::sleep_for(planned * (std::random_device{}() % 4));
    return true;
  }

  // Or the plan is of what was there, and what is executed would be compared with what is there
  // now.
  bool is_as_planned(const Plan& plan) const {
    for (const Node& node : plan.nodes) {
      if (node.spec->kind != SpecKind::external) continue;
      const SeenInput* const now = find_seen(&outside_.seen, node.spec->key);
      if (now == nullptr || now->digest != node.digest) return STOOK_MUTANT("as-planned");
    }
    return true;
  }

  bool take_values(Plan& plan, Execution& execution, Scheduler& scheduler) {
    for (const NodeIndex root : plan.roots) {
      Node& node = plan.nodes[root];
      std::string why;
      if (execution.load(node, why)) continue;
      if (damaged_.insert(node.spec->key).second) return false;
      result_.failures.push_back(scheduler.failure_of(root, unreadable_text(node, why)));
      return true;
    }
    result_.values.clear();
    for (const SpecPtr& root : request_.roots) {
      result_.values.push_back(plain_value(*root, plan.value_for(*root)));
    }
    return true;
  }

  Store& store_;
  const RunRequest& request_;
  const Moment looked_ = Moment::now();                 // before the outside world was looked at
  std::uint64_t written_ = store_.written_by_others();  // the same
  OutsideWorld outside_ = check_outside_world(store_);
  RunObserver silent_;
  RunObserver& observer_;
  [[nodiscard]] Lane lane_of(const ClassInfo& info) const {
    if (info.in_process) return Lane::threads;
    return prefix_of(info, prefixes_) != nullptr ? Lane::prefix : lane_;
  }

  std::map<std::string, Prefix> prefixes() const {
    std::vector<std::string> told;  // by check_options()
    auto prefixes = read_prefixes(request_.options.prefixes, told);
    if (lane_ == Lane::prefix) prefixes[any_class] = srun_prefix(request_.options.executor);
    return prefixes;
  }

  [[nodiscard]] static Lane lane_of(const Executor& executor) {
    if (executor.name() == "threads") return Lane::threads;
    const bool pilots = executor.slurm_options().mode == "pilots";
    return executor.name() == "slurm" && !pilots ? Lane::prefix : Lane::workers;
  }

  const Lane lane_ = lane_of(request_.options.executor);
  const std::map<std::string, Prefix> prefixes_ = prefixes();
  bool force_roots_;
  bool roots_ran_ = false;
  int looks_ = 0;
  int moves_ = 0;
  const std::uint64_t run_number_ = new_run_number();
  std::unordered_set<Key> damaged_;  // values that could not be read in a pass before this one
  std::unordered_set<Key> counted_;  // what ran in a pass before the last one
  RunResult result_;
};

// Not by a fault of its own, which may pass at once: that of this process, or the system's, ends
// the run, or all would be suspect because no descriptor was left.
std::optional<SeenInput> see_if_readable(const ExternalSpec& external) {
  try {
    return see(external);
  } catch (const UnreadableInput& failure) {
    if (os_is_passing(failure.error)) throw;
    return {};
  }
}

}  // namespace

OutsideWorld check_outside_world(Store& store, const SeenInputs* seen) {
  OutsideWorld outside;
  const std::vector<External> externals = store.externals();
  outside.seen.reserve(externals.size());
  for (const External& known : externals) {
    const SpecPtr spec = external_from(known.class_name, known.arguments);
    if (!spec) continue;
    const auto& external = static_cast<const ExternalSpec&>(*spec);
    FileStamp stamp;
    const bool was_unknown = known.digest == unknown_digest();
    const bool was_read = !was_unknown && known.digest != unreadable_digest();
    if (was_read && external.looks_like(known.fingerprint, &stamp)) {
      outside.seen.emplace(known.key, SeenInput{known.digest, stamp});
      continue;
    }
    if (was_unknown && find_seen(seen, known.key) == nullptr && !external.may_be_read()) continue;
    const std::string fingerprint = external.fingerprint();
    const std::optional<SeenInput> looked = see_if_readable(external);
    if (!looked) {  // who needs it hears of it when the run is planned
      if (was_unknown) continue;
      store.update_external(known.key, {}, unknown_digest());
      ++outside.entered;
      continue;
    }
    const SeenInput& now = *looked;
    const Digest& digest = now.digest;
    outside.seen.emplace(known.key, now);
    if (digest != known.digest) {
      store.update_external(known.key, fingerprint, digest);
      ++outside.entered;
    } else if (fingerprint != known.fingerprint) {
      // The same content: written down with the next batch, nothing becomes suspect.
      Publication publication;
      publication.key = known.key;
      publication.id = known.id;
      publication.kind = RecordKind::external;
      publication.class_name = known.class_name;
      publication.arguments = known.arguments;
      publication.digest = digest;
      publication.codec = fingerprint;
      store.publish(publication);
    }
  }
  (void)check_versions(store);
  return outside;
}

std::vector<std::string> check_options(const RunOptions& options) {
  for (const auto& [label, limit] : options.rate_limits) {
    if (limit < 1) {
      throw InvalidArgument("the rate limit of '" + label + "' is " + std::to_string(limit) +
                            "; it must be at least 1, or nothing with that label could ever run");
    }
  }
  if (options.jobs < 0)
    throw InvalidArgument("jobs must not be negative; 0 is the number of cores");
  if (const std::string& mode = options.executor.slurm_options().mode;
      mode != "pilots" && mode != "srun" && mode != "array") {
    throw InvalidArgument("the mode of Slurm is '" + mode + "'; it can be pilots, array or srun");
  }
  if (const std::string& transport = options.executor.slurm_options().transport;
      transport != "files" && transport != "tcp") {
    throw InvalidArgument("the transport of Slurm is '" + transport + "'; it can be files or tcp");
  }
  (void)Selection(options.show_output);
  (void)split_words(options.executor.slurm_options().arguments);
  if (options.executor.name() != "threads" && !can_be_worker()) {
    throw ExecutorError("executor " + options.executor.name() +
                        " starts this program again as a worker, which it cannot become: call "
                        "stook::init(argc, argv) at the top of main(), or enter it by cli()");
  }
  if (!options.prefixes.empty() && !can_be_worker()) {
    throw ExecutorError("a prefix command ('" + options.prefixes.begin()->first +
                        "') starts this program again as a worker, which it cannot become: call "
                        "stook::init(argc, argv) at the top of main(), or enter it by cli()");
  }
  std::vector<std::string> warnings;
  (void)read_prefixes(options.prefixes, warnings);
  const std::set<std::string> known = known_labels();
  for (const auto& [label, limit] : options.rate_limits) {
    if (known.contains(label)) continue;
    warnings.push_back("no task has the label '" + label + "' that is rate-limited; known are " +
                       quoted_names(known, label));
  }
  return warnings;
}

std::string failure_text(const std::vector<Failure>& failures) {
  constexpr std::size_t kArgumentsShown = 1000, kCauseShown = 16'000;  // bytes
  std::string text =
      failures.size() == 1 ? "a task failed" : std::to_string(failures.size()) + " tasks failed";
  constexpr std::size_t told = 10;
  for (std::size_t i = 0; i < failures.size() && i < told; ++i) {
    const Failure& failure = failures[i];
    text += "\n" + failure.class_name + shortened(shown(failure.arguments), kArgumentsShown);
    if (failure.id != 0) text += " (id " + std::to_string(failure.id) + ")";
    text += "\n  cause: " + shortened(shown(failure.cause), kCauseShown);
    for (const std::string* log : {&failure.stdout_path, &failure.stderr_path}) {
      if (!log->empty()) text += "\n  log: " + *log;
    }
    if (failure.chain.size() > 1) {
      text += "\n  needed by:";
      for (std::size_t link = failure.chain.size() - 1; link-- > 0;) {
        text += "\n    " + failure.chain[link];
      }
    }
  }
  if (failures.size() > told) {
    text += "\nand " + std::to_string(failures.size() - told) + " more";
  }
  return text + "\nWhat was finished before is kept; mend the cause and run again.";
}

RunResult run(Store& store, const RunRequest& request) {
  check_registry();
  for (const std::string& warning : check_options(request.options)) warn(warning);
  if (running_task != nullptr) {
    throw Error("run_graph inside run_task() of " + task_text(*running_task) +
                ": hold what it needs as a Future member instead");
  }
  return Runner(store, request).run();
}

void run_roots(const std::vector<SpecPtr>& roots, const RunOptions& options,
               std::vector<Value>* values, Stats& stats) {
  for (const SpecPtr& root : roots) {
    if (!root) throw NotReady("run_graph of a future that names nothing");
  }
  const auto display = make_progress(options.progress);
  RunRequest request;
  request.roots = roots;
  request.options = options;
  request.observer = display.get();
  RunResult result = run(current_store(), request);
  stats = std::move(result.stats);
  if (!result.failures.empty()) {
    const std::string text = failure_text(result.failures);
    throw TaskFailed(text, std::move(result.failures));
  }
  if (values != nullptr) *values = std::move(result.values);
}

}  // namespace stook::detail

namespace stook {

Stats run_graphs(const std::vector<AnyFuture>& roots, const RunOptions& options) {
  std::vector<detail::SpecPtr> specs;
  for (const AnyFuture& root : roots) specs.push_back(root.spec());
  Stats stats;
  detail::run_roots(specs, options, nullptr, stats);
  return stats;
}

}  // namespace stook
