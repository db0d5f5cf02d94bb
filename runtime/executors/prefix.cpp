#include "runtime/executors/prefix.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <fstream>

#include "runtime/executors/seconds.h"
#include "runtime/executors/spool.h"
#include "runtime/memory_group.h"
#include "runtime/task_output.h"
#include "runtime/worker.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

constexpr std::chrono::milliseconds kFirstLook{20};
constexpr std::chrono::milliseconds kLastLook{1000};
constexpr std::chrono::seconds kGrace{2};
constexpr double kWaitAfterFailure = 2;  // seconds, where the command itself says that it failed

}  // namespace

// --- One process -----------------------------------------------------------------------------

class PrefixRunner::Child : public std::enable_shared_from_this<Child> {
 public:
  Child(PrefixRunner& runner, PrefixJob job)
      : runner_(runner), job_(std::move(job)), limit_(runner.context_), look_(runner.context_),
        files_(runner.options_.spool / ("job-" + os_unique_name())) {}

  void start() {
    Welcome welcome;
    welcome.root = runner_.options_.root.string();
    welcome.build = runner_.options_.build;
    welcome.directory = runner_.options_.directory.empty() ? fs::current_path().string()
                                                           : runner_.options_.directory.string();
    welcome.alive = runner_.alive_.path().string();
    files_.write_job(welcome, job_.message);
    job_.message = {};
    LaunchSpec spec;
    spec.argv = job_.words;
    spec.argv.insert(spec.argv.end(), {own_program(), job_flag, files_.job().string()});
    spec.environment = allowed_environment(runner_.options_.environment);
    spec.directory = runner_.options_.directory;
    const Fd out = os_open(output_.out, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND);
    const Fd err = os_open(output_.err, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND);
    spec.out = out.get();
    spec.err = err.get();
    try {
      pid_ = runner_.launcher_.start(
          spec, [self = shared_from_this()](Exit exit) { self->exited(exit); });
    } catch (...) {
      clean();
      throw;
    }
    if (job_.timeout <= 0) return;
    char text[64];
    std::snprintf(text, sizeof text, "its time limit of %g s has passed", job_.timeout);
    kill_after(from_seconds(job_.timeout), text);
  }

  void terminate(std::string why) {
    if (done_) return;
    if (cause_.empty()) cause_ = std::move(why);
    signal_group(pid_, SIGTERM);
    kill_after(kGrace, "");
  }

  [[nodiscard]] const fs::path& stem() const { return files_.stem(); }

  void kill() {
    done_ = true;
    limit_.cancel();
    look_.cancel();
    signal_group(pid_, SIGKILL);
    clean();
  }

 private:
  void kill_after(std::chrono::nanoseconds after, std::string why) {
    limit_.expires_after(after);
    limit_.async_wait([self = shared_from_this(), why = std::move(why)](error_code error) {
      if (error || self->done_) return;
      if (why.empty()) return signal_group(self->pid_, SIGKILL);
      self->terminate(why);
    });
  }

  void exited(Exit exit) {
    if (done_) return;
    exit_ = exit;
    limit_.cancel();
    // A wrapper that is killed may leave the task behind; one that ends well may have handed it on.
    const bool well = exit.signal == 0 && exit.code == 0;
    if (exit.signal != 0 || !cause_.empty()) signal_group(pid_, SIGKILL);
    out_of_memory_ = !well && MemoryGroup::settle(files_.stem());
    const double wait = !cause_.empty() ? 0.0
                        : well          ? runner_.options_.result_wait
                                        : std::min(kWaitAfterFailure, runner_.options_.result_wait);
    until_ = Clock::now() + from_seconds(wait);
    look();
  }

