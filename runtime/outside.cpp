#include "runtime/outside.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>
#include <unordered_map>

#include "cache/values.h"
#include "runtime/executors/pilot_port.h"
#include "runtime/executors/prefix.h"
#include "runtime/executors/slurm.h"
#include "runtime/executors/words.h"
#include "runtime/executors/worker_pool.h"
#include "runtime/input_directories.h"
#include "runtime/job_maker.h"
#include "runtime/job_settler.h"
#include "runtime/live_output.h"
#include "runtime/lost_jobs.h"
#include "runtime/run.h"
#include "runtime/select.h"
#include "runtime/task_output.h"
#include "src/build_id.h"
#include "src/context.h"

#include <stook/cache.hpp>
#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kLookEvery{100};

}  // namespace

class Outside::Impl {
 public:
  Impl(Store& store, Plan& plan, Execution& execution, const OutsideOptions& options, Report report)
      : store_(store), plan_(plan), execution_(execution), options_(options),
        report_(std::move(report)), files_(store.root()),
        maker_(store, plan, execution, files_, job_defaults()),
        settler_(store, plan, files_, options.run_number, options.run->log_limit,
                 options.run->working_directory, execution.looked),
        work_(asio::make_work_guard(context_)), look_(context_), launcher_(make_launcher(context_)),
        cluster_(cluster()), pool_(context_, channels(), pool_options(), events()),
        prefixed_(context_, *launcher_, prefix_options(), events()), thread_([this] { run(); }) {}

  ~Impl() {
    asio::post(context_, [this] {
      closing_ = true;
      lost_.end_all();
      look_.cancel();
      if (arrays_) arrays_->close();
      prefixed_.close();
      pool_.close([this] {
        work_.reset();
        if (port_) port_->close();
      });
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
    settings.tell = [](const std::string& text) { warn(text); };
    return std::make_shared<SlurmCluster>(context_, *launcher_, std::move(settings));
  }

  [[nodiscard]] ChannelFactory channels() {
    if (cluster_) return slurm_channels(context_, cluster_, pilot_links());
    ProcessOptions processes;
    processes.spool = spool();
    processes.environment = options_.run->environment;
    processes.directory = options_.run->working_directory;
    return process_channels(context_, *launcher_, std::move(processes));
  }

  [[nodiscard]] PilotLinks pilot_links() {
    const SlurmOptions& slurm = options_.run->executor.slurm_options();
    if (slurm.transport != "tcp") return file_links(context_);
    port_ = PilotPort::open(context_, slurm.address, {});
    return tcp_links(context_, port_);
  }

  [[nodiscard]] PoolOptions pool_options() const {
    PoolOptions pool;
    pool.workers = options_.workers;
    pool.root = fs::absolute(store_.root());
    pool.build = build_id();
    pool.allow_other_build = options_.run->allow_other_build;
    pool.hold_after_failure = !options_.run->keep_going;
    if (options_.run->executor.name() == "slurm") {
      pool.idle_seconds = options_.run->executor.slurm_options().idle_seconds;
    }
    return pool;
  }

  [[nodiscard]] JobDefaults job_defaults() const {
    return {options_.compress_level, options_.run->allow_other_build, options_.run->memory,
            options_.run->log_limit, options_.run->working_directory};
  }

  [[nodiscard]] JobEvents events() {
    JobEvents events;
    events.result = [this](JobResult&& result) { take_result(std::move(result)); };
    events.lost = [this](const LostJob& lost) { take_lost(lost); };
    events.progress = [this](const JobProgress& progress) { take_progress(progress); };
    events.returned = [this](std::uint64_t job) {
      take_back(job, Completion::Kind::not_started, {});
    };
    events.idle = [this] { tell(); };
    events.refused = [this](std::uint64_t job, const std::string& why) {
      take_back(job, Completion::Kind::executor_failed, why);
    };
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

  // Looks now and then whether the run is to end.
  void look() {
    if (execution_.starts_nothing()) pool_.hold();
    if (execution_.stop_requested() && !std::exchange(told_stop_, true)) {
      pool_.request_stop();
      prefixed_.request_stop();
      if (arrays_) arrays_->request_stop();
    }
    if (told_stop_) lost_.end_unseen();
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
        bool claimed = false;
        try {
          claimed = claim_task(store_, plan_, plan_.nodes[node], completion);
          if (claimed) {
            if (make_job(node, batch, jobs, completion)) continue;
          }
        } catch (...) { (void)take_exception(completion, plan_.nodes[node].spec->key); }
        if (claimed) store_.release(plan_.nodes[node].spec->key);
      }
      finish(std::move(completion), batch);
    }
    return jobs;
  }

  // Of the cache, or of the task: what a user's types throw when they are read or written here.
  // True: its record was accepted all the same.
  static bool take_exception(Completion& completion, const Key& key) {
    try {
      throw;
    } catch (const CacheError& error) {
      completion.kind = Completion::Kind::cache_failed;
      completion.cause = error.what();
      return is_accepted(error, key);
    } catch (...) {
      completion.kind = Completion::Kind::failed;
      completion.cause = describe_exception(std::current_exception());
      return false;
    }
  }

  // The prefix that stands for elements of job arrays; null: tasks do not go there.
  [[nodiscard]] const Prefix* array_prefix() const {
    if (!cluster_ || options_.run->executor.slurm_options().mode != "array") return nullptr;
    const auto found = options_.prefixes->find(any_class);
    return found == options_.prefixes->end() ? nullptr : &found->second;
  }

  void submit_element(PrefixJob job) {
    if (!arrays_) arrays_.emplace(context_, cluster_, prefix_options(), events());
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
    } catch (...) {
      flights_.erase(given.number);
      Completion completion;
      completion.node = index;
      (void)take_exception(completion, node.spec->key);
      store_.release(node.spec->key);
      finish(std::move(completion), 0);
    }
  }

