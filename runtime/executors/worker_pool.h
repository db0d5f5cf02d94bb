// worker_pool.h - worker processes that stay and execute one job after another.
// Unaware of graphs, stores and of what jobs mean. Belongs to the thread that runs its io_context.
// Design: runtime/executors/README.md
#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/executors/launcher.h"
#include "src/job.h"

namespace stook::detail {

struct PoolOptions {
  int workers = 1;
  std::filesystem::path root;   // of the cache
  std::filesystem::path spool;  // where workers keep what is being printed
  std::string build;            // of this program
  bool allow_other_build = false;
  std::vector<std::string> environment;  // names that are passed on; empty: all
  std::filesystem::path directory;       // working directory; empty: this process's
};

// Why a job has no result though a worker had it.
struct LostJob {
  std::uint64_t number = 0;
  std::string cause;           // "killed by signal 11 (Segmentation fault)", ...
  std::filesystem::path stem;  // of the worker's TaskOutput
};

struct PoolEvents {
  std::function<void(JobResult&&)> result;
  std::function<void(const LostJob&)> lost;
  std::function<void(const JobProgress&)> progress;
  std::function<void()> idle;  // what had been read has been told
  // Workers cannot be had at all: nothing will be executed any more.
  std::function<void(const std::string& why)> broken;
};

// A job on its way to a worker.
struct PoolJob {
  std::uint64_t number = 0;
  std::vector<std::byte> message;  // whole
  double timeout = 0;              // seconds; 0: none
};

class WorkerPool {
 public:
  WorkerPool(boost::asio::io_context& context, ProcessLauncher& launcher, PoolOptions options,
             PoolEvents events);
  ~WorkerPool();  // kills what is left
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Jobs for one worker, one after the other. `brief`: they may wait behind others at a worker.
  void submit(std::vector<PoolJob> batch, bool brief);
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
  void worker_ended(Worker& worker, Exit exit);
  [[nodiscard]] Worker* least_busy(std::size_t most_batches);
  void give_up(const std::string& why);

  boost::asio::io_context& context_;
  ProcessLauncher& launcher_;
  const PoolOptions options_;
  const PoolEvents events_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::deque<Batch> brief_;
  std::deque<Batch> others_;
  std::function<void()> ended_;
  int failed_starts_ = 0;  // in a row, before a worker said hello
  bool stopping_ = false;
  bool closing_ = false;
  bool broken_ = false;
};

}  // namespace stook::detail