  // The result is what decides, whenever it shows up.
  void look() {
    if (done_) return;
    if (auto result = files_.read_result(job_.number)) {
      if (*result) return finish(std::move(***result));
      return lose((*result).reason());
    }
    if (Clock::now() >= until_) return lose(cause_.empty() ? no_result() : cause_);
    look_.expires_after(pause_);
    pause_ = std::min(pause_ * 2, kLastLook);
    look_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->look();
    });
  }

  [[nodiscard]] std::string no_result() const {
    std::string text =
        job_.words.empty() ? "its process" : "the prefix command '" + job_.words[0] + "'";
    text += " ended with " + describe_exit(exit_) + " and there is no result of the task";
    if (out_of_memory_)
      text += "; out of memory: more was used than allowed (task_memory, --memory)";
    const std::string said = last_lines(output_.err, 5);
    if (!said.empty()) text += "; the command said: " + said;
    return text;
  }

  void finish(JobResult&& result) {
    done_ = true;
    keep_wrapper_output();
    clean();
    runner_.events_.result(std::move(result));
    runner_.events_.idle();
    runner_.remove(job_.number);
  }

  void lose(const std::string& cause) {
    done_ = true;
    const Hello begun = files_.withdraw();
    (void)MemoryGroup::settle(files_.stem());  // what was killed in it has ended by now
    keep_wrapper_output();
    const std::chrono::duration<double> lasted = Clock::now() - started_;
    const bool out_of_sight = !begun.host.empty() && begun.kernel != os_kernel_name();
    runner_.events_.lost(
        {job_.number, cause, files_.stem(), begun.host, lasted.count(), 1, out_of_sight});
    runner_.events_.idle();
    files_.remove();
    runner_.outputs_.push_back(std::move(output_));
    runner_.remove(job_.number);
  }

  // What is left are empty files.
  void keep_wrapper_output() const {
    const auto keep = [&](const fs::path& file, const char* name) {
      std::error_code error;
      if (fs::file_size(file, error) == 0 || error) return;
      (void)move_log(file, job_.logs / name);
    };
    keep(output_.out, "wrapper.stdout");
    keep(output_.err, "wrapper.stderr");
  }

  void clean() {
    files_.remove();
    files_.remove_output();
    runner_.outputs_.push_back(std::move(output_));
  }

  PrefixRunner& runner_;
  PrefixJob job_;
  asio::steady_timer limit_;
  asio::steady_timer look_;
  const SpoolFiles files_;
  WrapperOutput output_ = runner_.take_output();
  pid_t pid_ = 0;
  Exit exit_;
  bool out_of_memory_ = false;
  std::string cause_;  // why we ended it ourselves
  const Clock::time_point started_ = Clock::now();
  Clock::time_point until_;
  std::chrono::milliseconds pause_ = kFirstLook;
  bool done_ = false;
};

// --- All of them -----------------------------------------------------------------------------

PrefixRunner::PrefixRunner(asio::io_context& context, ProcessLauncher& launcher,
                           PrefixOptions options, JobEvents events)
    : context_(context), launcher_(launcher), options_(std::move(options)),
      events_(std::move(events)), alive_(options_.spool) {}

PrefixRunner::~PrefixRunner() { close(); }

void PrefixRunner::submit(PrefixJob job) {
  if (!std::exchange(many_files_, true)) allow_many_files();
  const std::uint64_t number = job.number;
  auto child = std::make_shared<Child>(*this, std::move(job));
  child->start();
  children_.emplace(number, std::move(child));
}

std::filesystem::path PrefixRunner::stem_of(std::uint64_t number) const {
  const auto found = children_.find(number);
  return found == children_.end() ? fs::path() : found->second->stem();
}

PrefixRunner::WrapperOutput PrefixRunner::take_output() {
  if (outputs_.empty()) {
    const std::string stem = (options_.spool / ("wrapper-" + os_unique_name())).string();
    return {stem + ".stdout", stem + ".stderr"};
  }
  WrapperOutput output = std::move(outputs_.back());
  outputs_.pop_back();
  return output;
}

void PrefixRunner::remove(std::uint64_t number) { children_.erase(number); }

void PrefixRunner::request_stop() {
  for (const auto& [number, child] : children_) child->terminate("the run was interrupted");
}

void PrefixRunner::close() {
  for (const auto& [number, child] : children_) child->kill();
  children_.clear();
  for (const WrapperOutput& output : std::exchange(outputs_, {})) {
    ::unlink(output.out.c_str());
    ::unlink(output.err.c_str());
  }
}

}  // namespace stook::detail
