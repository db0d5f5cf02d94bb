#include "runtime/executors/slurm.h"

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "runtime/worker.h"
#include "src/job.h"
#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

constexpr std::chrono::milliseconds kFirstPoll{500};
constexpr std::chrono::milliseconds kLongestPoll{5000};
constexpr std::chrono::milliseconds kBeat{2000};
constexpr std::chrono::microseconds kFirstRead{200};
constexpr std::chrono::microseconds kLongestRead{20'000};
constexpr int kMostSubmissions = 3;
constexpr int kBadNode = 3;  // pilots in a row that a node did not let speak

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// A word for the shell that runs a batch script.
std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) {
    if (c == '\'') text += "'\\''";
    else text += c;
  }
  return text + "'";
}

std::string random_token() {
  std::random_device random;
  char text[20];
  std::snprintf(text, sizeof text, "%08x%08x", random(), random());
  return text;
}

std::string field(const std::string& shown, const std::string& name) {
  const auto at = shown.find(name + "=");
  if (at == std::string::npos) return {};
  const auto from = at + name.size() + 1;
  return shown.substr(from, shown.find_first_of(" \n", from) - from);
}

}  // namespace

WorkerEnd slurm_end(const std::string& shown) {
  const std::string state = field(shown, "JobState");
  const std::string reason = field(shown, "Reason");
  const std::string id = "its Slurm job " + field(shown, "JobId");
  if (state == "NODE_FAIL" || state == "BOOT_FAIL") return {id + " lost its node", true};
  if (state == "PREEMPTED") return {id + " was preempted", true};
  if (state == "CANCELLED") return {id + " was cancelled", true};
  if (state == "TIMEOUT" || state == "DEADLINE") return {id + " reached its time limit", true};
  if (state == "OUT_OF_MEMORY") return {id + " ran out of memory", true};
  if (state == "PENDING" || state == "REQUEUED" || state == "REQUEUE_HOLD" || state == "RUNNING" ||
      state == "CONFIGURING") {
    return {id + " was requeued", true};
  }
  const std::string code = field(shown, "ExitCode");  // status:signal
  const auto colon = code.find(':');
  const int status = std::atoi(code.c_str());
  const int signal = colon == std::string::npos ? 0 : std::atoi(code.c_str() + colon + 1);
  if (signal == SIGKILL || signal == SIGTERM) {
    return {id + " was killed by " + describe_exit({0, signal}), true};
  }
  if (signal != 0) return {id + " was killed by " + describe_exit({0, signal}), false};
  if (state == "FAILED" || status != 0) {
    return {id + " ended with " + describe_exit({status, 0}), false};
  }
  if (state.empty()) return {id + "is not known to Slurm any more", true};
  return {id + " ended (" + state + ", " + reason + ")", true};
}

namespace {

// --- What Slurm is asked, for all pilots at once ---------------------------------------------

class SlurmCluster : public std::enable_shared_from_this<SlurmCluster> {
 public:
  SlurmCluster(asio::io_context& context, ProcessLauncher& launcher, SlurmPilots options)
      : context_(context), launcher_(launcher), options_(std::move(options)), timer_(context),
        run_(random_token()) {}

  struct Seen {
    std::string id;
    std::string state;
    std::string node;
  };
  using Submitted = std::function<void(const std::string& id, const std::string& error)>;
  using Watched = std::function<void(const Seen* now)>;  // null: it is not listed any more

  [[nodiscard]] const SlurmPilots& options() const { return options_; }
  [[nodiscard]] std::string token(std::size_t index) const {
    return "stook-" + run_ + "-" + std::to_string(index);
  }

  // Submits a batch script under a name that nobody else has. One that hangs is looked up by that
  // name before it is repeated.
  void submit(const std::string& token, const fs::path& script, Submitted done, int tried = 0) {
    std::vector<std::string> argv{"sbatch",
                                  "--parsable",
                                  "--no-requeue",
                                  "--job-name=" + token,
                                  "--output=/dev/null",
                                  "--error=/dev/null"};
    if (!bad_nodes_.empty()) {
      std::string list;
      for (const std::string& node : bad_nodes_) list += (list.empty() ? "" : ",") + node;
      argv.push_back("--exclude=" + list);
    }
    argv.insert(argv.end(), options_.arguments.begin(), options_.arguments.end());
    argv.push_back(script.string());
    command(argv, [self = shared_from_this(), token, script, done, tried](
                      const Exit& exit, const std::string& said, bool in_time) {
      const std::string id = said.substr(0, said.find_first_of(";\n"));
      if (in_time && exit.signal == 0 && exit.code == 0 && !id.empty()) return done(id, "");
      self->look_up(
          token, [self, token, script, done, tried, said, in_time](const std::string& id) {
            if (!id.empty()) return done(id, "");
            if (tried + 1 >= kMostSubmissions) {
              return done("", in_time ? "sbatch: " + trimmed(said) : "sbatch does not answer");
            }
            self->later(std::chrono::seconds(1 << tried), [self, token, script, done, tried] {
              self->submit(token, script, done, tried + 1);
            });
          });
    });
  }

  void watch(const std::string& id, Watched watched) {
    watched_[id] = std::move(watched);
    poll_soon();
  }
  void forget(const std::string& id) {
    watched_.erase(id);
    if (watched_.empty()) timer_.cancel();
  }
  void poll_soon() {
    pause_ = kFirstPoll;
    arm();
  }

  void show(const std::string& id, std::function<void(const std::string&)> shown) {
    command({"scontrol", "show", "job", id},
            [shown](const Exit&, const std::string& said, bool) { shown(said); });
  }
  void cancel(const std::string& id) {
    command({"scancel", "--full", id}, [](const Exit&, const std::string&, bool) {});
  }
  // A pilot on this node spoke, or ended without a word.
  void note_node(const std::string& node, bool spoke) {
    if (node.empty()) return;
    if (spoke) silent_[node] = 0;
    else if (++silent_[node] >= kBadNode) bad_nodes_.insert(node);
  }

