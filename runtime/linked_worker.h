// linked_worker.h - executes the jobs that come over a link, one after the other, and sends their
// results back, until the driver has no more or is gone.
// Unaware of where the driver is. Design: runtime/executors/README.md
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>

#include "runtime/driver_link.h"

namespace stook::detail {

// `mark`: where the number of the job that has begun is noted; null: the driver is told.
// `stem`: of the files of what tasks print. The process ends with its group where the driver goes
// away in the middle of a task; else the exit status is returned.
int serve_link(DriverLink& link, std::atomic<std::uint64_t>* mark,
               const std::filesystem::path& stem);

}  // namespace stook::detail
