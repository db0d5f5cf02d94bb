#include "runtime/outside.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>
#include <unordered_map>

#include "cache/values.h"
#include "runtime/executors/prefix.h"
#include "runtime/executors/slurm.h"
#include "runtime/executors/words.h"
#include "runtime/executors/worker_pool.h"
#include "runtime/live_output.h"
#include "runtime/run.h"
#include "runtime/select.h"
#include "runtime/task_directory.h"
#include "runtime/task_output.h"
#include "src/build_id.h"
#include "src/context.h"
#include "src/task_object.h"

#include <stook/cache.hpp>
#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

constexpr int kShownLines = 20;
constexpr std::chrono::milliseconds kLookEvery{100};

std::string indented(const std::string& text) {
  std::string result = "    | ";
  for (const char c : text) {
    result += c;
    if (c == '\n') result += "    | ";
  }
  return result;
}

}  // namespace

class Outside::Impl {
 public:
  Impl(Store& store, Plan& plan, Execution& execution, const OutsideOptions& options, Report report)
      : store_(store), plan_(plan), execution_(execution), options_(options),
        report_(std::move(report)), files_(store.root()), work_(asio::make_work_guard(context_)),
        look_(context_), launcher_(make_launcher(context_)), cluster_(cluster()),
        pool_(context_, channels(), pool_options(), pool_events()),
        prefixed_(context_, *launcher_, prefix_options(), prefix_events()),
        thread_([this] { run(); }) {}

  ~Impl() {
    asio::post(context_, [this] {
      closing_ = true;
      look_.cancel();
      if (arrays_) arrays_->close();
      prefixed_.close();
      pool_.close([this] { work_.reset(); });
    });
    thread_.join();
  }

  void submit(std::vector<NodeIndex> batch, bool brief) {
    asio::post(context_, [this, batch = std::move(batch), brief]() mutable {
      const std::uint64_t number = ++last_batch_;
      batches_[number] = batch.size();
      auto jobs = begin(batch, number);
      if (!jobs.empty()) pool_.submit(std::move(jobs), brief);
      tell();
    });
  }

  void submit_prefixed(std::vector<NodeIndex> tasks) {
    asio::post(context_, [this, tasks = std::move(tasks)]() mutable {
      for (const NodeIndex node : tasks) {
        for (PoolJob& job : begin({node}, 0)) start_prefixed(node, std::move(job));
      }
      tell();
    });
  }

 private:
  // What is known of a job that is under way.
  struct Flight {
    NodeIndex node;
    std::uint64_t batch;
  };

  void run() {
    const CurrentStore current(&store_);
    look();
    context_.run();
  }

  [[nodiscard]] fs::path spool() const {
    const fs::path path = fs::absolute(store_.root()) / "spool";
    std::error_code ignored;
    fs::create_directories(path, ignored);
    return path;
  }

  [[nodiscard]] std::shared_ptr<SlurmCluster> cluster() {
    if (options_.run->executor.name() != "slurm") return nullptr;
    const SlurmOptions& slurm = options_.run->executor.slurm_options();
    SlurmSettings settings;
    settings.spool = spool();
    settings.arguments = split_words(slurm.arguments);
    settings.directory = options_.run->working_directory;
    settings.command_timeout = slurm.command_timeout;
    return std::make_shared<SlurmCluster>(context_, *launcher_, std::move(settings));
  }

  [[nodiscard]] ChannelFactory channels() {
    if (cluster_) return slurm_channels(context_, cluster_);
    ProcessOptions processes;
    processes.spool = spool();
    processes.environment = options_.run->environment;
    processes.directory = options_.run->working_directory;
    return process_channels(context_, *launcher_, std::move(processes));
  }

  [[nodiscard]] PoolOptions pool_options() const {
    PoolOptions pool;
    pool.workers = options_.workers;
    pool.root = fs::absolute(store_.root());
    pool.build = build_id();
    pool.allow_other_build = options_.run->allow_other_build;
    if (options_.run->executor.name() == "slurm") {
      pool.idle_seconds = options_.run->executor.slurm_options().idle_seconds;
    }
    return pool;
  }

