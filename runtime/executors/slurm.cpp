// Pilots: workers in allocations of Slurm, spoken to over files under the cache.
#include "runtime/executors/slurm.h"

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <algorithm>
#include <chrono>

#include "runtime/worker.h"
#include "src/job.h"
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

class Pilot : public std::enable_shared_from_this<Pilot> {
 public:
  Pilot(asio::io_context& context, std::shared_ptr<SlurmCluster> cluster)
      : cluster_(std::move(cluster)), token_(cluster_->new_token()),
        directory_(cluster_->settings().spool / token_), stem_(directory_ / "printed"),
        read_timer_(context), beat_timer_(context) {}

  void start(WorkerChannel::Heard heard, WorkerChannel::Ended ended) {
    heard_ = std::move(heard);
    ended_ = std::move(ended);
    fs::create_directories(directory_);
    in_ = os_open(directory_ / "in", O_CREAT | O_TRUNC | O_WRONLY | O_APPEND);
    alive_ = os_open(directory_ / "alive", O_CREAT | O_RDWR);
    if (!in_ || !alive_) throw ExecutorError("cannot make " + directory_.string());
    (void)os_try_lock(alive_.get(), 0, LockMode::exclusive);
    const fs::path script = directory_ / "pilot.sh";
    cluster_->write_script(script, {own_program(), pilot_flag, directory_.string()});
    cluster_->submit(token_, script, {},
                     [self = shared_from_this()](const std::string& id, const std::string& error) {
                       self->submitted(id, error);
                     });
    read();
    beat();
  }

  void write(const std::vector<std::byte>& bytes) {
    if (over_ || !os_write(in_.get(), bytes.data(), bytes.size())) return;
    read_soon();
  }

  void close() {
    std::vector<std::byte> out;
    append_message(MessageKind::end, Writer(), out);
    write(out);
    if (!spoke_) return kill();
    // It ends by itself; nobody has to wait for Slurm to notice.
    end({"it was closed", true});
  }

  void kill() {
    if (over_) return;
    killed_ = true;
    if (!id_.empty()) cluster_->cancel(id_);
    // Whether it has really ended is not waited for: nobody reads what it says any more.
    end({"it was cancelled", true});
  }

  void drop() {
    over_ = true;
    if (!id_.empty()) cluster_->forget(id_);
    read_timer_.cancel();
    beat_timer_.cancel();
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }
  [[nodiscard]] bool over() const { return over_; }
  [[nodiscard]] const fs::path& stem() const { return stem_; }
  void cancel_quietly() {
    if (!over_ && !id_.empty()) cluster_->cancel(id_);
  }

 private:
  void submitted(const std::string& id, const std::string& error) {
    if (over_) {
      if (!id.empty()) cluster_->cancel(id);
      return;
    }
    if (id.empty()) return end({error, false});
    id_ = id;
    cluster_->watch(
        id, [self = shared_from_this()](const SlurmCluster::Seen* now) { self->seen(now); });
  }

  void seen(const SlurmCluster::Seen* now) {
    if (over_) return;
    if (now != nullptr && !now->node.empty()) node_ = now->node;
    const bool lives =
        now != nullptr &&
        (now->state == "RUNNING" || now->state == "COMPLETING" || now->state == "SUSPENDED" ||
         (now->state == "PENDING" && !spoke_) || (now->state == "CONFIGURING" && !spoke_));
    if (lives || ending_) return;
    ending_ = true;
    cluster_->show(id_, [self = shared_from_this()](const std::string& shown) {
      self->take_words();  // the last ones
      self->cluster_->cancel(self->id_);
      self->end(slurm_end(shown));
    });
  }

  void end(const WorkerEnd& end) {
    if (over_) return;
    if (!spoke_ && !killed_) cluster_->note_node(node_, false);
    over_ = true;
    if (!id_.empty()) cluster_->forget(id_);
    read_timer_.cancel();
    beat_timer_.cancel();
    // Not from within a call of the pool's.
    asio::post(read_timer_.get_executor(), [self = shared_from_this(), end] {
      if (self->ended_) std::exchange(self->ended_, {})(end);
    });
  }

  void read_soon() {
    pause_ = kFirstRead;
    read_timer_.cancel();
    read();
  }
  void read() {
    read_timer_.expires_after(pause_);
    read_timer_.async_wait([self = shared_from_this()](error_code error) {
      if (error || self->over_) return;
      self->pause_ = self->take_words()
                         ? kFirstRead
                         : std::min<std::chrono::microseconds>(self->pause_ * 3 / 2, kLongestRead);
      if (!self->over_) self->read();
    });
  }

  bool take_words() {
    if (!out_) out_ = os_open(directory_ / "out", O_RDONLY);
    bool any = false;
    while (out_ && !over_) {
      const ssize_t got = os_pread(out_.get(), buffer_.data(), buffer_.size(), offset_);
      if (got <= 0) break;
      offset_ += static_cast<std::uint64_t>(got);
      any = true;
      if (!std::exchange(spoke_, true)) cluster_->note_node(node_, true);
      heard_(std::span(buffer_).first(static_cast<std::size_t>(got)));
    }
    return any;
  }

  // Whoever hears nothing for a minute takes the driver for dead.
  void beat() {
    beat_timer_.expires_after(kBeat);
    beat_timer_.async_wait([self = shared_from_this()](error_code error) {
      if (error || self->over_) return;
      std::vector<std::byte> out;
      append_message(MessageKind::beat, Writer(), out);
      (void)os_write(self->in_.get(), out.data(), out.size());
      self->beat();
    });
  }

  const std::shared_ptr<SlurmCluster> cluster_;
  const std::string token_;
  const fs::path directory_;
  const fs::path stem_;
  asio::steady_timer read_timer_;
  asio::steady_timer beat_timer_;
  WorkerChannel::Heard heard_;
  WorkerChannel::Ended ended_;
  Fd in_;
  Fd out_;
  Fd alive_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(64 << 10);
  std::uint64_t offset_ = 0;
  std::chrono::microseconds pause_ = kFirstRead;
  std::string id_;
  std::string node_;
  bool spoke_ = false;
  bool ending_ = false;
  bool killed_ = false;
  bool over_ = false;
};

class PilotChannel final : public WorkerChannel {
 public:
  PilotChannel(asio::io_context& context, std::shared_ptr<SlurmCluster> cluster)
      : pilot_(std::make_shared<Pilot>(context, std::move(cluster))) {}
  ~PilotChannel() override {
    pilot_->cancel_quietly();
    pilot_->drop();
  }
  void start(Heard heard, Ended ended) override {
    pilot_->start(std::move(heard), std::move(ended));
  }
  void write(const std::vector<std::byte>& bytes) override { pilot_->write(bytes); }
  void close() override { pilot_->close(); }
  void kill() override { pilot_->kill(); }
  [[nodiscard]] std::uint64_t begun() const override { return 0; }
  [[nodiscard]] const fs::path& stem() const override { return pilot_->stem(); }
  [[nodiscard]] double hello_within() const override { return 0; }

 private:
  const std::shared_ptr<Pilot> pilot_;
};

}  // namespace

ChannelFactory slurm_channels(asio::io_context& context, std::shared_ptr<SlurmCluster> cluster) {
  return [&context, cluster = std::move(cluster)](std::size_t) {
    return std::make_unique<PilotChannel>(context, cluster);
  };
}

}  // namespace stook::detail
