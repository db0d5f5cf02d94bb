#include "runtime/executors/worker_pool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "runtime/task_output.h"
#include "runtime/worker.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr int kMostFailedStarts = 3;
constexpr std::size_t kReadAtOnce = 64 << 10;
constexpr std::size_t kBriefAhead = 2;  // batches at a worker, so that it never waits
constexpr std::chrono::seconds kHelloWithin{60};
constexpr std::chrono::seconds kEndWithin{1};

}  // namespace

// --- One worker ------------------------------------------------------------------------------

class WorkerPool::Worker {
 public:
  explicit Worker(WorkerPool& pool)
      : pool_(pool), socket_(pool.context_), timer_(pool.context_),
        stem_(pool.options_.spool / ("worker-" + os_unique_name())) {}
  ~Worker() {
    if (!ended_) signal_group(pid_, SIGKILL);
    if (mark_ != nullptr) ::munmap(mark_, sizeof *mark_);
  }

  void start() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail_start("socketpair");
    socket_.assign(asio::local::stream_protocol(), ends[0]);
    const Fd theirs(ends[1]);
    const Fd mark(::memfd_create("stook", MFD_CLOEXEC));
    if (!mark || ::ftruncate(mark.get(), sizeof *mark_) != 0) fail_start("memfd_create");
    void* const page =
        ::mmap(nullptr, sizeof *mark_, PROT_READ | PROT_WRITE, MAP_SHARED, mark.get(), 0);
    if (page == MAP_FAILED) fail_start("mmap");
    mark_ = static_cast<std::atomic<std::uint64_t>*>(page);
    LaunchSpec spec;
    spec.argv = {own_program(), worker_flag, stem_.string()};
    spec.environment = allowed_environment(pool_.options_.environment);
    spec.directory = pool_.options_.directory;
    // Until the worker has files of its own for what it prints, its words are ours.
    spec.out = spec.err = STDERR_FILENO;
    spec.descriptors = {{theirs.get(), worker_socket}, {mark.get(), worker_mark}};
    pid_ = pool_.launcher_.start(spec, [this](Exit exit) { exited(exit); });
    arm(kHelloWithin, "it did not answer");
    read();
  }

  // --- What the pool asks
  [[nodiscard]] bool ready() const { return ready_ && !killed_; }
  [[nodiscard]] std::size_t load() const { return jobs_.size(); }
  [[nodiscard]] std::size_t batches() const { return ends_.size(); }
  [[nodiscard]] bool starting() const { return !ready_ && !ended_; }
  [[nodiscard]] const std::filesystem::path& stem() const { return stem_; }
  [[nodiscard]] bool has(std::uint64_t number) const {
    return !jobs_.empty() && jobs_.front().number == number;
  }

  void take(Batch&& batch) {
    const bool idle = jobs_.empty();
    for (PoolJob& job : batch) {
      out_.insert(out_.end(), job.message.begin(), job.message.end());
      jobs_.push_back(std::move(job));
    }
    ends_.push_back(jobs_.back().number);
    if (idle) watch_front();
    write();
  }

  void tell_stop() {
    if (!ready_) return;
    append_message(MessageKind::stop, Writer(), out_);
    write();
  }

  // No more will come: it reads the end of its input and ends.
  void finish() {
    closing_ = true;
    if (!ready_) return kill("");
    error_code ignored;
    socket_.shutdown(asio::local::stream_protocol::socket::shutdown_send, ignored);
    arm(kEndWithin, "");
  }

  void kill(const std::string& why) {
    killed_ = true;
    if (cause_.empty()) cause_ = why;
    signal_group(pid_, SIGKILL);
  }

  // REQUIRES: it has ended.
  [[nodiscard]] std::deque<PoolJob>& jobs() { return jobs_; }
  [[nodiscard]] bool was_ready() const { return ready_; }
  [[nodiscard]] const std::string& cause() const { return cause_; }
  // The job it had begun when it died; 0: none.
  [[nodiscard]] std::uint64_t begun() const {
    return mark_ == nullptr ? 0 : mark_->load(std::memory_order_acquire);
  }

 private:
  [[noreturn]] static void fail_start(const char* call) {
    throw ExecutorError(std::string("start a worker process: ") + call + ": " +
                        std::strerror(errno));
  }

  void arm(std::chrono::duration<double> after, std::string why) {
    timer_.expires_after(std::chrono::duration_cast<std::chrono::nanoseconds>(after));
    timer_.async_wait([this, why = std::move(why)](error_code error) {
      if (!error) kill(why);
    });
  }

  // A job with a time limit is sent alone, to a worker that has nothing else to do.
  void watch_front() {
    timer_.cancel();
    if (jobs_.empty() || jobs_.front().timeout <= 0) return;
    char text[64];
    std::snprintf(text, sizeof text, "its time limit of %g s has passed", jobs_.front().timeout);
    arm(std::chrono::duration<double>(jobs_.front().timeout), text);
  }

  void write() {
    if (writing_ || out_.empty()) return;
    writing_ = true;
    sending_.swap(out_);
    asio::async_write(socket_, asio::buffer(sending_), [this](error_code error, std::size_t) {
      writing_ = false;
      sending_.clear();
      if (!error) write();  // an error is the end of the worker, which is told otherwise
    });
  }

  void read() {
    const auto room = in_.prepare(kReadAtOnce);
    socket_.async_read_some(asio::buffer(room.data(), room.size()),
                            [this](error_code error, std::size_t size) {
                              in_.commit(size);
                              if (size > 0 && !take_messages()) return;
                              if (!error) return read();
                              closed_ = true;
                              end_if_over();
                            });
  }

  // False: what it says is no message of ours.
  bool take_messages() {
    try {
      for (MessageBuffer::Message message; in_.next(message);) {
        Reader reader(message.body);
        take_message(message.kind, reader);
      }
    } catch (const Error& error) {
      kill(std::string("protocol error: ") + error.what());
      closed_ = true;
      end_if_over();
      return false;
    }
    pool_.events_.idle();
    pool_.dispatch();
    return true;
  }

  void take_message(MessageKind kind, Reader& reader) {
    switch (kind) {
      case MessageKind::hello: return take_hello(decode_hello(reader));
      case MessageKind::progress: return pool_.events_.progress(decode_progress(reader));
      case MessageKind::result: return take_result(decode_result(reader));
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
    pool_.failed_starts_ = 0;
    Writer body;
    encode_welcome({kProtocol, pool_.options_.root.string(), pool_.options_.build, "", ""}, body);
    append_message(MessageKind::welcome, body, out_);
    write();
    if (pool_.stopping_) tell_stop();
    if (closing_) finish();
  }

  void take_result(JobResult result) {
    if (jobs_.empty() || jobs_.front().number != result.number) {
      Reader::throw_malformed("a result of another job than the one it has");
    }
    if (!ends_.empty() && ends_.front() == result.number) ends_.pop_front();
    jobs_.pop_front();
    watch_front();
    pool_.events_.result(std::move(result));
  }

  void exited(Exit exit) {
    exit_ = exit;
    exited_ = true;
    // What the task has started and left behind goes with it.
    signal_group(pid_, SIGKILL);
    end_if_over();
  }

  // Both its last words and its end are known.
  void end_if_over() {
    if (!exited_ || !closed_ || ended_) return;
    ended_ = true;
    timer_.cancel();
    pool_.worker_ended(*this, exit_);
  }

  WorkerPool& pool_;
  asio::local::stream_protocol::socket socket_;
  asio::steady_timer timer_;
  const std::filesystem::path stem_;
  pid_t pid_ = 0;
  std::atomic<std::uint64_t>* mark_ = nullptr;  // shared with the worker
  MessageBuffer in_;
  std::vector<std::byte> out_;
  std::vector<std::byte> sending_;
  std::deque<PoolJob> jobs_;        // in the order in which it executes them
  std::deque<std::uint64_t> ends_;  // the last job of each batch
  std::string cause_;
  Exit exit_;
  bool ready_ = false;
  bool writing_ = false;
  bool killed_ = false;
  bool closing_ = false;
  bool closed_ = false;  // its end of the socket
  bool exited_ = false;
  bool ended_ = false;
};

