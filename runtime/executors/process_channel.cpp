// A worker process of this machine, behind a socket pair.

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "runtime/executors/worker_channel.h"
#include "runtime/memory_group.h"
#include "runtime/worker.h"
#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr double kHelloWithin = 60;
constexpr std::chrono::seconds kEndWithin{1};

class ProcessChannel final : public WorkerChannel {
 public:
  ProcessChannel(asio::io_context& context, ProcessLauncher& launcher,
                 const ProcessOptions& options)
      : launcher_(launcher), options_(options), socket_(context), timer_(context),
        stem_(options.spool / ("worker-" + os_unique_name())) {}
  ~ProcessChannel() override {
    if (!exited_) signal_group(pid_, SIGKILL);
    if (exit_.signal == SIGKILL) (void)MemoryGroup::settle(stem_);  // it may have been busy still
    if (mark_ != nullptr) ::munmap(mark_, sizeof *mark_);
  }

  void start(Heard heard, Ended ended) override {
    heard_ = std::move(heard);
    ended_ = std::move(ended);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair", errno);
    const Fd theirs(ends[1]);
    error_code unusable;
    socket_.assign(asio::local::stream_protocol(), ends[0], unusable);
    if (unusable) {
      ::close(ends[0]);
      fail("epoll_ctl", unusable.value());
    }
    const Fd mark(::memfd_create("stook", MFD_CLOEXEC));
    if (!mark || ::ftruncate(mark.get(), sizeof *mark_) != 0) fail("memfd_create", errno);
    void* const page =
        ::mmap(nullptr, sizeof *mark_, PROT_READ | PROT_WRITE, MAP_SHARED, mark.get(), 0);
    if (page == MAP_FAILED) fail("mmap", errno);
    mark_ = static_cast<std::atomic<std::uint64_t>*>(page);
    LaunchSpec spec;
    spec.argv = {own_program(), worker_flag, stem_.string()};
    spec.environment = allowed_environment(options_.environment);
    spec.directory = options_.directory;
    // Until the worker has files of its own for what it prints, its words are ours.
    spec.out = spec.err = STDERR_FILENO;
    spec.descriptors = {{theirs.get(), worker_socket}, {mark.get(), worker_mark}};
    pid_ = launcher_.start(spec, [this](Exit exit) { exited(exit); });
    read();
  }

  void write(const std::vector<std::byte>& bytes) override {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    send();
  }

  void close() override {
    error_code ignored;
    socket_.shutdown(asio::local::stream_protocol::socket::shutdown_send, ignored);
    timer_.expires_after(kEndWithin);
    timer_.async_wait([this](error_code error) {
      if (!error) kill();
    });
  }

  void kill() override { signal_group(pid_, SIGKILL); }
  [[nodiscard]] std::uint64_t begun() const override {
    return mark_ == nullptr ? 0 : mark_->load(std::memory_order_acquire);
  }
  [[nodiscard]] const std::filesystem::path& stem() const override { return stem_; }
  [[nodiscard]] double hello_within() const override { return kHelloWithin; }

 private:
  [[noreturn]] static void fail(const char* call, int error) {
    throw ExecutorError(std::string("start a worker process: ") + call + ": " +
                        std::strerror(error));
  }

  void send() {
    if (sending_now_ || out_.empty()) return;
    sending_now_ = true;
    sending_.swap(out_);
    asio::async_write(socket_, asio::buffer(sending_), [this](error_code error, std::size_t) {
      sending_now_ = false;
      sending_.clear();
      if (!error) send();  // an error is the end of the worker, which is told otherwise
    });
  }

  void read() {
    socket_.async_read_some(asio::buffer(in_), [this](error_code error, std::size_t size) {
      if (size > 0) heard_(std::span(in_).first(size));
      if (!error && !exited_) return read();
      if (exited_) read_rest();
      closed_ = true;
      end_if_over();
    });
  }

  // A process that the task left behind in a session of its own may hold the other end open: what
  // the worker has said is there, and nobody waits for more.
  void read_rest() {
    error_code error;
    socket_.non_blocking(true, error);
    while (!error) {
      const std::size_t size = socket_.read_some(asio::buffer(in_), error);
      if (size > 0) heard_(std::span(in_).first(size));
    }
  }

  void exited(Exit exit) {
    exit_ = exit;
    exited_ = true;
    timer_.cancel();
    // What the task has started and left behind goes with it.
    signal_group(pid_, SIGKILL);
    out_of_memory_ = exit.signal == SIGKILL && MemoryGroup::settle(stem_);
    error_code ignored;
    if (!closed_) socket_.cancel(ignored);  // see read()
    end_if_over();
  }

  // Both its last words and its end are known.
  void end_if_over() {
    if (!exited_ || !closed_) return;
    std::string cause = exit_.signal != 0 ? "its process was killed by " + describe_exit(exit_)
                                          : "its process ended with " + describe_exit(exit_) +
                                                " before the task had a result";
    if (out_of_memory_) {
      cause += ": out of memory; it and what it had started used more than they may together "
               "(task_memory, --memory)";
    }
    std::exchange(ended_, {})({cause, Blame::task});
  }

  ProcessLauncher& launcher_;
  const ProcessOptions options_;
  asio::local::stream_protocol::socket socket_;
  asio::steady_timer timer_;
  const std::filesystem::path stem_;
  Heard heard_;
  Ended ended_;
  pid_t pid_ = 0;
  std::atomic<std::uint64_t>* mark_ = nullptr;  // shared with the worker
  std::vector<std::byte> in_ = std::vector<std::byte>(64 << 10);
  std::vector<std::byte> out_;
  std::vector<std::byte> sending_;
  Exit exit_;
  bool sending_now_ = false;
  bool out_of_memory_ = false;
  bool closed_ = false;  // its end of the socket
  bool exited_ = false;
};

}  // namespace

ChannelFactory process_channels(asio::io_context& context, ProcessLauncher& launcher,
                                ProcessOptions options) {
  return [&context, &launcher, options = std::move(options)](std::size_t) {
    return std::make_unique<ProcessChannel>(context, launcher, options);
  };
}

}  // namespace stook::detail
