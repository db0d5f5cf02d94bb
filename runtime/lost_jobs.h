// lost_jobs.h - jobs that have no result, until whoever executed them has ended: he may live, and
// write into what is given back, or into what the next one makes.
// Unaware of what becomes of them. Belongs to the thread that runs its io_context.
// Design: runtime/executors/README.md, "Who is given up and lives"
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>

#include "runtime/executors/job_events.h"
#include "runtime/task_output.h"
#include "src/store.h"

namespace boost::asio {
class io_context;
}

namespace stook::detail {

struct EndedJob {
  LostJob job;
  TaskOutput::Written written;  // in its logs already: its files may be gone
  bool may_live = false;        // its directory is for who executes it next
};

class LostJobs {
 public:
  // `ended` is called once for each, from within add() where nobody is to be waited for.
  LostJobs(boost::asio::io_context& context, Store& store,
           std::function<void(const EndedJob&)> ended)
      : context_(context), store_(store), ended_(std::move(ended)) {}

  void add(EndedJob job, const Key& key);
  void end_all();     // waits for nobody any more
  void end_unseen();  // nor for those of whom nothing is seen

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    EndedJob job;
    Key key;
    Clock::time_point until;
    bool seen = false;  // then it is seen, too, when he ends
  };
  void look(std::uint64_t number);
  void end_waiting(std::map<std::uint64_t, Waiting>::iterator at);

  boost::asio::io_context& context_;
  Store& store_;
  const std::function<void(const EndedJob&)> ended_;
  std::map<std::uint64_t, Waiting> waiting_;  // by the job's number
};

}  // namespace stook::detail
