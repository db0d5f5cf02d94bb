// A program's entry: reads the command line, opens the cache, runs, reports, and turns what
// happened into an exit code.

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <thread>

#include "runtime/command_line.h"
#include "runtime/execution.h"
#include "runtime/executors/launcher.h"
#include "runtime/explain.h"
#include "runtime/progress.h"
#include "runtime/run.h"
#include "runtime/select.h"
#include "runtime/worker.h"
#include "src/context.h"
#include "src/shown.h"

#include <stook/cache.hpp>
#include <stook/errors.hpp>
#include <stook/task.hpp>

namespace stook::detail {
namespace {

enum ExitCode { done = 0, task_failed = 1, bad_usage = 2, environment_failed = 3 };
constexpr int signal_exit = 128;
constexpr int grace_seconds = 2;

// Turns SIGINT, SIGTERM and SIGHUP into a flag; what does not stop within the grace, or a second
// signal, ends the process. Finished results are in the packs by then: a pack is written within
// milliseconds.
class SignalWatch {
 public:
  explicit SignalWatch(Store& store) : store_(store) {
    sigemptyset(&signals_);
    for (const int number : {SIGINT, SIGTERM, SIGUSR2}) sigaddset(&signals_, number);
    struct sigaction hang_up {};
    ::sigaction(SIGHUP, nullptr, &hang_up);
    if (hang_up.sa_handler != SIG_IGN) sigaddset(&signals_, SIGHUP);  // else it is for nohup
    pthread_sigmask(SIG_BLOCK, &signals_, &previous_);
    thread_ = std::thread([this] { watch(); });
  }
  ~SignalWatch() {
    ending_ = true;
    pthread_kill(thread_.native_handle(), SIGUSR2);
    thread_.join();
    pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
  }
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  [[nodiscard]] const std::atomic<bool>& stop() const { return stop_; }
  [[nodiscard]] int exit_code() const { return signal_exit + number_.load(); }

 private:
  void watch() {
    int number = wait(nullptr);
    if (ending_) return;
    number_ = number;
    stop_ = true;
    std::fprintf(stderr, "%s: finishing; once more ends at once\n",
                 number == SIGINT   ? "interrupted"
                 : number == SIGHUP ? "hung up"
                                    : "terminated");
    const timespec grace{grace_seconds, 0};
    const int again = wait(&grace);
    if (ending_) return;
    kill_all_started();
    if (again <= 0) store_.sync();
    ::_exit(exit_code());
  }

  int wait(const timespec* timeout) const {
    for (;;) {
      const int number = ::sigtimedwait(&signals_, nullptr, timeout);
      if (number == SIGUSR2 && !ending_) continue;
      if (number > 0 || errno != EINTR) return number;
    }
  }

  Store& store_;
  sigset_t signals_{};
  sigset_t previous_{};
  std::atomic<bool> stop_ = false;
  std::atomic<bool> ending_ = false;
  std::atomic<int> number_ = SIGINT;
  std::thread thread_;
};

Json counts_json(const Counts& counts) {
  return Json::object({{"planned", counts.planned},
                       {"ran", counts.ran},
                       {"cached", counts.cached},
                       {"unchanged", counts.unchanged},
                       {"failed", counts.failed},
                       {"skipped", counts.skipped}});
}

Json stats_json(const Stats& stats) {
  Json json = counts_json(stats);
  Json by_class = Json::object({});
  for (const auto& [name, counts] : stats.by_class) by_class[name] = counts_json(counts);
  json["by_class"] = by_class;
  json["wall_seconds"] = stats.wall_seconds;
  json["busy_seconds"] = stats.busy_seconds;
  json["saved_seconds"] = stats.saved_seconds;
  return json;
}

void save_stats(const CommandLine& line, const Stats& stats) {
  const std::string text = stats_json(stats).dump(2);
  if (line.json) std::cout << text << std::endl;
  if (line.stats_file.empty()) return;
  std::ofstream file(line.stats_file);
  file << text << '\n';
  if (!file.flush()) throw CacheError("cannot write the statistics to " + line.stats_file);
}

int clear(Store& store, const CommandLine& line) {
  for (const std::string& pattern : line.clear) {
    const Invalidated cleared = clear_selected(store, pattern);
    std::cout << shown(pattern) << ": " << cleared.removed << " results removed, "
              << cleared.suspected << " dependents to be checked\n";
  }
  return done;
}

int dry_run(Store& store, const SpecPtr& root, const CommandLine& line) {
  check_registry();
  for (const std::string& warning : check_options(line.run)) warn(warning);
  check_outside_world(store);
  Execution execution(store);
  Plan plan(store, execution, {root}, !line.cached_entry);
  std::cout << shown(dry_run_text(store, plan));
  return done;
}

// What the entry task printed in a process of its own.
void show_printed(Store& store, const SpecPtr& root) {
  const auto& task = static_cast<const TaskSpec&>(*root);
  const auto path = store.task_path(task.info.name, store.id_of(task.key)) / "stdout";
  std::ifstream printed(path, std::ios::binary);
  if (printed) std::cout << printed.rdbuf() << std::flush;
}

int run_entry(Store& store, const SpecPtr& root, const CommandLine& line) {
  const SignalWatch signals(store);
  const auto display = make_progress(line.run.progress);
  RunRequest request;
  request.roots = {root};
  request.options = line.run;
  request.force_roots = !line.cached_entry;
  request.compress_level = line.compress_level;
  request.observer = display.get();
  request.stop = &signals.stop();
  const RunResult result = run(store, request);
  save_stats(line, result.stats);
  if (line.run.executor.name() != "threads" || !line.run.prefixes.empty()) {
    show_printed(store, root);
  }
  if (!result.failures.empty()) std::cerr << failure_text(result.failures) << '\n';
  if (result.stopped) return signals.exit_code();
  return result.failures.empty() ? done : task_failed;
}

int run_line(const ClassInfo& entry, const CommandLine& line) {
  const SpecPtr root = entry.from_json(line.arguments);
  const Cache cache(line.cache);
  Store& store = cache.store();
  if (!line.clear.empty()) return clear(store, line);
  if (line.why) {
    std::cout << shown(explain_selected(store, *line.why));
    return done;
  }
  return line.dry_run ? dry_run(store, root, line) : run_entry(store, root, line);
}

}  // namespace

int run_command_line(const ClassInfo& entry, int argc, char** argv) {
  become_worker(argc, argv);  // where it is one it does not come back
  const CommandLine line = read_command_line(entry, argc, argv);
  if (line.exit) return *line.exit;
  try {
    const int code = run_line(entry, line);
    std::cout.flush();
    return code;
  } catch (const InvalidArgument& error) {
    std::cerr << shown(error.what()) << '\n';
    return bad_usage;
  } catch (const ConstructionFailed& error) {
    std::cerr << shown(error.what()) << '\n';
    return task_failed;
  } catch (const Cycle& error) {
    std::cerr << shown(error.what()) << '\n';
    return task_failed;
  } catch (const std::exception& error) {
    std::cerr << shown(error.what()) << '\n';
    return environment_failed;
  }
}

}  // namespace stook::detail
