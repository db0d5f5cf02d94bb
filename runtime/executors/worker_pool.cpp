#include "runtime/executors/worker_pool.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <algorithm>
#include <chrono>

#include "runtime/executors/seconds.h"
#include "runtime/task_output.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr int kMostFailedStarts = 3;
constexpr std::size_t kBriefAhead = 2;  // batches at a worker, so that it never waits
// A task that takes so many workers with it, for whatever reason, is not tried again.
constexpr int kMostAttempts = 3;

}  // namespace

// --- One worker ------------------------------------------------------------------------------

class WorkerPool::Worker {
 public:
  Worker(WorkerPool& pool, std::unique_ptr<WorkerChannel> channel)
      : pool_(pool), channel_(std::move(channel)), timer_(pool.context_) {}

  void start() {
    channel_->start([this](std::span<const std::byte> bytes) { hear(bytes); },
                    [this](const WorkerEnd& end) { over(end); });
    if (channel_->hello_within() > 0) arm(channel_->hello_within(), "it did not answer");
  }

  // --- What the pool asks
  [[nodiscard]] bool ready() const { return ready_ && !killed_ && !closing_; }
  [[nodiscard]] bool starting() const { return !ready_; }
  [[nodiscard]] bool idle() const { return ready() && jobs_.empty(); }
  [[nodiscard]] std::size_t load() const { return jobs_.size(); }
  [[nodiscard]] std::size_t batches() const { return ends_.size(); }
  [[nodiscard]] const std::filesystem::path& stem() const { return channel_->stem(); }
  [[nodiscard]] bool has(std::uint64_t number) const {
    return !jobs_.empty() && jobs_.front().number == number;
  }

  void take(Batch&& batch) {
    const bool was_idle = jobs_.empty();
    std::vector<std::byte> out;
    for (PoolJob& job : batch) {
      out.insert(out.end(), job.message.begin(), job.message.end());
      jobs_.push_back(std::move(job));
    }
    ends_.push_back(jobs_.back().number);
    if (was_idle) watch_front();
    channel_->write(out);
  }

  void tell_hold() {
    if (ready_) send(MessageKind::hold, Writer());
  }

  void tell_stop() {
    if (ready_) send(MessageKind::stop, Writer());
  }

  // No more will come: it ends when it has done what it has.
  void finish() {
    closing_ = true;
    if (!ready_) return channel_->kill();
    channel_->close();
  }

  void kill(const std::string& why) {
    killed_ = true;
    if (cause_.empty()) cause_ = why;
    channel_->kill();
  }

  // REQUIRES: it has ended.
  [[nodiscard]] std::deque<PoolJob>& jobs() { return jobs_; }
  [[nodiscard]] bool was_ready() const { return ready_; }
  [[nodiscard]] bool was_closing() const { return closing_; }
  [[nodiscard]] const std::string& cause() const { return cause_; }
  [[nodiscard]] LostJob lost(const PoolJob& job, std::string cause) const {
    const std::chrono::duration<double> lasted =
        asio::steady_timer::clock_type::now() - front_since_;
    const bool out_of_sight = out_of_sight_ && killed_;  // else Slurm has ended its processes
    return {job.number,     std::move(cause),          stem(),      host_,
            lasted.count(), std::max(1, job.attempts), out_of_sight};
  }
  // The job it had begun when it died; 0: none.
  [[nodiscard]] std::uint64_t begun() const { return std::max(begun_, channel_->begun()); }

 private:
  void send(MessageKind kind, const Writer& body) {
    std::vector<std::byte> out;
    append_message(kind, body, out);
    channel_->write(out);
  }

  void arm(double seconds, std::string why) {
    timer_.expires_after(from_seconds(seconds));
    timer_.async_wait([this, why = std::move(why)](error_code error) {
      if (!error) kill(why);
    });
  }

