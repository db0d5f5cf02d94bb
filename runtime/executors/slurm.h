// slurm.h - workers in allocations of Slurm: pilot jobs that execute tasks as long as there are
// any. Speaks to Slurm by sbatch, squeue, scontrol and scancel, to the pilots by files under the
// cache. Belongs to the thread that runs its io_context. Design: runtime/executors/README.md
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/executors/worker_channel.h"

namespace stook::detail {

struct SlurmPilots {
  std::filesystem::path spool;
  std::vector<std::string> arguments;  // for sbatch: partition, CPUs, memory, time
  std::filesystem::path directory;     // working directory; empty: this process's
  double command_timeout = 30;         // seconds sbatch, squeue and the others may take
};

[[nodiscard]] ChannelFactory slurm_channels(boost::asio::io_context& context,
                                            ProcessLauncher& launcher, SlurmPilots options);

// What `scontrol show job` says of a job that has ended, as a cause, and whose doing it was.
[[nodiscard]] WorkerEnd slurm_end(const std::string& shown);

}  // namespace stook::detail
