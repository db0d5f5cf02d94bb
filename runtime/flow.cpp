#include "runtime/flow.h"

#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <thread>

#include <stook/cache.hpp>

namespace stook::detail {
namespace {

// Messages are pointers: the graph copies them at each hop.
using Batch = std::shared_ptr<std::vector<NodeIndex>>;
// What became of tasks, and how many batches ended with that, in threads and outside. Null: claims
// of other runs may have ended.
constexpr int most_prefixed = 50'000;

struct Report {
  std::vector<Completion> completions;
  int batches = 0;
  int outside_batches = 0;
  int prefixed = 0;
};
using Completions = std::shared_ptr<Report>;

class Flow {
 public:
  Flow(Scheduler& scheduler, Execution& execution, Plan& plan, Store& store,
       const FlowOptions& options)
      : scheduler_(scheduler), execution_(execution), store_(store), options_(options),
        books_(graph_, tbb::flow::serial,
               [this](const Completions& report, Books::output_ports_type& ports) noexcept {
                 try {
                   if (!error_) keep_books(report, std::get<0>(ports));
                 } catch (...) { error_ = std::current_exception(); }
               }),
        workers_(graph_, tbb::flow::unlimited,
                 [this](const Batch& batch) { return work(*batch); }) {
    tbb::flow::make_edge(tbb::flow::output_port<0>(books_), workers_);
    tbb::flow::make_edge(workers_, books_);
    if (!options.outside) return;
    outside_.emplace(store, plan, execution, options.processes,
                     [this](std::vector<Completion>&& completions, int batches, int prefixed) {
                       hear(std::move(completions), batches, prefixed);
                     });
  }

  void run() {
    books_.try_put(std::make_shared<Report>());
    graph_.wait_for_all();
    if (watcher_.joinable()) watcher_.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  // Lightweight: whoever brings a report keeps the books at once. A thread that had to be woken for
  // each would look for work a while before it sleeps again, and take that time from the tasks.
  using Books = tbb::flow::multifunction_node<Completions, std::tuple<Batch>,
                                              tbb::flow::queueing_lightweight>;

  void keep_books(const Completions& report, auto& port) {
    if (report == nullptr) {
      scheduler_.retry_elsewhere();
      watching_ = false;
    } else {
      for (Completion& completion : report->completions) scheduler_.finished(std::move(completion));
      batches_ -= report->batches;
      outside_batches_ -= report->outside_batches;
      prefixed_ -= report->prefixed;
    }
    while (batches_ < options_.jobs) {
      auto batch = std::make_shared<std::vector<NodeIndex>>();
      scheduler_.next(*batch);
      if (batch->empty()) break;
      ++batches_;
      port.try_put(std::move(batch));
    }
    // What a prefix command starts waits elsewhere: labels limit how many there are, and the table
    // of claims (98,304 in all processes).
    while (outside_ && prefixed_ < most_prefixed) {
      std::vector<NodeIndex> task;
      scheduler_.next(task, Lane::prefix);
      if (task.empty()) break;
      for (std::size_t i = 0; i < task.size(); ++i) graph_.reserve_wait();
      prefixed_ += static_cast<int>(task.size());
      outside_->submit_prefixed(std::move(task));
    }
    while (outside_ && outside_batches_ < room_outside()) {
      std::vector<NodeIndex> batch;
      scheduler_.next(batch, Lane::workers);
      if (batch.empty()) break;
      ++outside_batches_;
      for (std::size_t i = 0; i < batch.size(); ++i) graph_.reserve_wait();
      outside_->submit(std::move(batch), scheduler_.hands_out_short(Lane::workers));
    }
    if (scheduler_.waits_elsewhere() && !watching_) watch();
  }

  // One batch a worker; of short tasks another one lies there already when it ends.
  [[nodiscard]] int room_outside() const {
    return options_.processes.workers * (scheduler_.hands_out_short(Lane::workers) ? 2 : 1);
  }

  // On the thread of those outside.
  void hear(std::vector<Completion>&& completions, int batches, int prefixed) {
    const std::size_t count = completions.size();
    auto report = std::make_shared<Report>();
    report->completions = std::move(completions);
    report->outside_batches = batches;
    report->prefixed = prefixed;
    books_.try_put(std::move(report));
    for (std::size_t i = 0; i < count; ++i) graph_.release_wait();
  }

  Completions work(const std::vector<NodeIndex>& batch) {
    const CurrentStore current(&store_);
    auto report = std::make_shared<Report>();
    report->batches = 1;
    auto* const completions = &report->completions;
    completions->reserve(batch.size());
    for (const NodeIndex node : batch) {
      if (node != batch.front() && execution_.starts_nothing()) {
        completions->emplace_back().node = node;
        completions->back().kind = Completion::Kind::not_started;
      } else {
        completions->push_back(execution_.execute(node, options_.run));
      }
    }
    return report;
  }

  // Another run executes a key of ours: a thread waits for the end of its claim, so that no worker
  // has to. It lives only while there is something to wait for.
  void watch() {
    if (watcher_.get_id() == std::this_thread::get_id()) {  // it keeps the books just now
      watch_again_ = true;
    } else {
      if (watcher_.joinable()) watcher_.join();
      graph_.reserve_wait();
      try {
        watcher_ = std::thread([this] {
          do {
            watch_again_ = false;
            released_ = store_.wait_for_release(released_, std::chrono::milliseconds(200));
            books_.try_put(nullptr);
          } while (watch_again_);
          graph_.release_wait();
        });
      } catch (const std::system_error&) {  // no thread is to be had
        graph_.release_wait();
        throw;
      }
    }
    watching_ = true;
  }

  Scheduler& scheduler_;
  Execution& execution_;
  Store& store_;
  const FlowOptions options_;
  tbb::flow::graph graph_;
  Books books_;
  tbb::flow::function_node<Batch, Completions> workers_;
  std::exception_ptr error_;    // of the serial node: nothing more is handed out
  int batches_ = 0;             // under way; the serial node's
  int outside_batches_ = 0;     // the same, in other processes
  int prefixed_ = 0;            // tasks behind a prefix
  bool watching_ = false;       // the serial node's
  std::uint64_t released_ = 0;  // the watcher's
  bool watch_again_ = false;    // the watcher's
  std::thread watcher_;
  std::optional<Outside> outside_;  // last: its thread speaks to the nodes above
};

}  // namespace

void run_flow(Scheduler& scheduler, Execution& execution, Plan& plan, Store& store,
              const FlowOptions& options) {
  // Where all is executed outside one thread keeps the books.
  const bool inside = std::any_of(plan.classes.begin(), plan.classes.end(),
                                  [](const PlannedClass& one) { return one.info->in_process; });
  const auto jobs = static_cast<std::size_t>(std::max(1, options.jobs));
  const auto threads = !options.outside            ? jobs
                       : options.threads || inside ? jobs + 1
                                                   : std::size_t{1};
  const auto allowed = std::max<std::size_t>(
      threads, tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism));
  const tbb::global_control control(tbb::global_control::max_allowed_parallelism, allowed);
  tbb::task_arena arena(static_cast<int>(threads));
  arena.execute([&] { Flow(scheduler, execution, plan, store, options).run(); });
}

}  // namespace stook::detail
