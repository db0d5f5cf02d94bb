#include "runtime/file_job.h"

#include <fcntl.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

#include "runtime/alive.h"
#include "runtime/executors/spool.h"
#include "runtime/job_runner.h"
#include "runtime/task_output.h"
#include "src/build_id.h"
#include "src/mutant.h"
#include "src/os.h"

namespace stook::detail {
namespace {

constexpr std::chrono::milliseconds kWatchEvery{200};

std::atomic<JobRunner*> stopping_runner{nullptr};

void ask_to_stop(int) {
  if (JobRunner* const runner = stopping_runner.load()) runner->request_stop();
}

// Ends this process and what it has started when the driver is gone or has given the job up, and
// cuts what grows too long. A signal may not have come through: it ends a container's client only.
class JobWatch {
 public:
  JobWatch(const SpoolFiles& files, TaskOutput& output, const DriverWatch& driver)
      : files_(files), output_(output), driver_(driver), thread_([this] { watch(); }) {}
  ~JobWatch() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
      wake_.notify_all();
    }
    thread_.join();
  }
  JobWatch(const JobWatch&) = delete;
  JobWatch& operator=(const JobWatch&) = delete;

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, kWatchEvery, [this] { return stop_; })) {
      output_.watch();
      if (driver_.is_gone() || files_.given_up()) os_end_group();
    }
  }

  const SpoolFiles& files_;
  TaskOutput& output_;
  const DriverWatch& driver_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace

int execute_file(const std::filesystem::path& path) {
  const SpoolFiles files = SpoolFiles::of_job(path);
  const auto order = files.take();
  if (!order) {
    std::fprintf(stderr, "stook worker: %s\n", order.reason().c_str());
    return 0;  // whoever began it gives the result
  }
  const auto& [welcome, job] = **order;
  JobResult result;
  result.number = job.number;
  result.key = job.key;
  result.failed = true;
  if (!STOOK_MUTANT("job-build") && welcome.build != build_id() && !job.allow_other_build) {
    result.cause = "the worker is build " + build_id() + " of the program, the driver build " +
                   welcome.build + ": give both the same program, or allow other builds";
  } else {
    TaskOutput output(files.stem());
    JobRunner runner(welcome.root, files.stem());
    runner.work_in(welcome.directory);
    runner.output = &output;
    const DriverWatch driver(welcome.alive);
    runner.asks_first = true;
    runner.is_wanted = [&] { return !driver.is_gone() && !files.given_up(); };
    stopping_runner = &runner;
    struct sigaction action {};
    action.sa_handler = &ask_to_stop;
    ::sigaction(SIGTERM, &action, nullptr);
    const JobWatch watch(files, output, driver);
    result = runner.run(job);
    stopping_runner = nullptr;
  }
  files.write_result(result);
  return result.failed ? 1 : 0;
}

}  // namespace stook::detail