// --- The pool --------------------------------------------------------------------------------

WorkerPool::WorkerPool(asio::io_context& context, ProcessLauncher& launcher, PoolOptions options,
                       PoolEvents events)
    : context_(context), launcher_(launcher), options_(std::move(options)),
      events_(std::move(events)) {}

WorkerPool::~WorkerPool() = default;

void WorkerPool::submit(Batch batch, bool brief) {
  if (broken_) { return give_up("no worker process can be started"); }
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
  const auto starting = static_cast<std::size_t>(std::count_if(
      workers_.begin(), workers_.end(), [](const auto& worker) { return worker->starting(); }));
  for (std::size_t i = starting;
       i < waiting && !broken_ && workers_.size() < static_cast<std::size_t>(options_.workers);
       ++i) {
    start_worker();
  }
}

void WorkerPool::start_worker() {
  auto worker = std::make_unique<Worker>(*this);
  try {
    worker->start();
    workers_.push_back(std::move(worker));
  } catch (const ExecutorError& error) { give_up(error.what()); }
}

void WorkerPool::give_up(const std::string& why) {
  broken_ = true;
  brief_.clear();
  others_.clear();
  events_.broken(why);
}

void WorkerPool::worker_ended(Worker& worker, Exit exit) {
  const auto at = std::find_if(workers_.begin(), workers_.end(),
                               [&](const auto& other) { return other.get() == &worker; });
  // The object outlives the handlers that are still queued for it.
  std::shared_ptr<Worker> gone(std::move(*at));
  workers_.erase(at);
  asio::post(context_, [gone] {});
  std::string cause = worker.cause();
  if (cause.empty()) {
    cause = exit.signal != 0
                ? "its process was killed by " + describe_exit(exit)
                : "its process ended with " + describe_exit(exit) + " before the task had a result";
  }
  if (!worker.was_ready() && !closing_) {
    if (++failed_starts_ >= kMostFailedStarts || !worker.cause().empty()) {
      give_up("worker processes of " + own_program() + " do not start: " + cause +
              ". A program that uses processes calls stook::init(argc, argv) at the top of main, "
              "or is entered by cli()");
      return;
    }
  }
  Batch again;
  for (PoolJob& job : worker.jobs()) {
    // The one it had begun is to blame; what it had done and not told is done again.
    if (job.number == worker.begun()) {
      events_.lost({job.number, cause, worker.stem()});
    } else {
      again.push_back(std::move(job));
    }
  }
  for (PoolJob& job : again) {
    Batch one;
    one.push_back(std::move(job));
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

void WorkerPool::request_stop() {
  stopping_ = true;
  for (const auto& worker : workers_) worker->tell_stop();
}

void WorkerPool::close(std::function<void()> ended) {
  closing_ = true;
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
