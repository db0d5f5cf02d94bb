// slurm.h - tasks on a cluster under Slurm: by pilots, which are workers of a pool, or as elements
// of job arrays. Belongs to the thread that runs its io_context. Design:
// runtime/executors/README.md
#pragma once

#include "runtime/executors/pilot_link.h"
#include "runtime/executors/prefix.h"
#include "runtime/executors/slurm_cluster.h"
#include "runtime/executors/worker_channel.h"

namespace stook::detail {

[[nodiscard]] ChannelFactory slurm_channels(boost::asio::io_context& context,
                                            std::shared_ptr<SlurmCluster> cluster,
                                            PilotLinks links);

// One element of a job array per task. Jobs that come within a moment of each other are submitted
// together.
class SlurmArrays {
 public:
  SlurmArrays(boost::asio::io_context& context, std::shared_ptr<SlurmCluster> cluster,
              PrefixOptions options, JobEvents events);
  ~SlurmArrays();
  SlurmArrays(const SlurmArrays&) = delete;
  SlurmArrays& operator=(const SlurmArrays&) = delete;

  void submit(PrefixJob job);
  // Cancels what is there; nothing is submitted again.
  void request_stop();
  // Cancels what is there; nothing is told any more.
  void close();
  // Where what the job's task prints is; empty: it is not under way.
  [[nodiscard]] std::filesystem::path stem_of(std::uint64_t number) const;

 private:
  class Impl;
  const std::shared_ptr<Impl> impl_;
};

}  // namespace stook::detail
