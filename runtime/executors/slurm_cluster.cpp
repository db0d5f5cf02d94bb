#include "runtime/executors/slurm_cluster.h"

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <random>
#include <sstream>

#include "runtime/executors/seconds.h"
#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using boost::system::error_code;

constexpr std::chrono::milliseconds kFirstPoll{500};
constexpr std::chrono::milliseconds kLongestPoll{5000};
constexpr std::chrono::seconds kWaitsLong{5};
constexpr std::int64_t kMostSaid = std::int64_t{256} << 20;
constexpr int kMostSubmissions = 3;
constexpr int kBadNode = 3;  // jobs in a row that a node did not let speak

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

// Whether a command says that there is no controller to answer it.
bool is_away(const std::string& said) {
  return said.find("Unable to contact slurm controller") != std::string::npos ||
         said.find("timed out") != std::string::npos;
}

std::string field(const std::string& shown, const std::string& name) {
  const auto at = shown.find(name + "=");
  if (at == std::string::npos) return {};
  const auto from = at + name.size() + 1;
  return shown.substr(from, shown.find_first_of(" \n", from) - from);
}

}  // namespace

WorkerEnd slurm_end(const std::string& shown) {
  struct Known {
    const char* state;
    const char* cause;
    Blame blame;
  };
  static constexpr Known known[] = {
      {"NODE_FAIL", " lost its node", Blame::infrastructure},
      {"BOOT_FAIL", " lost its node, which does not boot", Blame::infrastructure},
      {"PREEMPTED", " was preempted", Blame::infrastructure},
      {"CANCELLED", " was cancelled", Blame::infrastructure},
      {"REVOKED", " was moved to another cluster", Blame::infrastructure},
      {"TIMEOUT", " reached its time limit (--time of Slurm)", Blame::unclear},
      {"DEADLINE", " reached its deadline", Blame::unclear},
      {"OUT_OF_MEMORY", " ran out of memory (--mem of Slurm)", Blame::unclear},
      // It is there, but not as the one that was begun.
      {"PENDING", " was requeued", Blame::infrastructure},
      {"REQUEUED", " was requeued", Blame::infrastructure},
      {"REQUEUE_HOLD", " was requeued and is held", Blame::infrastructure},
      {"SPECIAL_EXIT", " was requeued and is held", Blame::infrastructure},
      {"CONFIGURING", " was requeued", Blame::infrastructure},
      {"RUNNING", " was requeued", Blame::infrastructure},
  };
  const std::string state = field(shown, "JobState");
  if (state.empty()) return {"its Slurm job is not known any more", Blame::infrastructure};
  const std::string id = "its Slurm job " + field(shown, "JobId");
  for (const Known& one : known) {
    if (state == one.state) return {id + one.cause, one.blame};
  }
  const std::string code = field(shown, "ExitCode");  // status:signal
  const auto colon = code.find(':');
  const int status = std::atoi(code.c_str());
  const int signal = colon == std::string::npos ? 0 : std::atoi(code.c_str() + colon + 1);
  if (signal != 0) {
    // Whoever kills a task for its memory or a host for its shutdown does it by these.
    const bool killed = signal == SIGKILL || signal == SIGTERM;
    return {id + " was killed by " + describe_exit({0, signal}),
            killed ? Blame::unclear : Blame::task};
  }
  if (state == "FAILED" || status != 0) {
    return {id + " ended with " + describe_exit({status, 0}), Blame::task};
  }
  return {id + " ended (" + state + ", " + field(shown, "Reason") + ")", Blame::unclear};
}

std::string slurm_node(const std::string& shown) { return field(shown, "BatchHost"); }

SlurmCluster::SlurmCluster(asio::io_context& context, ProcessLauncher& launcher,
                           SlurmSettings settings)
    : context_(context), launcher_(launcher), settings_(std::move(settings)), timer_(context),
      run_(random_token()), pause_(kFirstPoll) {}

// --- Submitting ------------------------------------------------------------------------------

void SlurmCluster::write_script(const fs::path& script,
                                const std::vector<std::string>& command) const {
  const fs::path work = settings_.directory.empty() ? fs::current_path() : settings_.directory;
  std::string text = "#!/bin/sh\ncd " + quoted(work.string()) + "\nexec";
  for (const std::string& word : command) text += " " + quoted(word);
  text += "\n";
  const Fd file = os_open(script, O_CREAT | O_TRUNC | O_WRONLY, 0700);
  if (!file || !os_write(file.get(), text.data(), text.size())) {
    throw ExecutorError("cannot write " + script.string());
  }
}