  [[nodiscard]] PoolEvents pool_events() {
    PoolEvents events;
    events.result = [this](JobResult&& result) { take_result(std::move(result)); };
    events.lost = [this](const LostJob& lost) { take_lost(lost); };
    events.progress = [this](const JobProgress& progress) { take_progress(progress); };
    events.idle = [this] { tell(); };
    events.broken = [this](const std::string& why) { take_broken(why); };
    return events;
  }

  [[nodiscard]] PrefixOptions prefix_options() const {
    PrefixOptions prefix;
    prefix.root = fs::absolute(store_.root());
    prefix.spool = spool();
    prefix.build = build_id();
    prefix.environment = options_.run->environment;
    prefix.directory = options_.run->working_directory;
    prefix.result_wait = options_.run->result_wait;
    return prefix;
  }

  [[nodiscard]] PrefixEvents prefix_events() {
    PrefixEvents events;
    events.result = [this](JobResult&& result) { take_result(std::move(result)); };
    events.lost = [this](const LostPrefixJob& lost) {
      take_lost({lost.number, lost.cause, lost.stem});
    };
    events.idle = [this] { tell(); };
    return events;
  }

  // Looks now and then whether the run is to end.
  void look() {
    if (execution_.stop_requested() && !std::exchange(told_stop_, true)) {
      pool_.request_stop();
      prefixed_.request_stop();
      if (arrays_) arrays_->request_stop();
    }
    for (const auto& [job, seen] : live_.jobs()) {
      fs::path stem = pool_.stem_of(job);
      if (stem.empty()) stem = prefixed_.stem_of(job);
      if (stem.empty() && arrays_) stem = arrays_->stem_of(job);
      if (!stem.empty()) live_.look(job, TaskOutput::out_file(stem), TaskOutput::err_file(stem));
    }
    look_.expires_after(kLookEvery);
    look_.async_wait([this](boost::system::error_code error) {
      if (!error && !closing_) look();
    });
  }

  // --- On the way out

  // Claims the tasks and makes jobs of them; the others are finished. `batch`: 0: none.
  std::vector<PoolJob> begin(const std::vector<NodeIndex>& nodes, std::uint64_t batch) {
    std::vector<PoolJob> jobs;
    for (const NodeIndex node : nodes) {
      Completion completion;
      completion.node = node;
      if (execution_.starts_nothing()) {
        completion.kind = Completion::Kind::not_started;
      } else {
        try {
          if (claim(plan_.nodes[node], completion)) {
            if (make_job(node, batch, jobs, completion)) continue;
            store_.release(plan_.nodes[node].spec->key);
          }
        } catch (const Error& error) {
          const bool cache = dynamic_cast<const CacheError*>(&error) != nullptr;
          completion.kind = cache ? Completion::Kind::cache_failed : Completion::Kind::failed;
          completion.cause = error.what();
          store_.release(plan_.nodes[node].spec->key);
        }
      }
      finish(std::move(completion), batch);
    }
    return jobs;
  }

  // The prefix that stands for elements of job arrays; null: tasks do not go there.
  [[nodiscard]] const Prefix* array_prefix() const {
    if (!cluster_ || options_.run->executor.slurm_options().mode != "array") return nullptr;
    const auto found = options_.prefixes->find(any_class);
    return found == options_.prefixes->end() ? nullptr : &found->second;
  }

  void submit_element(PrefixJob job) {
    if (!arrays_) arrays_.emplace(context_, cluster_, prefix_options(), prefix_events());
    arrays_->submit(std::move(job));
  }

  void start_prefixed(NodeIndex index, PoolJob&& given) {
    const Node& node = plan_.nodes[index];
    const ClassInfo& info = node.task().info;
    const Prefix& prefix = *prefix_of(info, *options_.prefixes);
    const fs::path path = fs::absolute(store_.task_path(info.name, node.entry.id));
    const std::map<std::string, std::string> fields{
        {"task_name", info.name},
        {"task_id", std::to_string(node.entry.id)},
        {"stdout", (path / "stdout").string()},
        {"stderr", (path / "stderr").string()},
        {"directory", (path / "data").string()},
        {"cache", fs::absolute(store_.root()).string()},
        {"label", prefix.label},
        {"program", own_program()},
    };
    PrefixJob job;
    job.number = given.number;
    job.message = std::move(given.message);
    job.timeout = given.timeout;
    job.logs = path;
    for (const std::string& word : prefix.words) job.words.push_back(fill_fields(word, fields));
    try {
      store_.expose_id(node.spec->key, node.entry.id, info.name);
      if (&prefix == array_prefix()) submit_element(std::move(job));
      else prefixed_.submit(std::move(job));
    } catch (const Error& error) {
      flights_.erase(given.number);
      Completion completion;
      completion.node = index;
      completion.kind = Completion::Kind::failed;
      completion.cause = error.what();
      store_.release(node.spec->key);
      finish(std::move(completion), 0);
    }
  }

