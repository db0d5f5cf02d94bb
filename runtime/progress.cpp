#include "runtime/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

#include "src/context.h"
#include "src/shown.h"

namespace stook::detail {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto frame = std::chrono::milliseconds(100);
constexpr auto plain_interval = std::chrono::seconds(10);

std::string duration_text(double seconds) {
  const auto whole = static_cast<long>(seconds + 0.5);
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

// Where nobody can read it, it is not said: that is no reason for a run to end.
template <class... Arguments>
void print(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  const std::string text = fmt::format(format, std::forward<Arguments>(arguments)...);
  (void)std::fwrite(text.data(), 1, text.size(), stderr);
}

int terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

// The counts of one class, and the sum of what its unfinished tasks are expected to take.
struct Line {
  std::string name;
  std::size_t total = 0;
  std::size_t done = 0;
  std::size_t running = 0;
  std::size_t failed = 0;
  double expected_seconds = 0;
  bool is_known = false;  // expected_seconds comes from history, or from this run
};

class Display final : public RunObserver {
 public:
  explicit Display(bool bar) : bar_(bar), color_(bar && std::getenv("NO_COLOR") == nullptr) {}
  ~Display() override { stop(); }

  void run_started(const Plan& plan) override {
    stop();
    lines_.clear();
    for (const PlannedClass& planned : plan.classes) {
      lines_.push_back(
          {planned.info->name, 0, 0, 0, 0, planned.expected_seconds, planned.has_history});
    }
    for (const NodeIndex node : plan.order) ++lines_[plan.nodes[node].class_slot].total;
    if (plan.order.empty()) return;
    start_ = Clock::now();
    stopping_ = false;
    thread_ = std::thread([this] { redraw_now_and_then(); });
  }
  void task_started(const Plan& plan, NodeIndex node) override {
    const std::lock_guard lock(mutex_);
    ++line(plan, node).running;
    latest_ = plan.nodes[node].spec;
  }
  void task_finished(const Plan& plan, NodeIndex node, double seconds) override {
    const std::lock_guard lock(mutex_);
    Line& of = line(plan, node);
    --of.running;
    ++of.done;
    // Learns as it goes: history may be another machine's.
    if (!of.is_known) of.expected_seconds = seconds;
    of.is_known = true;
    of.expected_seconds += (seconds - of.expected_seconds) / static_cast<double>(of.done);
  }
  void task_unchanged(const Plan& plan, NodeIndex node) override {
    const std::lock_guard lock(mutex_);
    ++line(plan, node).done;
  }
  void task_failed(const Plan& plan, NodeIndex node, const Failure& failure) override {
    const std::lock_guard lock(mutex_);
    Line& of = line(plan, node);
    --of.running;
    ++of.failed;
    erase();
    print("failed: {}{}: {}\n", failure.class_name, shortened(shown(failure.arguments), 120),
          shortened(shown(failure.cause), 4000));
  }
  void task_elsewhere(const Plan& plan, NodeIndex node) override {
    const std::lock_guard lock(mutex_);
    --line(plan, node).running;
  }
  void run_finished(const Stats& stats) override {
    stop();
    print("{} ran, {} from the cache, {} unchanged{}{} in {:.2f} s\n", stats.ran, stats.cached,
          stats.unchanged, stats.failed > 0 ? fmt::format(", {} failed", stats.failed) : "",
          stats.skipped > 0 ? fmt::format(", {} skipped", stats.skipped) : "", stats.wall_seconds);
  }

 private:
  Line& line(const Plan& plan, NodeIndex node) { return lines_[plan.nodes[node].class_slot]; }

  void redraw_now_and_then() {
    std::unique_lock lock(mutex_);
    const auto interval = bar_ ? std::chrono::duration_cast<Clock::duration>(frame)
                               : std::chrono::duration_cast<Clock::duration>(plain_interval);
    while (!wake_.wait_for(lock, interval, [this] { return stopping_; })) {
      if (bar_) {
        draw();
      } else {
        print_plain();
      }
    }
    erase();
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  [[nodiscard]] double remaining_seconds() const {
    double work = 0;
    std::size_t running = 0;
    for (const Line& of : lines_) {
      // A class nobody has seen run yet is left out: a guess would be worse than none.
      const auto left = static_cast<double>(of.total - std::min(of.total, of.done + of.failed));
      if (of.is_known) work += left * of.expected_seconds;
      running += of.running;
    }
    return work / static_cast<double>(std::max<std::size_t>(1, running));
  }

  void erase() {
    if (drawn_ > 0) print("\x1b[{}A\x1b[J", drawn_);
    drawn_ = 0;
  }

  void draw() {
    erase();
    const int width = terminal_width();
    for (const Line& of : lines_) {
      if (of.running == 0) continue;
      print_line(of, width);
      ++drawn_;
    }
    std::string last = fmt::format("{} elapsed, at least {} to go", duration_text(elapsed()),
                                   duration_text(remaining_seconds()));
    if (latest_) last += "  " + future_text(*latest_);
    print("{:.{}}\n", last, width - 1);
    ++drawn_;
    std::fflush(stderr);
  }

  void print_line(const Line& of, int width) const {
    constexpr int name_width = 24;
    const int cells = std::clamp(width - name_width - 40, 0, 40);
    const int filled = static_cast<int>(static_cast<std::size_t>(cells) * of.done /
                                        std::max<std::size_t>(1, of.total));
    std::string text = fmt::format("{:<{}.{}} ", of.name, name_width, name_width);
    if (color_) text += "\x1b[32m";
    for (int i = 0; i < cells; ++i) text += i < filled ? "━" : "─";
    if (color_) text += "\x1b[0m";
    text += fmt::format(" {}/{}, {} running", of.done, of.total, of.running);
    if (of.failed > 0) text += fmt::format(", {} failed", of.failed);
    print("{}\n", text);
  }

  void print_plain() const {
    std::string text;
    for (const Line& of : lines_) {
      if (of.total == 0) continue;
      text += fmt::format("{}{} {}/{}", text.empty() ? "" : ", ", of.name, of.done, of.total);
      if (of.running > 0) text += fmt::format(" ({} running)", of.running);
      if (of.failed > 0) text += fmt::format(" ({} failed)", of.failed);
    }
    print("{}: {}; at least {} to go\n", duration_text(elapsed()), text,
          duration_text(remaining_seconds()));
  }

  [[nodiscard]] double elapsed() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }

  const bool bar_;
  const bool color_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Line> lines_;  // GUARDED_BY(mutex_), as all below
  SpecPtr latest_;
  Clock::time_point start_;
  int drawn_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<RunObserver> make_progress(Progress how) {
  if (how == Progress::none) return std::make_unique<RunObserver>();
  const bool bar =
      how == Progress::bar || (how == Progress::automatic && ::isatty(STDERR_FILENO) == 1);
  return std::make_unique<Display>(bar);
}

}  // namespace stook::detail
