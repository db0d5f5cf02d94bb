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
#include <filesystem>
#include <mutex>
#include <optional>
#include <span>
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

// The way to the driver and back.
class Link {
 public:
  virtual ~Link() = default;
  // Waits for bytes. 0: the driver is gone, or has said all.
  virtual std::size_t read(std::span<std::byte> to) = 0;
  virtual bool write(std::span<const std::byte> bytes) = 0;
  virtual void close() = 0;
};

class SocketLink final : public Link {
 public:
  explicit SocketLink(int fd) : fd_(fd) {}
  std::size_t read(std::span<std::byte> to) override {
    for (;;) {
      const ssize_t got = ::read(fd_, to.data(), to.size());
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return 0;
    }
  }
  bool write(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return true;
  }
  void close() override { ::shutdown(fd_, SHUT_RDWR); }

 private:
  const int fd_;
};

// Two files that only grow: one the driver appends to, one this process does. Nothing is locked
// across hosts; who is silent for too long is gone.
class FileLink final : public Link {
 public:
  explicit FileLink(const std::filesystem::path& directory)
      : in_(os_open(directory / "in", O_RDONLY)),
        out_(os_open(directory / "out", O_CREAT | O_EXCL | O_WRONLY | O_APPEND)),
        alive_(os_open(directory / "alive", O_RDWR)),
        can_tell_(alive_ && os_is_locked(alive_.get(), 0)) {}
  // False: the driver is gone, or an earlier process of this pilot was here before.
  [[nodiscard]] bool usable() const { return in_ && out_; }

  std::size_t read(std::span<std::byte> to) override {
    const auto start = Clock::now();
    std::chrono::microseconds pause{200};
    while (!closed_) {
      const ssize_t got = os_pread(in_.get(), to.data(), to.size(), offset_);
      if (got < 0) return 0;
      if (got > 0) {
        offset_ += static_cast<std::uint64_t>(got);
        return static_cast<std::size_t>(got);
      }
      const auto silent = Clock::now() - start;
      if (silent > kSilentDriver) return 0;
      if (silent > kLookAfter && can_tell_ && !os_is_locked(alive_.get(), 0)) return 0;
      std::this_thread::sleep_for(pause);
      pause = std::min<std::chrono::microseconds>(pause * 3 / 2, kLongestPause);
    }
    return 0;
  }
  bool write(std::span<const std::byte> bytes) override {
    return os_write(out_.get(), bytes.data(), bytes.size());
  }
  void close() override { closed_ = true; }

 private:
  static constexpr std::chrono::seconds kSilentDriver{60};  // it beats every two seconds
  static constexpr std::chrono::milliseconds kLookAfter{200};
  static constexpr std::chrono::microseconds kLongestPause{20'000};

  const Fd in_;
  const Fd out_;
  const Fd alive_;
  const bool can_tell_;
  std::uint64_t offset_ = 0;
  std::atomic<bool> closed_ = false;
};

class LinkedWorker {
 public:
  // `mark`: where the number of the job that has begun is noted; null: it is told.
  LinkedWorker(Link& link, std::atomic<std::uint64_t>* mark, const std::filesystem::path& stem)
      : link_(link), mark_(mark), output_(stem) {}

  int serve() {
    send_hello();
    std::thread reader([this] { read(); });
    std::thread watcher([this] { watch(); });
    execute();
    stop_watching();
    watcher.join();
    link_.close();
    reader.join();
    return 0;
  }

 private:
  // --- The thread that reads: jobs come while another is executed.
  void read() {
    MessageBuffer in;
    bool asked = false;
    try {
      while (!asked) {
        const auto room = in.prepare(64 << 10);
        const std::size_t got = link_.read(room.first(64 << 10));
        if (got == 0) break;
        in.commit(got);
        for (MessageBuffer::Message message; in.next(message);) {
          asked = asked || message.kind == MessageKind::end;
          take(message);
        }
      }
    } catch (const Error& error) { std::fprintf(stderr, "stook worker: %s\n", error.what()); }
    const std::lock_guard lock(mutex_);
    closed_ = true;
    // Nobody wants what is being executed any more.
    if (!asked && (busy_ || !jobs_.empty())) end_group(0);
    wake_.notify_all();
  }