void SlurmCluster::submit(const std::string& token, const fs::path& script,
                          const std::vector<std::string>& more, const Submitted& done, int tried) {
  std::vector<std::string> argv{
      "sbatch",           "--parsable", "--no-requeue", "--job-name=" + token, "--output=/dev/null",
      "--error=/dev/null"};
  if (!bad_nodes_.empty()) argv.push_back("--exclude=" + bad_nodes());
  argv.insert(argv.end(), settings_.arguments.begin(), settings_.arguments.end());
  argv.insert(argv.end(), more.begin(), more.end());
  argv.push_back(script.string());
  command(argv, [self = shared_from_this(), token, script, more, done, tried](
                    const Exit& exit, const std::string& said, bool in_time) {
    const std::string id = said.substr(0, said.find_first_of(";\n"));
    if (in_time && exit.signal == 0 && exit.code == 0 && !id.empty()) return done({id, "", false});
    self->look_up(token, [=](const std::string& found) {
      if (!found.empty()) return done({found, "", false});
      if (tried + 1 >= kMostSubmissions) {
        std::string why = in_time ? trimmed(said) : "sbatch does not answer";
        if (!self->bad_nodes_.empty()) {
          why += " (without " + self->bad_nodes() + ", where nothing could be executed)";
        }
        return done({"", why, in_time && !is_away(said)});
      }
      self->later(std::chrono::seconds(1 << tried),
                  [=] { self->submit(token, script, more, done, tried + 1); });
    });
  });
}

void SlurmCluster::look_up(const std::string& token,
                           const std::function<void(const std::string& id)>& found) {
  command({"squeue", "--noheader", "--name=" + token, "--format=%F"},
          [found](const Exit& exit, const std::string& said, bool) {
            found(exit.code == 0 && exit.signal == 0 ? said.substr(0, said.find('\n')) : "");
          });
}

void SlurmCluster::later(std::chrono::seconds after, std::function<void()> what) {
  auto timer = std::make_shared<asio::steady_timer>(context_, after);
  timer->async_wait([timer, what = std::move(what)](error_code error) {
    if (!error) what();
  });
}

void SlurmCluster::cancel(const std::string& id) {
  command({"scancel", "--full", id}, [](const Exit&, const std::string&, bool) {});
}

void SlurmCluster::note_silent(const std::string& node, const std::string& cause) {
  if (node.empty() || ++silent_[node] != kBadNode) return;
  bad_nodes_.insert(node);
  settings_.tell(
      "node " + node + " is not used any more: " + std::to_string(kBadNode) +
      " pilots in a row ended there before they could execute anything, the last one: " + cause);
}

std::string SlurmCluster::bad_nodes() const {
  std::string list;
  for (const std::string& node : bad_nodes_) list += (list.empty() ? "" : ",") + node;
  return list;
}

void SlurmCluster::show(const std::string& id,
                        const std::function<void(const std::string&)>& shown) {
  command({"scontrol", "show", "job", id},
          [shown](const Exit&, const std::string& said, bool) { shown(said); });
}

void SlurmCluster::ask_array_limit(const std::function<void(int)>& answered) {
  command({"scontrol", "show", "config"}, [answered](const Exit&, const std::string& said, bool) {
    const auto at = said.find("MaxArraySize");
    const auto equals = at == std::string::npos ? at : said.find('=', at);
    const int size = equals == std::string::npos ? 0 : std::atoi(said.c_str() + equals + 1);
    answered(size > 1 ? size - 1 : 1);  // indexes are smaller than MaxArraySize
  });
}

// All that a command has said, a user's jobs by the thousand: what is left out of a list of jobs
// would be taken for jobs that have ended. None: it cannot be read, or is beyond all measure.
std::optional<std::string> SlurmCluster::read_said(const fs::path& file) {
  const Fd in = os_open(file, O_RDONLY);
  const std::int64_t size = in ? static_cast<std::int64_t>(os_file_size(in.get())) : -1;
  if (size < 0 || size > kMostSaid) return std::nullopt;
  std::string said(static_cast<std::size_t>(size), '\0');
  const ssize_t got = os_pread(in.get(), said.data(), said.size(), 0);
  if (got < 0) return std::nullopt;
  said.resize(static_cast<std::size_t>(got));
  return said;
}

