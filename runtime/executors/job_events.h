// job_events.h - what an executor tells of the jobs it was given. Values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "src/job.h"

namespace stook::detail {

// Why a job has no result though somebody had it.
struct LostJob {
  std::uint64_t number = 0;
  std::string cause;           // "killed by signal 11 (Segmentation fault)", ...
  std::filesystem::path stem;  // of the TaskOutput of whoever executed it
  std::string host;            // empty: nobody has said that he began it
  double seconds = 0;          // between its beginning and its end, as the driver saw them
  int attempt = 1;
  bool out_of_sight = false;  // whoever executed it is on another kernel and may not have ended
};

// Called on the thread of the executor's io_context.
struct JobEvents {
  std::function<void(JobResult&&)> result;
  std::function<void(const LostJob&)> lost;
  std::function<void(const JobProgress&)> progress;
  std::function<void(std::uint64_t number)> returned;  // nobody has begun it, nobody will: hold()
  std::function<void()> idle;                          // what there was has been told
  // Nobody can be had to execute it, and nobody does.
  std::function<void(std::uint64_t number, const std::string& why)> refused;
};

}  // namespace stook::detail
