// Job arrays: one element for each task, its job and result in files of the spool as behind a
// prefix.
#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "runtime/executors/backoff.h"
#include "runtime/executors/seconds.h"
#include "runtime/executors/slurm.h"
#include "runtime/executors/spool.h"
#include "runtime/worker.h"
#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

constexpr std::chrono::milliseconds kGather{50};
constexpr std::chrono::milliseconds kFirstLook{50};
constexpr std::chrono::milliseconds kLongestLook{1000};
constexpr std::size_t kMostAtOnce = 1000;
constexpr int kMostAttempts = 3;
constexpr const char* interrupted = "the run was interrupted";

}  // namespace

class SlurmArrays::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& context, std::shared_ptr<SlurmCluster> cluster, PrefixOptions options,
       JobEvents events)
      : cluster_(std::move(cluster)), options_(std::move(options)), events_(std::move(events)),
        alive_(options_.spool), gather_(context), look_(context), retry_(context) {}

  void submit(PrefixJob job) {
    if (stopping_) throw ExecutorError(interrupted);
    elements_[job.number].files = SpoolFiles(options_.spool / ("job-" + os_unique_name()));
    waiting_.push_back(std::move(job));
    gather();
  }

  void request_stop() {
    stopping_ = true;
    gather_.cancel();
    retry_.cancel();
    for (const PrefixJob& job : std::exchange(waiting_, {})) lose(job.number, interrupted);
    for (const PrefixJob& job : std::exchange(again_, {})) lose(job.number, interrupted);
    events_.idle();
    for (const auto& [id, array] : arrays_) cluster_->cancel(id);
  }

  void close() {
    closed_ = true;
    retry_.cancel();
    gather_.cancel();
    look_.cancel();
    for (const auto& [id, array] : arrays_) cluster_->cancel(id);
    for (const auto& [number, element] : elements_) {
      if (!element.id.empty()) cluster_->forget(element.id);
      element.files.remove();
      element.files.remove_output();
    }
    elements_.clear();
  }

  [[nodiscard]] fs::path stem_of(std::uint64_t number) const {
    const auto found = elements_.find(number);
    return found == elements_.end() ? fs::path() : found->second.files.stem();
  }

 private:
  struct Element {
    std::vector<std::byte> message;  // kept: it may have to be submitted again
    SpoolFiles files{fs::path()};    // set when it is submitted
    std::string id;                  // ARRAY_INDEX
    int attempts = 1;
    Clock::time_point submitted;
    bool ended = false;      // Slurm does not list it any more
    bool end_known = false;  // ... and has said how it ended:
    WorkerEnd end;
    Clock::time_point until;  // a result is waited for so long
  };

  void gather() {
    if (std::exchange(gathering_, true)) return;
    gather_.expires_after(kGather);
    gather_.async_wait([self = shared_from_this()](error_code error) {
      self->gathering_ = false;
      if (error || self->closed_) return;
      if (self->limit_ > 0) return self->send();
      self->cluster_->ask_array_limit([self](int limit) {
        self->limit_ = std::min<std::size_t>(kMostAtOnce, static_cast<std::size_t>(limit));
        if (!self->closed_) self->send();
      });
    });
  }

  void send() {
    while (!waiting_.empty()) {
      const std::size_t count = std::min(limit_, waiting_.size());
      std::vector<PrefixJob> jobs(
          std::make_move_iterator(waiting_.begin()),
          std::make_move_iterator(waiting_.begin() + static_cast<std::ptrdiff_t>(count)));
      waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
      std::vector<std::uint64_t> numbers;
      for (const PrefixJob& job : jobs) numbers.push_back(job.number);
      try {
        send_array(std::move(jobs));
      } catch (const std::exception& error) {  // the disk is full, say
        for (const std::uint64_t number : numbers) lose(number, error.what());
        events_.idle();
      }
    }
  }

  void send_array(std::vector<PrefixJob> jobs) {
    const std::string token = cluster_->new_token();
    const fs::path stem = options_.spool / token;
    Welcome welcome;
    welcome.root = options_.root.string();
    welcome.build = options_.build;
    welcome.directory =
        options_.directory.empty() ? fs::current_path().string() : options_.directory.string();
    welcome.alive = alive_.path().string();
    std::vector<std::uint64_t> numbers;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      Element& element = elements_[jobs[i].number];
      element.files = SpoolFiles(stem.native() + "-" + std::to_string(i));
      if (element.message.empty()) element.message = std::move(jobs[i].message);
      element.files.write_job(welcome, element.message);
      element.submitted = Clock::now();
      element.ended = element.end_known = false;
      numbers.push_back(jobs[i].number);
    }
    const fs::path script = stem.native() + ".sh";
    cluster_->write_script(script, {own_program(), array_flag, stem.string()});
    cluster_->submit(
        token, script, {"--array=0-" + std::to_string(jobs.size() - 1)},
        [self = shared_from_this(), script, numbers](const SlurmCluster::Submission& submission) {
          ::unlink(script.c_str());
          self->submitted(numbers, submission);
        });
  }

  void submitted(const std::vector<std::uint64_t>& numbers,
                 const SlurmCluster::Submission& submission) {
    const std::string& id = submission.id;
    if (closed_ || stopping_) {
      if (!id.empty()) cluster_->cancel(id);
      if (closed_) return;
    }
    if (!id.empty()) arrays_.emplace(id, numbers.size());
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const std::uint64_t number = numbers[i];
      const auto found = elements_.find(number);
      if (found == elements_.end()) continue;
      if (id.empty()) {
        if (submission.refused || stopping_) lose(number, submission.error);
        else submit_again(number);
        continue;
      }
      found->second.id = id + "_" + std::to_string(i);
      cluster_->watch(found->second.id,
                      [self = shared_from_this(), number](const SlurmCluster::Seen* now) {
                        self->seen(number, now);
                      });
    }
    events_.idle();
    pause_ = kFirstLook;
    look();
  }

  void seen(std::uint64_t number, const SlurmCluster::Seen* now) {
    const auto found = elements_.find(number);
    if (found == elements_.end() || found->second.ended) return;
    const bool lives =
        now != nullptr &&
        (now->state == "PENDING" || now->state == "RUNNING" || now->state == "COMPLETING" ||
         now->state == "CONFIGURING" || now->state == "SUSPENDED" || now->state == "REQUEUED");
    if (lives) return;
    found->second.ended = true;
    cluster_->forget(found->second.id);
    cluster_->show(found->second.id, [self = shared_from_this(), number](const std::string& shown) {
      const auto element = self->elements_.find(number);
      if (element == self->elements_.end()) return;
      element->second.end = slurm_end(shown);
      const double wait = element->second.end.blame != Blame::task &&
                                  shown.find("JobState=COMPLETED") == std::string::npos
                              ? 0.0
                              : self->options_.result_wait;
      element->second.until = Clock::now() + from_seconds(wait);
      element->second.end_known = true;
    });
  }

  // One listing of the spool tells of all results.
  void look() {
    if (closed_ || looking_) return;
    looking_ = true;
    look_.expires_after(pause_);
    look_.async_wait([self = shared_from_this()](error_code error) {
      self->looking_ = false;
      if (error || self->closed_) return;
      self->pause_ = self->take_results()
                         ? kFirstLook
                         : std::min<std::chrono::milliseconds>(self->pause_ * 2, kLongestLook);
      if (!self->elements_.empty()) self->look();
    });
  }

  bool take_results() {
    std::set<std::string> there;
    std::vector<std::string> names;
    if (!os_list(options_.spool, names) && errno != ENOENT) return false;  // not seen is not ended
    for (const fs::path name : names) {
      if (name.extension() == ".result") there.insert(name.stem().string());
    }
    std::vector<std::uint64_t> done;
    std::vector<std::uint64_t> over;
    for (const auto& [number, element] : elements_) {
      if (there.contains(element.files.stem().filename().string())) done.push_back(number);
      else if (element.end_known && Clock::now() >= element.until) over.push_back(number);
    }
    for (const std::uint64_t number : done) take_result(number);
    for (const std::uint64_t number : over) take_end(number);
    if (!done.empty() || !over.empty()) events_.idle();
    return !done.empty();
  }

  void take_result(std::uint64_t number) {
    Element& element = elements_.at(number);
    auto result = element.files.read_result(number);
    if (!result) return;
    if (!*result) return lose(number, result->reason());
    JobResult value = std::move(***result);
    element.files.remove_output();
    remove(number);
    backoff_.succeeded();
    events_.result(std::move(value));
  }

  // It has ended without a result.
  void take_end(std::uint64_t number) {
    Element& element = elements_.at(number);
    if (stopping_) return lose(number, interrupted);
    const Blame blame = element.end.blame;
    if (blame == Blame::task || (blame == Blame::unclear && element.attempts >= kMostAttempts)) {
      const std::string lasting =
          blame == Blame::unclear ? std::to_string(kMostAttempts) + " attempts ended, the last: "
                                  : "";
      return lose(number, lasting + element.end.cause + ", and there is no result of the task");
    }
    if (blame == Blame::unclear) ++element.attempts;
    // The first one speaks for all that are lost together.
    if (!backing_off_) cluster_->settings().tell(element.end.cause + "; it is submitted again");
    element.end_known = false;
    leave_array(element);
    submit_again(number);
  }

  // What the infrastructure has ended, after a while: longer each time nothing comes of it.
  void submit_again(std::uint64_t number) {
    elements_.at(number).files.remove();
    elements_.at(number).files.remove_output();
    PrefixJob again;
    again.number = number;
    again_.push_back(std::move(again));
    if (std::exchange(backing_off_, true)) return;
    retry_.expires_after(backoff_.failed());
    retry_.async_wait([self = shared_from_this()](error_code error) {
      self->backing_off_ = false;
      if (error || self->closed_) return;
      for (PrefixJob& job : std::exchange(self->again_, {}))
        self->waiting_.push_back(std::move(job));
      if (!self->waiting_.empty()) self->gather();
    });
  }

  void lose(std::uint64_t number, const std::string& cause) {
    const Element& element = elements_.at(number);
    const std::chrono::duration<double> lasted = Clock::now() - element.submitted;
    const Hello begun = element.files.withdraw();
    events_.lost(
        {number, cause, element.files.stem(), begun.host, lasted.count(), element.attempts});
    remove(number);
  }

  void remove(std::uint64_t number) {
    const auto found = elements_.find(number);
    leave_array(found->second);
    found->second.files.remove();
    elements_.erase(found);
  }

  void leave_array(Element& element) {
    if (element.id.empty()) return;
    cluster_->forget(element.id);
    const auto array = arrays_.find(element.id.substr(0, element.id.find('_')));
    if (array != arrays_.end() && --array->second == 0) arrays_.erase(array);
    element.id.clear();
  }

  const std::shared_ptr<SlurmCluster> cluster_;
  const PrefixOptions options_;
  const JobEvents events_;
  AliveFile alive_;
  asio::steady_timer gather_;
  bool gathering_ = false;
  asio::steady_timer look_;
  asio::steady_timer retry_;
  Backoff backoff_{std::chrono::milliseconds(250), std::chrono::milliseconds(30'000)};
  std::vector<PrefixJob> waiting_;
  std::vector<PrefixJob> again_;               // until the backoff is over
  std::map<std::uint64_t, Element> elements_;  // by number
  std::map<std::string, std::size_t> arrays_;  // elements that are not finished
  std::chrono::milliseconds pause_ = kFirstLook;
  std::size_t limit_ = 0;
  bool looking_ = false;
  bool backing_off_ = false;
  bool stopping_ = false;
  bool closed_ = false;
};

SlurmArrays::SlurmArrays(asio::io_context& context, std::shared_ptr<SlurmCluster> cluster,
                         PrefixOptions options, JobEvents events)
    : impl_(std::make_shared<Impl>(context, std::move(cluster), std::move(options),
                                   std::move(events))) {}
SlurmArrays::~SlurmArrays() { impl_->close(); }
void SlurmArrays::submit(PrefixJob job) { impl_->submit(std::move(job)); }
void SlurmArrays::request_stop() { impl_->request_stop(); }
void SlurmArrays::close() { impl_->close(); }
fs::path SlurmArrays::stem_of(std::uint64_t number) const { return impl_->stem_of(number); }

}  // namespace stook::detail
