// Pilots: workers in allocations of Slurm.
#include "runtime/executors/slurm.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "cache/execution_lock.h"
#include "runtime/task_output.h"
#include "runtime/worker.h"
#include "src/job.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

using boost::system::error_code;

constexpr int kShownLines = 3;

// A path where Slurm replaces %j and the like.
std::string without_patterns(const fs::path& path) {
  std::string text;
  for (const char c : path.string()) text += c == '%' ? "%%" : std::string(1, c);
  return text;
}

class Pilot : public std::enable_shared_from_this<Pilot> {
 public:
  Pilot(asio::io_context& context, std::shared_ptr<SlurmCluster> cluster,
        std::shared_ptr<PilotLink> link)
      : fence_(context), cluster_(std::move(cluster)), link_(std::move(link)),
        token_(cluster_->new_token()), directory_(cluster_->settings().spool / token_),
        stem_(directory_ / "printed") {}

  void start(WorkerChannel::Heard heard, WorkerChannel::Ended ended) {
    heard_ = std::move(heard);
    ended_ = std::move(ended);
    fs::create_directories(directory_);
    link_->open(
        directory_, [this](std::span<const std::byte> bytes) { hear(bytes); },
        [this] { cluster_->hurry(); });
    const fs::path script = directory_ / "pilot.sh";
    cluster_->write_script(script, {own_program(), pilot_flag, directory_.string()});
    cluster_->submit(token_, script, {"--error=" + without_patterns(log())},
                     [self = shared_from_this()](const SlurmCluster::Submission& submission) {
                       self->submitted(submission);
                     });
  }

  void write(const std::vector<std::byte>& bytes) {
    if (!over_) link_->write(bytes);
  }

  void close() {
    if (over_) {
      fence_.cancel();  // what it had is not given to others any more
      return;
    }
    std::vector<std::byte> out;
    append_message(MessageKind::end, Writer(), out);
    write(out);
    if (!spoke_) return kill();
    // It ends by itself; nobody has to wait for Slurm to notice.
    killed_ = true;
    end({"it was closed", Blame::infrastructure});
  }

  void kill() {
    if (over_) {
      fence_.cancel();
      return;
    }
    killed_ = true;
    if (!id_.empty()) cluster_->cancel(id_);
    // Whether it has really ended is not waited for: nobody reads what it says any more.
    end({"it was cancelled", Blame::infrastructure});
  }

  void drop() {
    over_ = true;
    ended_ = {};
    fence_.cancel();
    if (!id_.empty()) cluster_->forget(id_);
    link_->close();
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }
  [[nodiscard]] bool over() const { return over_; }
  [[nodiscard]] const fs::path& stem() const { return stem_; }
  void cancel_quietly() {
    if (!over_ && !id_.empty()) cluster_->cancel(id_);
  }

 private:
  void submitted(const SlurmCluster::Submission& submission) {
    const std::string& id = submission.id;
    if (over_) {
      if (!id.empty()) cluster_->cancel(id);
      return;
    }
    if (id.empty()) return end({submission.error, Blame::infrastructure, submission.refused});
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
      self->link_->hear_rest();
      // One that fails at once was never seen running.
      if (self->node_.empty()) self->node_ = slurm_node(shown);
      self->cluster_->cancel(self->id_);
      const bool lost = shown.find("JobState=NODE_FAIL") != std::string::npos;
      self->end(slurm_end(shown), lost);
    });
  }

  [[nodiscard]] fs::path log() const { return directory_ / "log"; }

  // What was never heard has executed nothing: no task is to blame.
  [[nodiscard]] WorkerEnd silent(const WorkerEnd& end) const {
    WorkerEnd full{end.cause, Blame::infrastructure, end.refused};
    const std::string said = last_lines(log(), kShownLines);
    if (!said.empty()) full.cause += ": " + said;
    if (!link_->hint().empty() && !id_.empty()) full.cause += " (" + link_->hint() + ")";
    return full;
  }

  // `lost`: Slurm does not know whether its processes live.
  void end(WorkerEnd end, bool lost = false) {
    if (over_) return;
    over_ = true;
    if (!spoke_ && !killed_) {
      const bool nodes_doing = lost || end.blame != Blame::infrastructure;
      end = silent(end);
      if (nodes_doing) cluster_->note_silent(node_, end.cause);
    } else if (!killed_ && end.blame != Blame::task) {
      cluster_->settings().tell(end.cause + "; what it had not done goes to others");
    }
    if (!id_.empty()) cluster_->forget(id_);
    link_->close();
    // A pilot that lives where Slurm does not see it ends itself before others do its tasks. And
    // not from within a call of the pool's.
    fence_.expires_after(lost ? kFence : std::chrono::milliseconds(0));
    fence_.async_wait([self = shared_from_this(), end](error_code) {
      if (self->ended_) std::exchange(self->ended_, {})(end);
    });
  }

  void hear(std::span<const std::byte> bytes) {
    if (over_) return;
    if (!std::exchange(spoke_, true)) cluster_->note_spoke(node_);
    heard_(bytes);
  }

  asio::steady_timer fence_;
  const std::shared_ptr<SlurmCluster> cluster_;
  const std::shared_ptr<PilotLink> link_;
  const std::string token_;
  const fs::path directory_;
  const fs::path stem_;
  WorkerChannel::Heard heard_;
  WorkerChannel::Ended ended_;
  std::string id_;
  std::string node_;
  bool spoke_ = false;
  bool ending_ = false;
  bool killed_ = false;
  bool over_ = false;
};

class PilotChannel final : public WorkerChannel {
 public:
  PilotChannel(asio::io_context& context, std::shared_ptr<SlurmCluster> cluster,
               std::shared_ptr<PilotLink> link)
      : pilot_(std::make_shared<Pilot>(context, std::move(cluster), std::move(link))) {}
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

ChannelFactory slurm_channels(asio::io_context& context, std::shared_ptr<SlurmCluster> cluster,
                              PilotLinks links) {
  return [&context, cluster = std::move(cluster), links = std::move(links)](std::size_t) {
    return std::make_unique<PilotChannel>(context, cluster, links());
  };
}

}  // namespace stook::detail