  bool claim(Node& node, Completion& completion) {
    for (;;) {
      const Claim claim = store_.claim(node.spec->key, node.entry);
      if (claim == Claim::acquired) return true;
      if (claim == Claim::published && node.forced) continue;  // it runs all the same
      completion.kind = claim == Claim::held ? Completion::Kind::held : Completion::Kind::published;
      return false;
    }
  }

  // False: an input turned out damaged.
  bool make_job(NodeIndex index, std::uint64_t batch, std::vector<PoolJob>& jobs,
                Completion& completion) {
    const Node& node = plan_.nodes[index];
    const TaskSpec& task = node.task();
    Job job;
    job.number = ++last_job_;
    job.key = task.key;
    job.id = node.entry.id;
    job.class_name = task.info.name;
    job.version = task.info.version;
    job.run = options_.run_number;
    job.transient = task.info.store == stook::Store::never;
    job.compress_level =
        job.transient ? 0 : task.info.compress_level.value_or(options_.compress_level);
    job.has_result = node.entry.pack != 0;
    job.allow_other_build = options_.run->allow_other_build;
    job.memory = task.info.memory != 0 ? task.info.memory : options_.run->memory;
    job.log_limit = options_.run->log_limit;
    CanonicalWriter arguments;
    std::vector<SpecPtr> futures;
    arguments.set_futures(&futures);
    task.write_arguments(arguments);
    job.arguments = arguments.bytes();
    for (std::uint32_t i = 0; i < node.input_count; ++i) {
      const NodeIndex input = plan_.inputs[node.first_input + i];
      if (!plan_.nodes[input].is_task()) continue;  // the worker makes it itself
      if (!add_task(job, plan_.nodes[input])) {
        completion.kind = Completion::Kind::damaged;
        completion.input = input;
        return false;
      }
    }
    // The worker knows futures among the arguments by their keys only.
    for (const SpecPtr& future : futures) {
      if (future->kind == SpecKind::task) continue;
      if (!add_future(job, future, completion)) return false;
    }
    Writer body;
    encode_job(job, body);
    PoolJob out;
    out.number = job.number;
    out.timeout = task.info.timeout > 0 ? task.info.timeout : options_.run->timeout;
    append_message(MessageKind::job, body, out.message);
    jobs.push_back(std::move(out));
    flights_.emplace(job.number, Flight{index, batch});
    if (shown_.has(task, node.entry.id)) live_.add(job.number);
    return true;
  }

  bool add_task(Job& job, Node& input) {
    JobInput place;
    place.key = input.spec->key;
    place.digest = input.digest;
    if (static_cast<const TaskSpec&>(*input.spec).info.store == stook::Store::never) {
      if (!execution_.load(input)) return false;
      return add_value(job, std::move(place), input.spec->value_type, input.value);
    }
    store_.make_readable(input.entry);
    place.pack = input.entry.pack;
    place.offset = input.entry.offset;
    job.inputs.push_back(std::move(place));
    return true;
  }

  bool add_value(Job& job, JobInput place, const ValueType& type, const Value& value) {
    Writer writer;
    writer.set_root(store_.root().string());
    type.encode(value.get(), writer);
    place.digest = digest_of(writer);
    place.stored = files_.keep(writer.pieces(), 0);
    place.place = place.stored.in_object ? JobInput::Place::object : JobInput::Place::here;
    job.inputs.push_back(std::move(place));
    return true;
  }

  // An element of a result, a list, a constant that was passed as an argument.
  bool add_future(Job& job, const SpecPtr& future, Completion& completion) {
    bool whole = true;
    for_each_leaf(future, [&](const SpecPtr& leaf) {
      const NodeIndex input = plan_.find(leaf->key);
      if (input == KeyTable::none) whole = false;
      if (!whole) return;
      if (execution_.load(plan_.nodes[input])) return;
      completion.kind = Completion::Kind::damaged;
      completion.input = input;
      whole = false;
    });
    // Not held as a member: then the worker does not need it either.
    if (!whole) return completion.kind != Completion::Kind::damaged;
    JobInput place;
    place.key = future->key;
    return add_value(job, std::move(place), future->value_type,
                     plain_value(*future, plan_.value_for(*future)));
  }