// Runs a command; what it says is stdout and stderr together.
void SlurmCluster::command(std::vector<std::string> argv, Said done) {
  struct Running {
    fs::path file;
    asio::steady_timer timer;
    Said done;
    pid_t pid = 0;
    bool in_time = true;
  };
  auto running = std::make_shared<Running>(
      Running{settings_.spool / ("slurm-" + run_ + "-" + std::to_string(++commands_)),
              asio::steady_timer(context_), std::move(done)});
  const Fd out = os_open(running->file, O_CREAT | O_TRUNC | O_RDWR | O_APPEND);
  LaunchSpec spec;
  spec.argv = std::move(argv);
  spec.out = spec.err = out.get();
  try {
    running->pid = launcher_.start(spec, [running](Exit exit) {
      running->timer.cancel();
      const auto said = read_said(running->file);
      ::unlink(running->file.c_str());
      running->done(exit, said.value_or(""), running->in_time && said);
    });
  } catch (const ExecutorError& error) {
    ::unlink(running->file.c_str());
    asio::post(context_, [running, text = std::string(error.what())] {
      running->done({127, 0}, text, true);
    });
    return;
  }
  running->timer.expires_after(from_seconds(settings_.command_timeout));
  running->timer.async_wait([running](error_code error) {
    if (error) return;
    running->in_time = false;
    signal_group(running->pid, SIGKILL);
  });
}

// --- States ----------------------------------------------------------------------------------

void SlurmCluster::watch(const std::string& id, Watched watched) {
  watched_[id] = std::move(watched);
  poll_soon();
}

void SlurmCluster::forget(const std::string& id) {
  watched_.erase(id);
  if (watched_.empty()) timer_.cancel();
}

void SlurmCluster::poll_soon() {
  pause_ = kFirstPoll;
  arm();
}

void SlurmCluster::arm() {
  if (polling_ || watched_.empty()) return;
  timer_.expires_after(pause_);
  timer_.async_wait([self = shared_from_this()](error_code error) {
    if (!error) self->poll();
  });
}

// One call for all jobs.
void SlurmCluster::poll() {
  if (watched_.empty()) return;
  polling_ = true;
  command({"squeue", "--noheader", "--me", "--array", "--format=%F|%K|%T|%B|%r"},
          [self = shared_from_this()](const Exit& exit, const std::string& said, bool in_time) {
            self->polling_ = false;
            // A controller that does not answer says nothing about jobs.
            if (in_time && exit.code == 0 && exit.signal == 0) self->take(said);
            self->pause_ = std::min(self->pause_ * 2, kLongestPoll);
            self->arm();
          });
}

void SlurmCluster::take(const std::string& said) {
  std::map<std::string, Seen> listed;
  std::istringstream lines(said);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream columns(line);
    Seen seen;
    std::string index;
    std::getline(columns, seen.id, '|');
    std::getline(columns, index, '|');
    std::getline(columns, seen.state, '|');
    std::getline(columns, seen.node, '|');
    std::getline(columns, seen.reason);
    if (seen.node == "n/a") seen.node.clear();
    if (index != "N/A") seen.id += "_" + index;
    listed[seen.id] = seen;
  }
  tell_waiting(listed);
  const auto watched = watched_;  // those who are told may forget
  for (const auto& [id, tell] : watched) {
    const auto found = listed.find(id);
    tell(found == listed.end() ? nullptr : &found->second);
  }
}

// Where none of the jobs has run for a while the user hears why, once for each reason.
void SlurmCluster::tell_waiting(const std::map<std::string, Seen>& listed) {
  std::string reason;
  std::size_t waiting = 0;
  for (const auto& [id, tell] : watched_) {
    const auto found = listed.find(id);
    if (found == listed.end()) continue;
    if (found->second.state != "PENDING") return waits_since_.reset();
    ++waiting;
    if (found->second.reason != "None") reason = found->second.reason;
  }
  if (waiting == 0) return waits_since_.reset();
  const auto now = std::chrono::steady_clock::now();
  if (!waits_since_) waits_since_ = now;
  if (reason.empty() || now - *waits_since_ < kWaitsLong || !told_.insert(reason).second) return;
  settings_.tell("nothing is executed now: " + std::to_string(waiting) +
                 (waiting == 1 ? " job waits" : " jobs wait") +
                 " in Slurm's queue, for the reason " + reason);
}

}  // namespace stook::detail
