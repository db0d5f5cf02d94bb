#include "runtime/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "runtime/executors/spool.h"
#include "runtime/job_runner.h"
#include "runtime/task_output.h"
#include "src/build_id.h"
#include "src/job.h"

#include <stook/errors.hpp>
#include <stook/init.hpp>

namespace stook::detail {
namespace {

using Clock = std::chrono::steady_clock;

std::atomic<bool> called{false};

// Results of small tasks travel together, but none waits longer than this.
constexpr std::chrono::milliseconds kTellWithin{1};
constexpr std::size_t kTellAt = 64 << 10;
constexpr std::chrono::milliseconds kWatchEvery{200};

// The driver is gone, or says so: this process and all its tasks have started end.
void end_group(int) {
  ::kill(0, SIGKILL);
  ::_exit(128 + SIGKILL);  // the first process of a container cannot be killed from within it
}

std::string host_name() {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  return host;
}

class SocketWorker {
 public:
  SocketWorker(int fd, std::atomic<std::uint64_t>* mark, const char* stem)
      : fd_(fd), mark_(mark), output_(stem) {}

  int serve() {
    send_hello();
    std::thread reader([this] { read(); });
    std::thread watcher([this] { watch(); });
    execute();
    stop_watching();
    watcher.join();
    ::shutdown(fd_, SHUT_RDWR);
    reader.join();
    return 0;
  }

 private:
  // --- The thread that reads: jobs come while another is executed.
  void read() {
    MessageBuffer in;
    try {
      for (;;) {
        const auto room = in.prepare(64 << 10);
        const ssize_t got = ::read(fd_, room.data(), room.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        in.commit(static_cast<std::size_t>(got));
        for (MessageBuffer::Message message; in.next(message);) take(message);
      }
    } catch (const Error& error) { std::fprintf(stderr, "stook worker: %s\n", error.what()); }
    const std::lock_guard lock(mutex_);
    closed_ = true;
    // Nobody wants what is being executed any more.
    if (busy_ || !jobs_.empty()) end_group(0);
    wake_.notify_all();
  }

  void take(const MessageBuffer::Message& message) {
    Reader reader(message.body);
    switch (message.kind) {
      case MessageKind::welcome: {
        const Welcome welcome = decode_welcome(reader);
        const std::lock_guard lock(mutex_);
        runner_.emplace(welcome.root);
        runner_->output = &output_;
        runner_->on_progress = [this](const JobProgress& progress) { tell(progress); };
        return;
      }
      case MessageKind::job: {
        Job job = decode_job(reader);
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
        wake_.notify_all();
        return;
      }
      case MessageKind::stop:
        if (runner_) runner_->request_stop();
        return;
      default: Reader::throw_malformed("a message that no driver sends");
    }
  }

  // --- The thread that executes.
  void execute() {
    for (;;) {
      std::unique_lock lock(mutex_);
      busy_ = false;
      if (jobs_.empty()) {
        lock.unlock();
        flush();
        lock.lock();
      }
      wake_.wait(lock, [this] { return closed_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const Job job = std::move(jobs_.front());
      jobs_.pop_front();
      busy_ = true;
      if (!runner_) return;  // a job before the welcome
      lock.unlock();
      mark_->store(job.number, std::memory_order_release);
      tell(runner_->run(job));
    }
  }

  void send_hello() {
    Writer body;
    encode_hello({kProtocol, build_id(), host_name(), static_cast<std::uint64_t>(::getpid())},
                 body);
    const std::lock_guard lock(out_mutex_);
    append_message(MessageKind::hello, body, out_);
    write_out();
  }

  void tell(const JobResult& result) {
    Writer body;
    encode_result(result, body);
    {
      const std::lock_guard lock(out_mutex_);
      const bool first = out_.empty();
      if (first) first_ = Clock::now();
      append_message(MessageKind::result, body, out_);
      if (out_.size() >= kTellAt || Clock::now() - first_ >= kTellWithin) return write_out();
      if (!first) return;
    }
    const std::lock_guard lock(watch_mutex_);  // the next task may be a long one
    untold_ = true;
    watch_wake_.notify_all();
  }

  void tell(const JobProgress& progress) {
    Writer body;
    encode_progress(progress, body);
    const std::lock_guard lock(out_mutex_);
    append_message(MessageKind::progress, body, out_);
    write_out();
  }

  void flush() {
    const std::lock_guard lock(out_mutex_);
    write_out();
  }

  void write_out() {
    std::size_t done = 0;
    while (done < out_.size()) {
      const ssize_t n = ::send(fd_, out_.data() + done, out_.size() - done, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) end_group(0);
      done += static_cast<std::size_t>(n);
    }
    out_.clear();
  }

  // --- The thread that watches: results that nobody follows up, and what is printed.
  void watch() {
    std::unique_lock lock(watch_mutex_);
    while (!watch_stop_) {
      watch_wake_.wait_for(lock, kWatchEvery, [this] { return watch_stop_ || untold_; });
      if (std::exchange(untold_, false)) {
        watch_wake_.wait_for(lock, kTellWithin, [this] { return watch_stop_; });
        lock.unlock();
        flush();
        lock.lock();
      }
      output_.watch();
    }
  }
  void stop_watching() {
    const std::lock_guard lock(watch_mutex_);
    watch_stop_ = true;
    watch_wake_.notify_all();
  }

  const int fd_;
  std::atomic<std::uint64_t>* const mark_;
  TaskOutput output_;
  std::optional<JobRunner> runner_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;  // guarded by mutex_, like the next two
  bool closed_ = false;
  bool busy_ = false;
  std::mutex out_mutex_;
  std::vector<std::byte> out_;  // guarded by out_mutex_
  Clock::time_point first_;     // of what is in out_
  std::mutex watch_mutex_;
  std::condition_variable watch_wake_;
  bool watch_stop_ = false;  // guarded by watch_mutex_
  bool untold_ = false;      // the same
};

int serve_socket(const char* stem) {
  void* const page =
      ::mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, worker_mark, 0);
  if (page == MAP_FAILED) {
    std::fprintf(stderr, "stook worker: it is started by a driver, not by hand\n");
    return 2;
  }
  ::close(worker_mark);
  ::fcntl(worker_socket, F_SETFD, FD_CLOEXEC);
  return SocketWorker(worker_socket, static_cast<std::atomic<std::uint64_t>*>(page), stem).serve();
}

// --- One job from a file ---------------------------------------------------------------------

std::atomic<JobRunner*> stopping_runner{nullptr};

void ask_to_stop(int) {
  if (JobRunner* const runner = stopping_runner.load()) runner->request_stop();
}

// Ends this process and what it has started when the driver is gone or has given the job up, and
// cuts what grows too long. A signal may not have come through: it ends a container's client only.
class JobWatch {
 public:
  JobWatch(const SpoolFiles& files, TaskOutput& output, const std::string& alive)
      : files_(files), output_(output), alive_(alive.empty() ? Fd() : os_open(alive, O_RDWR)),
        thread_([this] { watch(); }) {}
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
    // Where the lock cannot be seen from here nothing follows from its not being seen later.
    const bool can_tell = alive_ && os_is_locked(alive_.get(), 0);
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, kWatchEvery, [this] { return stop_; })) {
      output_.watch();
      if (can_tell && !os_is_locked(alive_.get(), 0)) end_group(0);
      if (files_.given_up()) end_group(0);
    }
  }

