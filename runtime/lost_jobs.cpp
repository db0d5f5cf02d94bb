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
  const Waiting& waiting = found->second;
  const bool lives = waiting.job.job.out_of_sight || store_.is_executed(waiting.key);
  if (lives && Clock::now() < waiting.until && !STOOK_MUTANT("wait-for-end")) {
    const auto timer = std::make_shared<asio::steady_timer>(context_, kLookAgain);
    timer->async_wait([this, timer, number](boost::system::error_code) { look(number); });
    return;
  }
  const auto ended = waiting_.extract(found);
  ended_(ended.mapped().job);
}

void LostJobs::end_all() {
  while (!waiting_.empty()) {
    auto ended = waiting_.extract(waiting_.begin());
    ended.mapped().job.may_live = true;
    ended_(ended.mapped().job);
  }
}

}  // namespace stook::detail
