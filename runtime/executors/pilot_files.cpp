// A pilot's link over two files that only grow: the driver appends to one, the pilot to the other.
// Nothing is locked across hosts, but for a byte that says on this host whether the driver lives.
#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <algorithm>
#include <chrono>

#include "runtime/alive.h"
#include "runtime/executors/pilot_link.h"
#include "src/forks.h"
#include "src/job.h"
#include "src/mutant.h"
#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using boost::system::error_code;

constexpr std::chrono::milliseconds kBeat{2000};
constexpr std::chrono::microseconds kFirstRead{200};
constexpr std::chrono::microseconds kLongestRead{20'000};

class PilotFiles final : public PilotLink, public std::enable_shared_from_this<PilotFiles> {
 public:
  explicit PilotFiles(asio::io_context& context) : read_timer_(context), beat_timer_(context) {}

  void open(const fs::path& directory, Heard heard, Broken /*files do not break*/) override {
    directory_ = directory;
    heard_ = std::move(heard);
    in_ = os_open(directory / "in", O_CREAT | O_TRUNC | O_WRONLY | O_APPEND);
    alive_ = hold_alive(directory / "alive");
    if (!in_ || !alive_) throw ExecutorError("cannot write into " + directory.string());
    read();
    beat();
  }

  void write(const std::vector<std::byte>& bytes) override {
    if (closed_) return;
    if (!os_write(in_.get(), bytes.data(), bytes.size())) return give_up();
    pause_ = kFirstRead;
    read_timer_.cancel();
    read();
  }

  void hear_rest() override { (void)take_words(); }

  void close() override {
    if (std::exchange(closed_, true)) return;
    give_up();
    read_timer_.cancel();
    beat_timer_.cancel();
  }

  [[nodiscard]] std::string hint() const override { return {}; }

 private:
  // The pilot looks for it. One that has missed a word would wait for it for ever: it ends, and
  // what it had goes to others.
  void give_up() const {
    if (!STOOK_MUTANT("give-up-pilot")) ::unlink((directory_ / "alive").c_str());
  }

  void read() {
    read_timer_.expires_after(pause_);
    read_timer_.async_wait([self = shared_from_this()](error_code error) {
      if (error || self->closed_) return;
      self->pause_ = self->take_words()
                         ? kFirstRead
                         : std::min<std::chrono::microseconds>(self->pause_ * 3 / 2, kLongestRead);
      if (!self->closed_) self->read();
    });
  }

  bool take_words() {
    if (!out_) out_ = os_open(directory_ / "out", O_RDONLY);
    bool any = false;
    while (out_ && !closed_) {
      const ssize_t got = os_pread(out_.get(), buffer_.data(), buffer_.size(), offset_);
      if (got <= 0) break;
      offset_ += static_cast<std::uint64_t>(got);
      any = true;
      heard_(std::span(buffer_).first(static_cast<std::size_t>(got)));
    }
    return any;
  }

  // Whoever hears nothing for a minute takes the driver for dead.
  void beat() {
    beat_timer_.expires_after(kBeat);
    beat_timer_.async_wait([self = shared_from_this()](error_code error) {
      if (error || self->closed_) return;
      std::vector<std::byte> out;
      append_message(MessageKind::beat, Writer(), out);
      (void)os_write(self->in_.get(), out.data(), out.size());
      self->beat();
    });
  }

  fs::path directory_;
  asio::steady_timer read_timer_;
  asio::steady_timer beat_timer_;
  Heard heard_;
  Fd in_;
  Fd out_;
  Fd alive_;
  const ClosedInForks closed_in_forks_{alive_};
  std::vector<std::byte> buffer_ = std::vector<std::byte>(64 << 10);
  std::uint64_t offset_ = 0;
  std::chrono::microseconds pause_ = kFirstRead;
  bool closed_ = false;
};

}  // namespace

PilotLinks file_links(asio::io_context& context) {
  return [&context] { return std::make_shared<PilotFiles>(context); };
}

}  // namespace stook::detail
