// worker_pool.h - worker processes that stay and execute one job after another.
// Unaware of graphs, stores and of what jobs mean. Belongs to the thread that runs its io_context.
// Design: runtime/executors/README.md
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/executors/backoff.h"
#include "runtime/executors/job_events.h"
#include "runtime/executors/worker_channel.h"

namespace stook::detail {

struct PoolOptions {
  int workers = 1;
  std::filesystem::path root;  // of the cache
  std::string build;           // of this program
  bool allow_other_build = false;
  bool hold_after_failure = false;  // a worker does so by itself, and hold() is still to be called
  double idle_seconds = 0;          // after which an idle worker ends; 0: it stays
  // Workers that the infrastructure has ended are replaced after a while: so long the first time,
  // twice as long each time nothing has become of it, so long at most.
  std::chrono::milliseconds retry_first{250};
  std::chrono::milliseconds retry_most{30'000};
  int most_silent = 9;  // that end so in a row, none having said hello: then nobody can be had
};

// A job on its way to a worker.
struct PoolJob {
  std::uint64_t number = 0;
  std::vector<std::byte> message;  // whole
  double timeout = 0;              // seconds; 0: none
  int attempts = 0;                // that ended with their worker
};

class WorkerPool {
 public:
  WorkerPool(boost::asio::io_context& context, ChannelFactory channels, PoolOptions options,
             JobEvents events);
  ~WorkerPool();  // kills what is left
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Jobs for one worker, one after the other. `brief`: they may wait behind others at a worker.
  void submit(std::vector<PoolJob> batch, bool brief);
  // Nothing more is begun: jobs that have not begun are returned, also those that come later.
  void hold();
  // Tells running tasks that the run wants to end.
  void request_stop();
  // No more jobs will come: workers end by themselves. `ended` is called when all have.
  void close(std::function<void()> ended);

  // The process that executes the job, and the files of what it prints; empty: nobody does.
  [[nodiscard]] std::filesystem::path stem_of(std::uint64_t number) const;

 private:
  class Worker;
  using Batch = std::vector<PoolJob>;
  void start_worker();
  void dispatch();
  void worker_ended(Worker& worker, const WorkerEnd& end);
  void end_idle(std::size_t waiting);
  [[nodiscard]] Worker* least_busy(std::size_t most_batches);
  [[nodiscard]] bool has_ready() const;
  void give_up(std::string why);
  void refuse(const Batch& batch);
  void give_back(const Batch& batch);
  void note_silent(const WorkerEnd& end, bool ours);
  void start_again_later();

  boost::asio::io_context& context_;
  const ChannelFactory channels_;
  const PoolOptions options_;
  const JobEvents events_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::deque<Batch> brief_;
  std::deque<Batch> others_;
  std::function<void()> ended_;
  std::unique_ptr<boost::asio::steady_timer> idle_timer_;
  std::size_t started_ = 0;
  int failed_starts_ = 0;  // in a row, before a worker said hello
  Backoff backoff_;
  std::unique_ptr<boost::asio::steady_timer> backoff_timer_;
  bool backing_off_ = false;  // no worker is started meanwhile
  bool holding_ = false;
  bool stopping_ = false;
  bool closing_ = false;
  std::string broken_;  // why nobody can be had any more
};

}  // namespace stook::detail
