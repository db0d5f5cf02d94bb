// A program's entry: reads the command line, opens the cache, runs, reports, and turns what
// happened into an exit code.

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <thread>
#include <vector>

#include "runtime/command_line.h"
#include "runtime/execution.h"
#include "runtime/executors/launcher.h"
#include "runtime/explain.h"
#include "runtime/progress.h"
#include "runtime/run.h"
#include "runtime/select.h"
#include "runtime/worker.h"
#include "src/context.h"
#include "src/os.h"
#include "src/shown.h"

#include <stook/cache.hpp>
#include <stook/errors.hpp>
#include <stook/task.hpp>

namespace stook::detail {
namespace {

enum ExitCode { done = 0, task_failed = 1, bad_usage = 2, environment_failed = 3 };
constexpr int signal_exit = 128;
constexpr int grace_seconds = 2;

// All that a handler may touch.
std::atomic<int> signal_number = 0;
std::atomic<int> signal_event = -1;

void note_signal(int number) {
  const int error = errno;
  const std::uint64_t one = 1;
  signal_number = number;
  (void)!::write(signal_event, &one, sizeof one);
  errno = error;
}

// Turns SIGINT, SIGTERM and SIGHUP into a flag; what does not stop within the grace, or a second
// signal, ends the process. Finished results are in the packs by then: a pack is written within
// milliseconds. With handlers and not with a mask: programs that a task starts would inherit that,
// and outlive Ctrl-C.
class SignalWatch {
 public:
  explicit SignalWatch(Store& store)
      : store_(store), event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!event_) throw CacheError("cannot watch for signals: no descriptor is left");
    signal_event = event_.get();
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) take(number, wanted);
    pthread_sigmask(SIG_UNBLOCK, &wanted, &mask_before_);
    thread_ = std::thread([this] { watch(); });
  }
  ~SignalWatch() {
    ending_ = true;
    const std::uint64_t one = 1;
    (void)!::write(event_.get(), &one, sizeof one);
    thread_.join();
    for (const auto& [number, action] : actions_before_) ::sigaction(number, &action, nullptr);
    pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  }
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  [[nodiscard]] const std::atomic<bool>& stop() const { return stop_; }
  [[nodiscard]] int exit_code() const { return signal_exit + number_.load(); }

 private:
  void take(int number, sigset_t& wanted) {
    struct sigaction before {};
    ::sigaction(number, nullptr, &before);
    if (number == SIGHUP && before.sa_handler == SIG_IGN) return;  // it is for nohup
    struct sigaction action {};
    action.sa_handler = note_signal;
    action.sa_flags = SA_RESTART;
    ::sigaction(number, &action, nullptr);
    actions_before_.emplace_back(number, before);
    sigaddset(&wanted, number);
  }

  void watch() {
    const int number = wait(-1);
    if (ending_) return;
    number_ = number;
    stop_ = true;
    std::fprintf(stderr, "%s: finishing; once more ends at once\n",
                 number == SIGINT   ? "interrupted"
                 : number == SIGHUP ? "hung up"
                                    : "terminated");
    const int again = wait(grace_seconds * 1000);
    if (ending_) return;
    kill_all_started();
    try {
      if (again == 0) store_.sync();
    } catch (const Error& error) { std::fprintf(stderr, "%s\n", error.what()); }
    ::_exit(exit_code());
  }

  // The next signal; 0: none came in time, or this is to end.
  int wait(int timeout_ms) const {
    using Clock = std::chrono::steady_clock;
    const auto until = Clock::now() + std::chrono::milliseconds(timeout_ms);
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
      if (timeout_ms >= 0 && left <= 0) return 0;
      pollfd watched{event_.get(), POLLIN, 0};
      (void)::poll(&watched, 1, timeout_ms < 0 ? -1 : static_cast<int>(left));
      std::uint64_t count = 0;
      (void)!::read(event_.get(), &count, sizeof count);
      if (ending_) return 0;
      if (const int number = signal_number.exchange(0); number != 0) return number;
    }
  }

  Store& store_;
  const Fd event_;
  std::vector<std::pair<int, struct sigaction>> actions_before_;
  sigset_t mask_before_{};
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

// What the entry task printed in a process of its own, where that was not shown while it ran.
void show_printed(Store& store, const SpecPtr& root, const CommandLine& line) {
  const auto& task = static_cast<const TaskSpec&>(*root);
  if (Selection(line.run.show_output).has(task, store.id_of(task.key))) return;
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
  const bool good = result.failures.empty() && !result.stopped;
  if (good && (line.run.executor.name() != "threads" || !line.run.prefixes.empty())) {
    show_printed(store, root, line);
  }
  if (!result.failures.empty()) std::cerr << failure_text(result.failures) << '\n';
  save_stats(line, result.stats);
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
    if (!std::cout.flush()) throw CacheError("cannot write to standard output");
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