  // A job with a time limit is sent alone, to a worker that has nothing else to do.
  void watch_front() {
    timer_.cancel();
    front_since_ = asio::steady_timer::clock_type::now();
    if (jobs_.empty() || jobs_.front().timeout <= 0) return;
    char text[64];
    std::snprintf(text, sizeof text, "its time limit of %g s has passed", jobs_.front().timeout);
    arm(jobs_.front().timeout, text);
  }

  void hear(std::span<const std::byte> bytes) {
    if (killed_) return;
    try {
      const auto room = in_.prepare(bytes.size());
      std::copy(bytes.begin(), bytes.end(), room.begin());
      in_.commit(bytes.size());
      for (MessageBuffer::Message message; in_.next(message);) {
        Reader reader(message.body);
        take_message(message.kind, reader);
      }
    } catch (const Error& error) { kill(std::string("protocol error: ") + error.what()); }
    pool_.events_.idle();
    pool_.dispatch();
  }

  void take_message(MessageKind kind, Reader& reader) {
    switch (kind) {
      case MessageKind::hello: return take_hello(decode_hello(reader));
      case MessageKind::started: begun_ = reader.take<std::uint64_t>(); return;
      case MessageKind::progress: return pool_.events_.progress(decode_progress(reader));
      case MessageKind::result: return take_result(decode_result(reader));
      case MessageKind::returned: return take_back(reader.take<std::uint64_t>());
      default: Reader::throw_malformed("a message that no worker sends");
    }
  }

  void take_hello(const Hello& hello) {
    if (hello.protocol != kProtocol) {
      throw ExecutorError("it speaks version " + std::to_string(hello.protocol) +
                          " of the protocol, not " + std::to_string(kProtocol));
    }
    if (hello.build != pool_.options_.build && !pool_.options_.allow_other_build) {
      throw ExecutorError("it is build " + hello.build + ", the driver is build " +
                          pool_.options_.build +
                          "; build both from the same sources, or allow other builds");
    }
    timer_.cancel();
    ready_ = true;
    host_ = hello.host;
    out_of_sight_ = hello.kernel != os_kernel_name();
    pool_.failed_starts_ = 0;
    Writer body;
    Welcome welcome;
    welcome.root = pool_.options_.root.string();
    welcome.build = pool_.options_.build;
    welcome.hold_after_failure = pool_.options_.hold_after_failure;
    encode_welcome(welcome, body);
    send(MessageKind::welcome, body);
    if (pool_.holding_) tell_hold();
    if (pool_.stopping_) tell_stop();
    if (closing_) finish();
  }

  void take_result(JobResult result) {
    if (jobs_.empty() || jobs_.front().number != result.number) {
      Reader::throw_malformed("a result of another job than the one it has");
    }
    if (!ends_.empty() && ends_.front() == result.number) ends_.pop_front();
    result.attempt = jobs_.front().attempts + 1;
    jobs_.pop_front();
    watch_front();
    pool_.backoff_.succeeded();
    pool_.events_.result(std::move(result));
  }

  void take_back(std::uint64_t number) {
    const auto job = std::find_if(jobs_.begin(), jobs_.end(),
                                  [&](const PoolJob& one) { return one.number == number; });
    if (job == jobs_.end()) Reader::throw_malformed("a job that it does not have");
    jobs_.erase(job);
    std::erase(ends_, number);
    pool_.events_.returned(number);
  }

  void over(const WorkerEnd& end) {
    timer_.cancel();
    pool_.worker_ended(*this, end);
  }

  WorkerPool& pool_;
  const std::unique_ptr<WorkerChannel> channel_;
  asio::steady_timer timer_;
  MessageBuffer in_;
  std::deque<PoolJob> jobs_;        // in the order in which it executes them
  std::deque<std::uint64_t> ends_;  // the last job of each batch
  std::string cause_;               // why we ended it ourselves
  std::uint64_t begun_ = 0;
  bool out_of_sight_ = false;
  std::string host_;
  asio::steady_timer::time_point front_since_;
  bool ready_ = false;
  bool killed_ = false;
  bool closing_ = false;
};

// --- The pool --------------------------------------------------------------------------------