  // --- On the way back

  void take_result(JobResult&& result) {
    const auto found = flights_.find(result.number);
    if (found == flights_.end()) return;
    const Flight flight = found->second;
    flights_.erase(found);
    Completion completion;
    completion.node = flight.node;
    Node& node = plan_.nodes[flight.node];
    show_last(result.number, node, result.failed);
    try {
      settle(node, result, completion);
    } catch (const CacheError& error) {
      completion.kind = Completion::Kind::cache_failed;
      completion.cause = error.what();
    }
    if (completion.kind != Completion::Kind::ran) store_.release(node.spec->key);
    finish(std::move(completion), flight.batch);
  }

  void show_last(std::uint64_t job, const Node& node, bool failed) {
    if (!live_.has(job)) return;
    const fs::path path = store_.task_path(node.task().info.name, node.entry.id);
    const std::string suffix = failed ? ".failed" : "";
    live_.finish(job, path / ("stdout" + suffix), path / ("stderr" + suffix));
  }

  void settle(Node& node, JobResult& result, Completion& completion) {
    const TaskSpec& task = node.task();
    if (result.failed) {
      directory_of(node)->adopt();  // ... and give back
      return settle_failure(node, result, completion);
    }
    if (result.key != task.key || result.signature != task.value_type.signature) {
      completion.kind = Completion::Kind::failed;
      completion.cause = "the worker sent the result of another task or of another type (" +
                         result.signature + ")";
      return;
    }
    publish(node, result);
    completion.seconds = static_cast<float>(static_cast<double>(result.duration_ns) * 1e-9);
    if (!result.moved_directory) return;
    const auto directory = directory_of(node);
    directory->adopt();
    directory->commit(store_, node.entry);
  }

  [[nodiscard]] std::unique_ptr<TaskDirectory> directory_of(const Node& node) const {
    return std::make_unique<TaskDirectory>(fs::absolute(store_.root()), node.spec->key,
                                           store_.task_path(node.task().info.name, node.entry.id));
  }

  void publish(Node& node, const JobResult& result) {
    const TaskSpec& task = node.task();
    CanonicalWriter arguments;
    task.write_arguments(arguments);
    upstream_.clear();
    for (std::uint32_t i = 0; i < node.input_count; ++i) {
      const Node& input = plan_.nodes[plan_.inputs[node.first_input + i]];
      upstream_.push_back({input.spec->key, input.digest});
    }
    Publication publication;
    publication.key = task.key;
    publication.id = node.entry.id;
    publication.class_name = task.info.name;
    publication.version = task.info.version;
    publication.arguments = arguments.bytes();
    publication.upstream = upstream_;
    publication.digest = result.digest;
    publication.directory = result.directory;
    publication.codec = task.value_type.signature;
    publication.started_ns = result.started_ns;
    publication.duration_ns = result.duration_ns;
    publication.run = options_.run_number;
    if (task.info.store == stook::Store::never) {
      publication.kind = RecordKind::transient;
      take_transient(node, result);
    } else {
      publication.stored = &result.value;
    }
    node.entry = store_.publish(publication);
    node.digest = result.digest;
    node.outside = publication.kind != RecordKind::transient;
  }

  // Nothing is kept of it: the value has to stay in memory.
  void take_transient(Node& node, const JobResult& result) {
    JobInput place;
    place.place = result.value.in_object ? JobInput::Place::object : JobInput::Place::here;
    place.stored = result.value;
    const auto payload = files_.read(place, node.spec->value_type.signature);
    if (!payload) throw CacheError("take the result of a worker: " + payload.reason());
    Reader reader((*payload)->bytes());
    reader.set_root(store_.root().string());
    node.value = node.spec->value_type.decode(reader);
  }

