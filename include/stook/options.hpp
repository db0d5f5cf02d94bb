// options.hpp - how a run is to be carried out, and what it reports of itself.
// Values; thread-safe as values are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace stook {

// Which suspects run: those whose upstream results changed, or every one below a task that ran.
enum class Rebuild { changed, downstream };

// How a run shows what it is doing, on stderr. `automatic`: `bar` on a terminal, else `plain`.
enum class Progress { none, automatic, bar, plain };

// Whether results are kept in the cache or only shared within a run.
enum class Store { always, never };

// How tasks go to Slurm: to pilots, jobs that execute tasks as long as there are any, each as an
// element of a job array, or each by an srun of its own.
struct SlurmOptions {
  std::string arguments = {};  // for sbatch or srun, e.g. "--partition=main --cpus-per-task=2";
                               // split into words as prefixes are
  int max_workers = 8;         // pilots at once
  std::string mode = "pilots";   // or "array", "srun"
  double idle_seconds = 30;    // after which a pilot that has nothing to do ends
  double command_timeout = 30;   // seconds sbatch, squeue and scancel may take
  std::string transport = "files";  // between driver and pilots: files below the cache, or "tcp"
  std::string address = {};    // of this host, for tcp, as the nodes reach it: a name or a number;
                               // empty: its host name
};

// Where tasks are executed. Made by a function of its name.
class Executor {
 public:
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] int workers() const noexcept { return workers_; }
  [[nodiscard]] const SlurmOptions& slurm_options() const noexcept { return slurm_; }

 private:
  friend Executor threads(int count);
  friend Executor processes(int count);
  friend Executor slurm(const SlurmOptions& options);
  Executor(std::string name, int workers) : name_(std::move(name)), workers_(workers) {}

  std::string name_;
  int workers_;
  SlurmOptions slurm_;
};

// In this process, `count` tasks at once; 0: RunOptions::jobs.
[[nodiscard]] inline Executor threads(int count = 0) { return Executor("threads", count); }

// In `count` worker processes of this program, which stay and execute one task after another; 0: as
// many as there are cores. The program calls stook::init() at the top of main, or is entered by
// cli(). What a task prints goes to files of its own (task_stdout(), task_stderr()).
[[nodiscard]] inline Executor processes(int count = 0) { return Executor("processes", count); }

// On a cluster under Slurm. The cache and the program lie on a file system that all nodes see.
[[nodiscard]] inline Executor slurm(const SlurmOptions& options = {}) {
  Executor executor("slurm", options.max_workers);
  executor.slurm_ = options;
  return executor;
}

struct RunOptions {
  std::map<std::string, int> rate_limits = {};   // label or class name -> tasks at once, at least 1
  // label or class name -> command that tasks are started with, each in a process of its own; the
  // first of the class name and the labels, in their order, that has one counts. Empty: no wrapper.
  // Words are split at blanks, quotes and backslashes as in a shell, nothing else is special;
  // {task_name} {task_id} {stdout} {stderr} {directory} {cache} {label} {program} are filled in.
  std::map<std::string, std::string> prefixes = {};
  Executor executor = threads();
  int jobs = 0;                                  // tasks in process at once; 0: the number of cores
  bool keep_going = false;                       // after a failure go on with what does not need it
  Rebuild rebuild = Rebuild::changed;
  Progress progress = Progress::none;

  // Of tasks that are executed in processes of their own:
  double timeout = 0;                            // seconds a task may take; 0: for ever.
                                                 // task_timeout of its class comes first
  std::uint64_t memory = 0;                      // bytes a task may allocate; 0: all there is.
                                                 // task_memory of its class comes first
  std::uint64_t log_limit = 64 << 20;            // bytes kept of stdout, and of stderr; 0: all
  std::vector<std::string> environment = {};     // names of variables it sees; empty: all
  std::string working_directory = {};            // empty: this process's
  double result_wait = 15;                       // seconds to wait for the result of a prefix
                                                 // command that has ended well: file systems of
                                                 // clusters show files late
  bool allow_other_build = false;                // workers may be another build of the program
  std::string show_output = {};                  // pattern of class names, NAME(ARGUMENTS) or #ID:
                                                 // what such tasks print is shown as it comes
};

// One task counts in exactly one of ran, cached, unchanged, failed, skipped.
struct Counts {
  std::size_t planned = 0;     // constructed
  std::size_t ran = 0;         // executed to its end
  std::size_t cached = 0;      // answered without being constructed
  std::size_t unchanged = 0;   // suspect, and proven fresh
  std::size_t failed = 0;
  std::size_t skipped = 0;     // not started: something upstream failed, or the run was stopped
};

struct Stats : Counts {
  std::map<std::string, Counts> by_class;
  double wall_seconds = 0;
  double busy_seconds = 0;     // the sum over the executed tasks
  double saved_seconds = 0;    // recorded durations of what did not have to run
};

template <class T>
struct Outcome {
  T value;
  Stats stats;
};

}  // namespace stook
