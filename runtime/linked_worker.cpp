#include "runtime/linked_worker.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "runtime/job_runner.h"
#include "runtime/task_output.h"
#include "src/build_id.h"
#include "src/job.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

using Clock = std::chrono::steady_clock;

// Results of small tasks travel together, but none waits longer than this.
constexpr std::chrono::milliseconds kTellWithin{1};
constexpr std::size_t kTellAt = 64 << 10;
constexpr std::chrono::milliseconds kWatchEvery{200};

class LinkedWorker {
 public:
  // `mark`: where the number of the job that has begun is noted; null: it is told.
  LinkedWorker(DriverLink& link, std::atomic<std::uint64_t>* mark,
               const std::filesystem::path& stem)
      : link_(link), mark_(mark), stem_(stem), output_(stem) {}

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
    if (!asked && (busy_ || !jobs_.empty())) os_end_group();
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
        runner_.emplace(welcome.root, stem_);
        runner_->output = &output_;
        runner_->is_wanted = [this] { return !link_.given_up(); };
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
    encode_hello({kProtocol, build_id(), os_host_name(), static_cast<std::uint64_t>(::getpid()),
                  os_kernel_name()},
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
    if (!link_.write(out_)) os_end_group();
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

  DriverLink& link_;
  std::atomic<std::uint64_t>* const mark_;
  const std::filesystem::path stem_;
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

}  // namespace

int serve_link(DriverLink& link, std::atomic<std::uint64_t>* mark,
               const std::filesystem::path& stem) {
  return LinkedWorker(link, mark, stem).serve();
}

}  // namespace stook::detail