WorkerPool::WorkerPool(asio::io_context& context, ChannelFactory channels, PoolOptions options,
                       JobEvents events)
    : context_(context), channels_(std::move(channels)), options_(std::move(options)),
      events_(std::move(events)), idle_timer_(std::make_unique<asio::steady_timer>(context)),
      backoff_(options_.retry_first, options_.retry_most),
      backoff_timer_(std::make_unique<asio::steady_timer>(context)) {}

WorkerPool::~WorkerPool() = default;

void WorkerPool::submit(Batch batch, bool brief) {
  if (!broken_.empty()) return refuse(batch);
  if (holding_) return give_back(batch);
  (brief ? brief_ : others_).push_back(std::move(batch));
  dispatch();
}

WorkerPool::Worker* WorkerPool::least_busy(std::size_t most_batches) {
  Worker* best = nullptr;
  for (const auto& worker : workers_) {
    if (!worker->ready() || worker->batches() >= most_batches) continue;
    if (best == nullptr || worker->load() < best->load()) best = worker.get();
  }
  return best;
}

void WorkerPool::dispatch() {
  while (!others_.empty()) {
    Worker* const worker = least_busy(1);
    if (worker == nullptr) break;
    Batch batch = std::move(others_.front());
    others_.pop_front();
    worker->take(std::move(batch));
  }
  while (!brief_.empty()) {
    Worker* const worker = least_busy(kBriefAhead);
    if (worker == nullptr) break;
    Batch batch = std::move(brief_.front());
    brief_.pop_front();
    worker->take(std::move(batch));
  }
  const std::size_t waiting = brief_.size() + others_.size();
  if (options_.idle_seconds > 0) end_idle(waiting);
  const auto starting = static_cast<std::size_t>(std::count_if(
      workers_.begin(), workers_.end(), [](const auto& worker) { return worker->starting(); }));
  for (std::size_t i = starting; i < waiting && broken_.empty() && !backing_off_ &&
                                 workers_.size() < static_cast<std::size_t>(options_.workers);
       ++i) {
    start_worker();
  }
}

// Workers that cost something while they wait go, where nothing is there for them for a while.
void WorkerPool::end_idle(std::size_t waiting) {
  if (waiting > 0) {
    idle_timer_->cancel();
    return;
  }
  idle_timer_->expires_after(from_seconds(options_.idle_seconds));
  idle_timer_->async_wait([this](error_code error) {
    if (error || !brief_.empty() || !others_.empty()) return;
    for (const auto& worker : workers_) {
      if (worker->idle()) worker->finish();
    }
  });
}

void WorkerPool::start_worker() {
  auto worker = std::make_unique<Worker>(*this, channels_(++started_));
  try {
    worker->start();
    workers_.push_back(std::move(worker));
  } catch (const std::exception& error) {  // its directory, say
    has_ready() ? start_again_later() : give_up(error.what());
  }
}

bool WorkerPool::has_ready() const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const auto& worker) { return worker->ready(); });
}

// REQUIRES: no worker is ready. One that was killed may still have jobs.
void WorkerPool::give_up(std::string why) {
  broken_ = std::move(why);
  for (auto* const waiting : {&brief_, &others_}) {
    for (const Batch& batch : std::exchange(*waiting, {})) refuse(batch);
  }
}

void WorkerPool::refuse(const Batch& batch) {
  for (const PoolJob& job : batch) events_.refused(job.number, broken_);
  events_.idle();
}