 private:
  using Said = std::function<void(const Exit&, const std::string& said, bool in_time)>;

  // Runs a command; what it says is stdout and stderr together.
  void command(std::vector<std::string> argv, Said done) {
    struct Running {
      fs::path file;
      asio::steady_timer timer;
      Said done;
      pid_t pid = 0;
      bool in_time = true;
    };
    auto running = std::make_shared<Running>(
        Running{options_.spool / ("slurm-" + run_ + "-" + std::to_string(++commands_)),
                asio::steady_timer(context_), std::move(done)});
    const Fd out = os_open(running->file, O_CREAT | O_TRUNC | O_RDWR | O_APPEND);
    LaunchSpec spec;
    spec.argv = std::move(argv);
    spec.out = spec.err = out.get();
    try {
      running->pid = launcher_.start(spec, [running](Exit exit) {
        running->timer.cancel();
        std::string said(8192, '\0');
        const Fd in = os_open(running->file, O_RDONLY);
        const ssize_t got = in ? os_pread(in.get(), said.data(), said.size(), 0) : 0;
        said.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        ::unlink(running->file.c_str());
        running->done(exit, said, running->in_time);
      });
    } catch (const ExecutorError& error) {
      ::unlink(running->file.c_str());
      asio::post(context_, [running, text = std::string(error.what())] {
        running->done({127, 0}, text, true);
      });
      return;
    }
    running->timer.expires_after(std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(options_.command_timeout)));
    running->timer.async_wait([running](error_code error) {
      if (error) return;
      running->in_time = false;
      signal_group(running->pid, SIGKILL);
    });
  }

  void look_up(const std::string& token, std::function<void(const std::string& id)> found) {
    command({"squeue", "--noheader", "--name=" + token, "--format=%A"},
            [found](const Exit& exit, const std::string& said, bool) {
              found(exit.code == 0 && exit.signal == 0 ? said.substr(0, said.find('\n')) : "");
            });
  }

  void later(std::chrono::seconds after, std::function<void()> what) {
    auto timer = std::make_shared<asio::steady_timer>(context_, after);
    timer->async_wait([timer, what = std::move(what)](error_code error) {
      if (!error) what();
    });
  }

  void arm() {
    if (polling_ || watched_.empty()) return;
    timer_.expires_after(pause_);
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->poll();
    });
  }

  // One call for all jobs.
  void poll() {
    if (watched_.empty()) return;
    polling_ = true;
    command({"squeue", "--noheader", "--me", "--format=%A|%j|%T|%N"},
            [self = shared_from_this()](const Exit& exit, const std::string& said, bool in_time) {
              self->polling_ = false;
              // A controller that does not answer says nothing about jobs.
              if (in_time && exit.code == 0 && exit.signal == 0) self->take(said);
              self->pause_ = std::min(self->pause_ * 2, kLongestPoll);
              if (!self->watched_.empty()) self->arm();
            });
  }

  void take(const std::string& said) {
    std::map<std::string, Seen> listed;
    std::istringstream lines(said);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream columns(line);
      Seen seen;
      std::string name;
      std::getline(columns, seen.id, '|');
      std::getline(columns, name, '|');
      std::getline(columns, seen.state, '|');
      std::getline(columns, seen.node, '|');
      listed[seen.id] = seen;
    }
    const auto watched = watched_;  // those who are told may forget
    for (const auto& [id, tell] : watched) {
      const auto found = listed.find(id);
      tell(found == listed.end() ? nullptr : &found->second);
    }
  }

  asio::io_context& context_;
  ProcessLauncher& launcher_;
  const SlurmPilots options_;
  asio::steady_timer timer_;
  const std::string run_;
  std::map<std::string, Watched> watched_;
  std::map<std::string, int> silent_;
  std::set<std::string> bad_nodes_;
  std::chrono::milliseconds pause_ = kFirstPoll;
  std::size_t commands_ = 0;
  bool polling_ = false;
};

// --- One pilot -------------------------------------------------------------------------------

class Pilot : public std::enable_shared_from_this<Pilot> {
 public:
  Pilot(asio::io_context& context, std::shared_ptr<SlurmCluster> cluster, std::size_t index)
      : cluster_(std::move(cluster)), token_(cluster_->token(index)),
        directory_(cluster_->options().spool / token_), stem_(directory_ / "printed"),
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
    const fs::path work =
        cluster_->options().directory.empty() ? fs::current_path() : cluster_->options().directory;
    const std::string text = "#!/bin/sh\ncd " + quoted(work.string()) + "\nexec " +
                             quoted(own_program()) + " " + pilot_flag + " " +
                             quoted(directory_.string()) + "\n";
    const Fd file = os_open(script, O_CREAT | O_TRUNC | O_WRONLY, 0700);
    if (!file || !os_write(file.get(), text.data(), text.size())) {
      throw ExecutorError("cannot write " + script.string());
    }
    cluster_->submit(token_, script,
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
  PilotChannel(asio::io_context& context, std::shared_ptr<SlurmCluster> cluster, std::size_t index)
      : pilot_(std::make_shared<Pilot>(context, std::move(cluster), index)) {}
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

ChannelFactory slurm_channels(asio::io_context& context, ProcessLauncher& launcher,
                              SlurmPilots options) {
  auto cluster = std::make_shared<SlurmCluster>(context, launcher, std::move(options));
  return [&context, cluster](std::size_t index) {
    return std::make_unique<PilotChannel>(context, cluster, index);
  };
}

}  // namespace stook::detail