  void settle_failure(Node& node, JobResult& result, Completion& completion) {
    const NodeIndex damaged =
        result.damaged_input.is_zero() ? KeyTable::none : plan_.find(result.damaged_input);
    if (damaged != KeyTable::none && plan_.nodes[damaged].is_task()) {
      const Node& input = plan_.nodes[damaged];
      store_.mark_damaged(input.spec->key, task_text(input.task()) + ": " + result.cause);
      completion.kind = Completion::Kind::damaged;
      completion.input = damaged;
      return;
    }
    completion.kind = Completion::Kind::failed;
    completion.cause = std::move(result.cause);
    add_logs(node, result.wrote_stdout, result.wrote_stderr, completion);
  }

  void add_logs(const Node& node, bool out, bool err, Completion& completion) {
    const fs::path directory = store_.task_path(node.task().info.name, node.entry.id);
    if (out) completion.stdout_path = (directory / "stdout.failed").string();
    if (err) {
      completion.stderr_path = (directory / "stderr.failed").string();
      const std::string end = last_lines(completion.stderr_path, kShownLines);
      if (!end.empty()) completion.cause += "\n  the end of its stderr:\n" + indented(end);
    }
  }

  void take_lost(const LostJob& lost) {
    const auto found = flights_.find(lost.number);
    if (found == flights_.end()) return;
    const Flight flight = found->second;
    flights_.erase(found);
    Node& node = plan_.nodes[flight.node];
    Completion completion;
    completion.node = flight.node;
    completion.kind = Completion::Kind::failed;
    completion.cause = lost.cause;
    directory_of(node)->adopt();  // ... and give back
    const auto written = collect_output(
        lost.stem, store_.task_path(node.task().info.name, node.entry.id), options_.run->log_limit);
    show_last(lost.number, node, true);
    add_logs(node, written.out, written.err, completion);
    store_.release(node.spec->key);
    finish(std::move(completion), flight.batch);
  }

  void take_progress(const JobProgress& progress) {
    const auto found = flights_.find(progress.number);
    if (found == flights_.end() || !execution_.on_progress) return;
    execution_.on_progress(found->second.node, progress.fraction, progress.text);
  }

  // Nobody executes anything any more: what is under way is given back.
  void take_broken(const std::string& why) {
    auto flights = std::move(flights_);
    flights_.clear();
    for (const auto& [number, flight] : flights) {
      Completion completion;
      completion.node = flight.node;
      completion.kind = Completion::Kind::executor_failed;
      completion.cause = why;
      store_.release(plan_.nodes[flight.node].spec->key);
      finish(std::move(completion), flight.batch);
    }
    tell();
  }

  void finish(Completion completion, std::uint64_t batch) {
    completions_.push_back(std::move(completion));
    if (batch == 0) return;
    const auto found = batches_.find(batch);
    if (--found->second > 0) return;
    batches_.erase(found);
    ++finished_batches_;
  }

  void tell() {
    if (completions_.empty()) return;
    report_(std::exchange(completions_, {}), std::exchange(finished_batches_, 0));
  }

  Store& store_;
  Plan& plan_;
  Execution& execution_;
  const OutsideOptions options_;
  const Report report_;
  ValueFiles files_;
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::steady_timer look_;
  std::unique_ptr<ProcessLauncher> launcher_;
  std::unordered_map<std::uint64_t, Flight> flights_;       // by job
  std::unordered_map<std::uint64_t, std::size_t> batches_;  // tasks that are not finished
  std::uint64_t last_job_ = 0;
  std::uint64_t last_batch_ = 0;
  std::vector<Completion> completions_;
  int finished_batches_ = 0;
  std::vector<UpstreamSeen> upstream_;
  const Selection shown_{options_.run->show_output};
  LiveOutput live_;
  bool told_stop_ = false;
  bool closing_ = false;
  const std::shared_ptr<SlurmCluster> cluster_;  // null: tasks do not go to Slurm
  WorkerPool pool_;
  PrefixRunner prefixed_;
  std::optional<SlurmArrays> arrays_;
  std::thread thread_;  // last: everything is there when it starts
};

Outside::Outside(Store& store, Plan& plan, Execution& execution, const OutsideOptions& options,
                 Report report)
    : impl_(std::make_unique<Impl>(store, plan, execution, options, std::move(report))) {}

Outside::~Outside() = default;

void Outside::submit_prefixed(std::vector<NodeIndex> tasks) {
  impl_->submit_prefixed(std::move(tasks));
}

void Outside::submit(std::vector<NodeIndex> batch, bool brief) {
  impl_->submit(std::move(batch), brief);
}

}  // namespace stook::detail
