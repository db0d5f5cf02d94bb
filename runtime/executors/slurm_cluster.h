// slurm_cluster.h - what is asked of Slurm, for all jobs of a run at once: submit, states, cancel.
// Speaks to it by sbatch, squeue, scontrol and scancel; nothing here waits for them.
// Belongs to the thread that runs its io_context. Design: runtime/executors/README.md
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/executors/launcher.h"
#include "runtime/executors/worker_channel.h"

namespace stook::detail {

struct SlurmSettings {
  std::filesystem::path spool;
  std::vector<std::string> arguments;            // for sbatch: partition, CPUs, memory, time
  std::filesystem::path directory;               // working directory; empty: this process's
  double command_timeout = 30;                   // seconds sbatch, squeue and the others may take
  std::function<void(const std::string&)> tell;  // what the user has to know, once
};

class SlurmCluster : public std::enable_shared_from_this<SlurmCluster> {
 public:
  SlurmCluster(boost::asio::io_context& context, ProcessLauncher& launcher, SlurmSettings settings);

  struct Seen {
    std::string id;
    std::string state;
    std::string node;    // where its script runs
    std::string reason;  // why it waits
  };
  // Without an id, why: `refused` by Slurm, which says so again if it is asked again; or it did not
  // answer.
  struct Submission {
    std::string id;
    std::string error;
    bool refused = false;
  };
  using Submitted = std::function<void(const Submission&)>;
  using Watched = std::function<void(const Seen* now)>;  // null: it is not listed any more

  [[nodiscard]] const SlurmSettings& settings() const { return settings_; }
  // A name for a submission that nobody else has.
  [[nodiscard]] std::string new_token() {
    return "stook-" + run_ + "-" + std::to_string(++tokens_);
  }

  // Writes `command` as a batch script to `script` and submits it under the name `token`, with
  // `more` arguments. One that hangs is looked up by its name before it is repeated.
  void submit(const std::string& token, const std::filesystem::path& script,
              const std::vector<std::string>& more, const Submitted& done, int tried = 0);
  // Throws ExecutorError.
  void write_script(const std::filesystem::path& script,
                    const std::vector<std::string>& command) const;

  // `id`: of a job, or JOB_INDEX of an element of an array.
  void watch(const std::string& id, Watched watched);
  void forget(const std::string& id);
  // Something has happened to a job: states are asked soon.
  void hurry() { poll_soon(); }
  // What scontrol says of a job that has ended.
  void show(const std::string& id, const std::function<void(const std::string&)>& shown);
  // The size of the largest array there may be.
  void ask_array_limit(const std::function<void(int)>& answered);
  void cancel(const std::string& id);
  // A job on this node spoke; or it ended without a word, for this cause.
  void note_spoke(const std::string& node) { silent_[node] = 0; }
  void note_silent(const std::string& node, const std::string& cause);
  [[nodiscard]] std::string bad_nodes() const;  // separated by commas

 private:
  using Said = std::function<void(const Exit&, const std::string& said, bool in_time)>;
  void command(std::vector<std::string> argv, Said done);
  [[nodiscard]] static std::optional<std::string> read_said(const std::filesystem::path& file);
  void look_up(const std::string& token, const std::function<void(const std::string& id)>& found);
  void later(std::chrono::seconds after, std::function<void()> what);
  void poll_soon();
  void arm();
  void poll();
  void take(const std::string& said);
  void tell_waiting(const std::map<std::string, Seen>& listed);

  boost::asio::io_context& context_;
  ProcessLauncher& launcher_;
  const SlurmSettings settings_;
  boost::asio::steady_timer timer_;
  const std::string run_;
  std::map<std::string, Watched> watched_;
  std::map<std::string, int> silent_;
  std::set<std::string> bad_nodes_;
  std::optional<std::chrono::steady_clock::time_point> waits_since_;  // while nothing runs
  std::set<std::string> told_;                                        // reasons
  std::chrono::milliseconds pause_;
  std::size_t commands_ = 0;
  std::size_t tokens_ = 0;
  bool polling_ = false;
};

// What `scontrol show job` says of a job that has ended, as a cause, and whose doing it was.
[[nodiscard]] WorkerEnd slurm_end(const std::string& shown);
// ... and on which node its script ran; empty: none.
[[nodiscard]] std::string slurm_node(const std::string& shown);

}  // namespace stook::detail