void WorkerPool::worker_ended(Worker& worker, const WorkerEnd& end) {
  const auto at = std::find_if(workers_.begin(), workers_.end(),
                               [&](const auto& other) { return other.get() == &worker; });
  // The object outlives the handlers that are still queued for it.
  std::shared_ptr<Worker> gone(std::move(*at));
  workers_.erase(at);
  asio::post(context_, [gone] {});
  const std::string cause = worker.cause().empty() ? end.cause : worker.cause();
  if (!worker.was_ready() && !closing_ && !worker.was_closing()) {
    const bool ours = !worker.cause().empty();
    note_silent({cause, ours ? Blame::task : end.blame, end.refused}, ours);
  }
  if (end.blame != Blame::task && !closing_) start_again_later();
  Batch again;
  for (PoolJob& job : worker.jobs()) {
    // The one it had begun is to blame, if a task is; what it had done and not told is done again.
    const bool begun = job.number == worker.begun();
    const Blame blame = worker.cause().empty() ? end.blame : Blame::task;
    const bool retry = blame == Blame::infrastructure ||
                       (blame == Blame::unclear && (!begun || ++job.attempts < kMostAttempts));
    if (begun && !retry) {
      const std::string lasting =
          blame == Blame::unclear
              ? "it ended " + std::to_string(kMostAttempts) + " workers in a row, the last one: "
              : "";
      events_.lost(worker.lost(job, lasting + cause));
    } else {
      again.push_back(std::move(job));
    }
  }
  if (!broken_.empty()) refuse(std::exchange(again, {}));
  else if (holding_) give_back(std::exchange(again, {}));
  for (auto job = again.rbegin(); job != again.rend(); ++job) {
    Batch one;
    one.push_back(std::move(*job));
    others_.push_front(std::move(one));
  }
  std::error_code ignored;
  std::filesystem::remove(TaskOutput::out_file(worker.stem()), ignored);
  std::filesystem::remove(TaskOutput::err_file(worker.stem()), ignored);
  events_.idle();
  if (closing_) {
    if (workers_.empty() && ended_) std::exchange(ended_, {})();
    return;
  }
  dispatch();
}

void WorkerPool::give_back(const Batch& batch) {
  for (const PoolJob& job : batch) events_.returned(job.number);
  events_.idle();
}

void WorkerPool::hold() {
  if (std::exchange(holding_, true)) return;
  for (const auto& worker : workers_) worker->tell_hold();
  for (auto* const waiting : {&brief_, &others_}) {
    for (const Batch& batch : std::exchange(*waiting, {})) give_back(batch);
  }
}

// A worker ended that never said hello. Where others work on, that is no reason to end the run:
// one more is tried for now and then.
void WorkerPool::note_silent(const WorkerEnd& end, bool ours) {
  if (has_ready()) return start_again_later();
  const bool others = std::any_of(workers_.begin(), workers_.end(),
                                  [](const auto& worker) { return worker->starting(); });
  if (end.refused && others) return start_again_later();  // they may wait in a queue
  if (end.refused) return give_up("no worker can be had: " + end.cause);
  if (backing_off_) return;  // several that end together are one failure
  ++failed_starts_;
  if (end.blame == Blame::task) {
    if (failed_starts_ < kMostFailedStarts && !ours) return;
    return give_up("workers of " + own_program() + " do not start: " + end.cause +
                   ". A program that uses other processes calls stook::init(argc, argv) at the top "
                   "of main, or is entered by cli()");
  }
  if (failed_starts_ < options_.most_silent) return;
  give_up(std::to_string(failed_starts_) +
          " workers in a row ended before they could execute anything, the last one: " + end.cause);
}

void WorkerPool::start_again_later() {
  if (std::exchange(backing_off_, true)) return;
  backoff_timer_->expires_after(backoff_.failed());
  backoff_timer_->async_wait([this](error_code error) {
    if (error || closing_) return;
    backing_off_ = false;
    dispatch();
  });
}

void WorkerPool::request_stop() {
  stopping_ = true;
  for (const auto& worker : workers_) worker->tell_stop();
}

void WorkerPool::close(std::function<void()> ended) {
  closing_ = true;
  idle_timer_->cancel();
  backoff_timer_->cancel();
  ended_ = std::move(ended);
  if (workers_.empty()) return std::exchange(ended_, {})();
  for (const auto& worker : workers_) worker->finish();
}

std::filesystem::path WorkerPool::stem_of(std::uint64_t number) const {
  for (const auto& worker : workers_) {
    if (worker->has(number)) return worker->stem();
  }
  return {};
}

}  // namespace stook::detail
