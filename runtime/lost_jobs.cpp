#include "runtime/lost_jobs.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "cache/execution_lock.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::milliseconds kLookAgain{10};

}  // namespace

void LostJobs::add(EndedJob job, const Key& key) {
  const std::uint64_t number = job.job.number;
  waiting_.insert_or_assign(number, Waiting{std::move(job), key, Clock::now() + kFence});
  look(number);
}

void LostJobs::look(std::uint64_t number) {
  const auto found = waiting_.find(number);
  if (found == waiting_.end()) return;
  Waiting& waiting = found->second;
  const bool is_seen = store_.is_executed(waiting.key);
  waiting.seen = waiting.seen || is_seen;
  const bool lives = is_seen || (waiting.job.job.out_of_sight && !waiting.seen);
  if (lives && Clock::now() < waiting.until && !STOOK_MUTANT("wait-for-end")) {
    const auto timer = std::make_shared<asio::steady_timer>(context_, kLookAgain);
    timer->async_wait([this, timer, number](boost::system::error_code) { look(number); });
    return;
  }
  const auto ended = waiting_.extract(found);
  ended_(ended.mapped().job);
}

void LostJobs::end_all() {
  while (!waiting_.empty()) end_waiting(waiting_.begin());
}

void LostJobs::end_unseen() {
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    const auto next = std::next(at);
    if (at->second.job.job.out_of_sight && !at->second.seen) end_waiting(at);
    at = next;
  }
}

void LostJobs::end_waiting(std::map<std::uint64_t, Waiting>::iterator at) {
  auto ended = waiting_.extract(at);
  ended.mapped().job.may_live = true;
  ended_(ended.mapped().job);
}

}  // namespace stook::detail