  // False: an input turned out damaged.
  bool make_job(NodeIndex index, std::uint64_t batch, std::vector<PoolJob>& jobs,
                Completion& completion) {
    const Node& node = plan_.nodes[index];
    const TaskSpec& task = node.task();
    Job job;
    job.number = ++last_job_;
    if (!maker_.make(node, job, completion)) return false;
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
    if (result.failed) show_id(node);
    bool accepted = false;
    try {
      settler_.settle(node, result, completion);
      accepted = completion.kind == Completion::Kind::ran;
    } catch (...) { accepted = take_exception(completion, node.spec->key); }
    if (!accepted) store_.release(node.spec->key);
    finish(std::move(completion), flight.batch);
  }

  // Its logs are in a directory of that name, and another process may execute it next.
  void show_id(const Node& node) {
    try {
      store_.expose_id(node.spec->key, node.entry.id, node.task().info.name);
    } catch (...) {}  // the failure is what counts
  }

  void show_last(std::uint64_t job, const Node& node, bool failed) {
    if (!live_.has(job)) return;
    const fs::path path = store_.task_path(node.task().info.name, node.entry.id);
    const std::string suffix = failed ? ".failed" : "";
    live_.finish(job, path / ("stdout" + suffix), path / ("stderr" + suffix));
  }

  void take_lost(const LostJob& lost) {
    const auto found = flights_.find(lost.number);
    if (found == flights_.end()) return;
    const Node& node = plan_.nodes[found->second.node];
    show_id(node);
    EndedJob job{lost, settler_.collect_output(node, lost)};
    show_last(lost.number, node, true);
    lost_.add(std::move(job), node.spec->key);
  }

  void end_lost(const EndedJob& lost) {
    const auto found = flights_.find(lost.job.number);
    if (found == flights_.end()) return;
    const Flight flight = found->second;
    flights_.erase(found);
    Node& node = plan_.nodes[flight.node];
    Completion completion;
    completion.node = flight.node;
    try {
      settler_.settle_lost(node, lost, completion);
    } catch (...) { (void)take_exception(completion, node.spec->key); }
    store_.release(node.spec->key);
    finish(std::move(completion), flight.batch);
    tell();
  }

  void take_progress(const JobProgress& progress) {
    const auto found = flights_.find(progress.number);
    if (found == flights_.end() || !execution_.on_progress) return;
    execution_.on_progress(found->second.node, progress.fraction, progress.text);
  }

  // Nobody has begun it, or who has is gone.
  void take_back(std::uint64_t job, Completion::Kind kind, const std::string& why) {
    const auto found = flights_.find(job);
    if (found == flights_.end()) return;
    const Flight flight = found->second;
    flights_.erase(found);
    Completion completion;
    completion.node = flight.node;
    completion.kind = kind;
    completion.cause = why;
    const Node& node = plan_.nodes[flight.node];
    (void)settler_.give_back_directory(node);
    store_.release(node.spec->key);
    finish(std::move(completion), flight.batch);
  }

  void finish(Completion completion, std::uint64_t batch) {
    if (completion.kind == Completion::Kind::failed) {
      execution_.note_failure();
      if (execution_.starts_nothing()) pool_.hold();
    }
    completions_.push_back(std::move(completion));
    if (batch == 0) {
      ++finished_prefixed_;
      return;
    }
    const auto found = batches_.find(batch);
    if (--found->second > 0) return;
    batches_.erase(found);
    ++finished_batches_;
  }

  void tell() {
    if (completions_.empty()) return;
    report_(std::exchange(completions_, {}), std::exchange(finished_batches_, 0),
            std::exchange(finished_prefixed_, 0));
  }

  Store& store_;
  Plan& plan_;
  Execution& execution_;
  const OutsideOptions options_;
  const Report report_;
  ValueFiles files_;
  JobMaker maker_;
  JobSettler settler_;
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::steady_timer look_;
  std::unique_ptr<ProcessLauncher> launcher_;
  LostJobs lost_{context_, store_, [this](const EndedJob& lost) { end_lost(lost); }};
  std::unordered_map<std::uint64_t, Flight> flights_;       // by job
  std::unordered_map<std::uint64_t, std::size_t> batches_;  // tasks that are not finished
  std::uint64_t last_job_ = 0;
  std::uint64_t last_batch_ = 0;
  std::vector<Completion> completions_;
  int finished_batches_ = 0;
  int finished_prefixed_ = 0;
  const Selection shown_{options_.run->show_output};
  LiveOutput live_;
  bool told_stop_ = false;
  bool closing_ = false;
  const std::shared_ptr<SlurmCluster> cluster_;  // null: tasks do not go to Slurm
  std::shared_ptr<PilotPort> port_;              // null: no pilot connects
  WorkerPool pool_;
  PrefixRunner prefixed_;
  std::optional<SlurmArrays> arrays_;
  std::thread thread_;  // last: everything is there when it starts
};

Outside::Outside(Store& store, Plan& plan, Execution& execution, const OutsideOptions& options,
                 Report report) {
  try {
    impl_ = std::make_unique<Impl>(store, plan, execution, options, std::move(report));
  } catch (const boost::system::system_error& error) {  // no descriptor for its epoll, say
    throw ExecutorError("cannot start any process: " + std::string(error.what()));
  }
}

Outside::~Outside() = default;

void Outside::submit_prefixed(std::vector<NodeIndex> tasks) {
  impl_->submit_prefixed(std::move(tasks));
}

void Outside::submit(std::vector<NodeIndex> batch, bool brief) {
  impl_->submit(std::move(batch), brief);
}

}  // namespace stook::detail