  const SpoolFiles& files_;
  TaskOutput& output_;
  const Fd alive_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

int execute_file(const char* path) {
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
  if (welcome.build != build_id() && !job.allow_other_build) {
    result.cause = "the worker is build " + build_id() + " of the program, the driver build " +
                   welcome.build + ": give both the same program, or allow other builds";
  } else {
    std::error_code ignored;
    std::filesystem::current_path(welcome.directory, ignored);
    TaskOutput output(files.stem());
    JobRunner runner(welcome.root);
    runner.output = &output;
    stopping_runner = &runner;
    struct sigaction action {};
    action.sa_handler = &ask_to_stop;
    ::sigaction(SIGTERM, &action, nullptr);
    const JobWatch watch(files, output, welcome.alive);
    result = runner.run(job);
    stopping_runner = nullptr;
  }
  files.write_result(result);
  return result.failed ? 1 : 0;
}

}  // namespace

bool can_be_worker() { return called.load(); }

void become_worker(int argc, char** argv) {
  called = true;
  if (argc < 3) return;
  const bool serves = std::strcmp(argv[1], worker_flag) == 0;
  if (!serves && std::strcmp(argv[1], job_flag) != 0) return;
  int status = 3;
  try {
    if (serves) {
      struct sigaction action {};
      action.sa_handler = &end_group;
      ::sigaction(SIGTERM, &action, nullptr);
      status = serve_socket(argv[2]);
    } else {
      status = execute_file(argv[2]);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stook worker: %s\n", error.what());
  }
  std::exit(status);
}

}  // namespace stook::detail

namespace stook {

void init(int argc, char** argv) { detail::become_worker(argc, argv); }

}  // namespace stook