  void take(const MessageBuffer::Message& message) {
    Reader reader(message.body);
    switch (message.kind) {
      case MessageKind::welcome: {
        const Welcome welcome = decode_welcome(reader);
        std::error_code ignored;
        if (!welcome.directory.empty()) std::filesystem::current_path(welcome.directory, ignored);
        const std::lock_guard lock(mutex_);
        hold_after_failure_ = welcome.hold_after_failure;
        runner_.emplace(welcome.root);
        runner_->output = &output_;
        runner_->on_progress = [this](const JobProgress& progress) { tell(progress); };
        return;
      }
      case MessageKind::job: {
        Job job = decode_job(reader);
        const std::lock_guard lock(mutex_);
        if (holding_) return tell_returned(job.number);
        jobs_.push_back(std::move(job));
        wake_.notify_all();
        return;
      }
      case MessageKind::hold: return hold();
      case MessageKind::stop:
        if (runner_) runner_->request_stop();
        return;
      case MessageKind::end:
      case MessageKind::beat: return;
      default: Reader::throw_malformed("a message that no driver sends");
    }
  }

  void hold() {
    const std::lock_guard lock(mutex_);
    holding_ = true;
    for (const Job& job : std::exchange(jobs_, {})) tell_returned(job.number);
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
      note_begun(job.number);
      const JobResult result = runner_->run(job);
      tell(result);
      // An input that turned out damaged is no failure: it is computed again.
      if (hold_after_failure_ && result.failed && result.damaged_input.is_zero()) hold();
    }
  }

  void note_begun(std::uint64_t number) {
    if (mark_ != nullptr) return mark_->store(number, std::memory_order_release);
    tell_number(MessageKind::started, number);
  }
  void tell_returned(std::uint64_t number) { tell_number(MessageKind::returned, number); }

  void tell_number(MessageKind kind, std::uint64_t number) {
    Writer body;
    body.put(number);
    const std::lock_guard lock(out_mutex_);
    append_message(kind, body, out_);
    write_out();
  }

  void send_hello() {
    Writer body;
    encode_hello({kProtocol, build_id(), os_host_name(), static_cast<std::uint64_t>(::getpid())},
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
    if (!link_.write(out_)) end_group(0);
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

  Link& link_;
  std::atomic<std::uint64_t>* const mark_;
  TaskOutput output_;
  std::optional<JobRunner> runner_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;  // guarded by mutex_, like the next three
  bool closed_ = false;
  bool busy_ = false;
  bool holding_ = false;
  bool hold_after_failure_ = false;  // set before the first job comes
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
  SocketLink link(worker_socket);
  return LinkedWorker(link, static_cast<std::atomic<std::uint64_t>*>(page), stem).serve();
}

int serve_files(const std::filesystem::path& directory) {
  FileLink link(directory);
  if (!link.usable()) {
    std::fprintf(stderr, "stook worker: nobody waits for this pilot (any more)\n");
    return 0;
  }
  ::setpgid(0, 0);  // so that it can end with all that its tasks have started
  return LinkedWorker(link, nullptr, directory / "printed").serve();
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

std::string file_of_element(const std::string& stem) {
  const char* const index = std::getenv("SLURM_ARRAY_TASK_ID");
  return stem + "-" + (index != nullptr ? index : "none") + ".job";
}

}  // namespace

bool can_be_worker() { return called.load(); }

void become_worker(int argc, char** argv) {
  called = true;
  if (argc < 3) return;
  const bool serves = std::strcmp(argv[1], worker_flag) == 0;
  const bool pilots = std::strcmp(argv[1], pilot_flag) == 0;
  const bool element = std::strcmp(argv[1], array_flag) == 0;
  if (!serves && !pilots && !element && std::strcmp(argv[1], job_flag) != 0) return;
  int status = 3;
  try {
    if (serves || pilots) {
      struct sigaction action {};
      action.sa_handler = &end_group;
      ::sigaction(SIGTERM, &action, nullptr);
    }
    status = serves    ? serve_socket(argv[2])
             : pilots  ? serve_files(argv[2])
             : element ? execute_file(file_of_element(argv[2]).c_str())
                       : execute_file(argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stook worker: %s\n", error.what());
  }
  std::exit(status);
}

}  // namespace stook::detail

namespace stook {

void init(int argc, char** argv) { detail::become_worker(argc, argv); }

}  // namespace stook
