// Line 22: much work, for long. A million tasks in one run, in two workers; and one process that
// builds, clears and collects again and again, in threads, in workers and behind a prefix. Resident
// memory and open files of the driver and of the workers stay as they are.
//
// Nightly this takes 24 hours; STOOK_SOAK_SECONDS makes it another time.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "tests/torture/line.h"

#include <stook/stook.hpp>

namespace fs = std::filesystem;

// A few bytes; now and then a directory, or a megabyte.
struct Piece : stook::Task<Piece, std::string(int)> {
  const int n;
  explicit Piece(int number) : n(number) {}
  std::string run_task() {
    if (n % 1000 == 3) std::ofstream(task_directory() / "file") << n;
    return std::string(n % 5000 == 7 ? (1 << 20) + 1 : 20 + static_cast<unsigned>(n) % 200, 'p');
  }
};

struct Small : stook::Task<Small, int(int)> {
  const int n;
  explicit Small(int number) : n(number) {}
  int run_task() { return n + 1; }
};

// Needs the one before it, so that pieces are needed soon after they are made, from the first to
// the last of a run.
struct Step : stook::Task<Step, long(int, int)> {
  stook::Future<long> before;
  stook::FutureList<std::string> pieces;
  Step(int number, int size) : before(stook::Const(0L)) {
    if (number > 0) before = make(number - 1, size);
    for (int i = 0; i < size; ++i) pieces.push_back(Piece::make(number * size + i));
  }
  long run_task() {
    long bytes = *before;
    for (const std::string& piece : *pieces) bytes += static_cast<long>(piece.size());
    return bytes;
  }
};

namespace stook::torture {
namespace {

using Clock = std::chrono::steady_clock;

// --- What a process holds -----------------------------------------------------------------------

struct Held {
  double megabytes = 0;
  double files = 0;
};

Held held_by(const std::string& process) {
  Held held;
  std::ifstream status("/proc/" + process + "/statm");
  double whole = 0, resident = 0;
  if (status >> whole >> resident) {
    held.megabytes = resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
  }
  std::error_code gone;
  for (fs::directory_iterator it("/proc/" + process + "/fd", gone), end; it != end && !gone;
       it.increment(gone)) {
    ++held.files;
  }
  return held;
}

std::set<std::string> children() {
  std::set<std::string> pids;
  std::error_code gone;
  for (fs::directory_iterator it("/proc/self/task", gone), end; it != end && !gone;
       it.increment(gone)) {  // each thread has its own
    std::ifstream in(it->path() / "children");
    for (std::string pid; in >> pid;) pids.insert(pid);
  }
  return pids;
}

// --- Is it flat? --------------------------------------------------------------------------------

constexpr double kBytesPerTask = 1200;  // of a driver, in one run
constexpr double kGrowth = 1.05;
constexpr double kNoise = 2;  // megabytes, or files: what comes and goes

// The largest of a quarter counts: allocators give back when they like.
class Course {
 public:
  void add(const Held& held) { seen_.push_back(held); }
  [[nodiscard]] bool is_flat(double Held::*what) const {
    const double early = second_quarter(what);
    return last_quarter(what) <= std::max(kGrowth * early, early + kNoise);
  }
  [[nodiscard]] double second_quarter(double Held::*what) const {
    return largest(seen_.size() / 4, seen_.size() / 2, what);
  }
  [[nodiscard]] double last_quarter(double Held::*what) const {
    return largest(3 * seen_.size() / 4, seen_.size(), what);
  }

 private:
  [[nodiscard]] double largest(std::size_t from, std::size_t to, double Held::*what) const {
    double most = 0;
    for (std::size_t i = from; i < to; ++i) most = std::max(most, seen_[i].*what);
    return most;
  }
  std::vector<Held> seen_;
};

std::string shown(const std::string& who, const Course& course) {
  char text[120];
  std::snprintf(text, sizeof text, " %.1f, then %.1f MB, %.0f, then %.0f files",
                course.second_quarter(&Held::megabytes), course.last_quarter(&Held::megabytes),
                course.second_quarter(&Held::files), course.last_quarter(&Held::files));
  return who + text;
}

void expect_flat(Line& line, const std::string& who, const Course& course) {
  const bool flat = course.is_flat(&Held::megabytes) && course.is_flat(&Held::files);
  if (!flat) line.violation(shown(who, course));
}

// Looks at this process and its workers until it is told to stop.
class Watch {
 public:
  Watch() : thread_([this] { watch(); }) {}
  ~Watch() { stop(); }
  void stop() {
    stopped_ = true;
    if (thread_.joinable()) thread_.join();
  }
  Course driver;
  std::map<std::string, Course> workers;

