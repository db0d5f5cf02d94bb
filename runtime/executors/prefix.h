// prefix.h - one process per task behind a prefix command: jbsub, srun, docker, or none.
// The job and its result go through files; the wrapper's output and exit status only explain.
// Unaware of graphs and stores. Belongs to the thread that runs its io_context.
// Design: runtime/executors/README.md
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/executors/job_events.h"
#include "runtime/executors/launcher.h"
#include "runtime/executors/spool.h"

namespace stook::detail {

struct PrefixOptions {
  std::filesystem::path root;  // of the cache
  std::filesystem::path spool;
  std::string build;                     // of this program
  std::vector<std::string> environment;  // names that are passed on; empty: all
  std::filesystem::path directory;       // working directory; empty: this process's
  double result_wait = 15;  // seconds to wait for the result of a command that ended well
};

struct PrefixJob {
  std::uint64_t number = 0;
  std::vector<std::string> words;  // of the prefix, filled in; none: no wrapper
  std::vector<std::byte> message;  // the job
  double timeout = 0;              // seconds; 0: none
  std::filesystem::path logs;      // directory of the wrapper's output: wrapper.stdout, .stderr
};

class PrefixRunner {
 public:
  PrefixRunner(boost::asio::io_context& context, ProcessLauncher& launcher, PrefixOptions options,
               JobEvents events);
  ~PrefixRunner();
  PrefixRunner(const PrefixRunner&) = delete;
  PrefixRunner& operator=(const PrefixRunner&) = delete;

  // Throws ExecutorError where the command cannot be started.
  void submit(PrefixJob job);
  // Running tasks get SIGTERM, and SIGKILL two seconds later.
  void request_stop();
  // Kills what is left; nothing is told any more.
  void close();
  // Where what the job's task prints is; empty: it is not under way.
  [[nodiscard]] std::filesystem::path stem_of(std::uint64_t number) const;

 private:
  class Child;
  // Files for what a wrapper prints. Most print nothing, and making and removing them is what
  // costs: they serve again.
  struct WrapperOutput {
    std::filesystem::path out;
    std::filesystem::path err;
  };
  [[nodiscard]] WrapperOutput take_output();
  void remove(std::uint64_t number);

  boost::asio::io_context& context_;
  ProcessLauncher& launcher_;
  const PrefixOptions options_;
  const JobEvents events_;
  AliveFile alive_;
  std::vector<WrapperOutput> outputs_;  // that nobody uses now
  bool many_files_ = false;             // were allowed
  std::unordered_map<std::uint64_t, std::shared_ptr<Child>> children_;
};

}  // namespace stook::detail
