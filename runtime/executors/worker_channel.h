// worker_channel.h - a worker as its driver sees it: bytes to it, bytes from it, its end. Over a
// socket to a process of this machine, or over files to one that a cluster has started somewhere.
// Belongs to the thread that runs its io_context.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/executors/launcher.h"

namespace stook::detail {

// Whose doing it is that a worker is no more.
enum class Blame {
  task,            // what it executed fails
  unclear,         // perhaps its task's: that is tried again, but not for ever
  infrastructure,  // not the task's: that is tried again, however often it happens
};

struct WorkerEnd {
  std::string cause;
  Blame blame = Blame::task;
  bool refused = false;  // it could not be had, and cannot be had by asking again
};

class WorkerChannel {
 public:
  using Heard = std::function<void(std::span<const std::byte>)>;
  using Ended = std::function<void(const WorkerEnd&)>;

  virtual ~WorkerChannel() = default;
  // Starts the worker. `ended` is called once, when all it said has been heard.
  // Throws ExecutorError where it cannot be started.
  virtual void start(Heard heard, Ended ended) = 0;
  virtual void write(const std::vector<std::byte>& bytes) = 0;
  // No more will come: the worker ends when it has done what it has.
  virtual void close() = 0;
  virtual void kill() = 0;
  // The number of the job it has begun last, where it can be known without its words; else 0.
  [[nodiscard]] virtual std::uint64_t begun() const = 0;
  // Where what its tasks print is while they run: TaskOutput.
  [[nodiscard]] virtual const std::filesystem::path& stem() const = 0;
  // Seconds within which it has to say hello; 0: whenever it gets its turn.
  [[nodiscard]] virtual double hello_within() const = 0;
};

using ChannelFactory = std::function<std::unique_ptr<WorkerChannel>(std::size_t index)>;

struct ProcessOptions {
  std::filesystem::path spool;
  std::vector<std::string> environment;  // names that are passed on; empty: all
  std::filesystem::path directory;       // working directory; empty: this process's
};

// Processes of this machine: this program started again.
[[nodiscard]] ChannelFactory process_channels(boost::asio::io_context& context,
                                              ProcessLauncher& launcher, ProcessOptions options);

}  // namespace stook::detail