 private:
  void watch() {
    while (!stopped_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      const auto now = children();
      if (now.size() < 2) continue;  // it plans, or has ended
      driver.add(held_by("self"));
      for (const std::string& pid : now) workers[pid].add(held_by(pid));
    }
  }
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

// --- A million tasks ----------------------------------------------------------------------------

std::string one_large_run(Line& line, int steps, int size) {
  const Cache cache(line.directory() / "large");
  Watch watch;
  const auto outcome = Step::make(steps - 1, size).run_graph({.executor = processes(2)});
  watch.stop();
  const auto expected = static_cast<std::size_t>(steps) * static_cast<std::size_t>(size + 1);
  if (outcome.stats.ran != expected) line.violation("not everything ran");
  // The driver keeps an account of each task; its files do not depend on their number.
  const double most = kBytesPerTask * static_cast<double>(expected) / (1 << 20);
  if (watch.driver.last_quarter(&Held::megabytes) > most || !watch.driver.is_flat(&Held::files)) {
    line.violation(shown("driver", watch.driver));
  }
  if (watch.workers.empty()) line.violation("no worker was seen");
  for (const auto& [pid, course] : watch.workers) expect_flat(line, "worker " + pid, course);
  return std::to_string(outcome.stats.ran) + " tasks in one run: " + shown("driver", watch.driver) +
         (watch.workers.empty() ? "" : ", " + shown("a worker", watch.workers.begin()->second));
}

// A service: one process that is always given something new, and has time now and then.
std::string ever_new_tasks(Line& line, int runs, int size) {
  const Cache cache(line.directory() / "new");
  Course driver;
  for (int i = 0; i < runs; ++i) {
    std::vector<AnyFuture> roots;
    for (int n = 0; n < size; ++n) roots.push_back(Small::make(i * size + n));
    run_graphs(roots);
    roots.clear();
    if (i % 10 == 9) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    driver.add(held_by("self"));
  }
  expect_flat(line, "a service", driver);
  return std::to_string(runs) + " runs of " + std::to_string(size) +
         " new tasks: " + shown("driver", driver);
}

// --- Cycles -------------------------------------------------------------------------------------

RunOptions in_some_way(std::mt19937_64& random) {
  RunOptions options;
  switch (random() % 4) {
    case 0: options.executor = processes(2); break;
    case 1: options.prefixes = {{"Step", "/usr/bin/env"}}; break;
    default: break;
  }
  return options;
}

std::string cycles(Line& line, std::chrono::seconds how_long) {
  Cache cache(line.directory() / "cycles");
  std::mt19937_64 random(line.seed());
  Course driver;
  const auto end = Clock::now() + how_long;
  int count = 0;
  for (; Clock::now() < end; ++count) {
    Step::make(9, 100).run_graph(in_some_way(random));
    switch (random() % 8) {
      case 0: Piece::clear_all_tasks(); break;
      case 1: cache.collect({.max_bytes = 64 << 10}); break;
      case 2: Step::clear_all_tasks(); break;
      default:
        for (int i = 0; i < 50; ++i) Piece::make(static_cast<int>(random() % 1000)).clear_task();
    }
    driver.add(held_by("self"));
  }
  expect_flat(line, "after many cycles", driver);
  return std::to_string(count) + " cycles: " + shown("driver", driver);
}

int run(Line& line) {
  const char* const given = std::getenv("STOOK_SOAK_SECONDS");
  const std::chrono::seconds how_long(given != nullptr ? std::atol(given)
                                      : line.nightly() ? 24 * 3600
                                                       : 12);
  std::string figure = cycles(line, how_long);
  figure += "; " + one_large_run(line, 1000, 1000);
  // Page caches are full after three million.
  if (line.nightly()) figure += "; " + ever_new_tasks(line, 2000, 5000);
  return line.finish(figure);
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::init(argc, argv);
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
