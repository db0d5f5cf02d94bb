// trash.h - removes the directories of cleared tasks. They are first moved aside, in one step each,
// so that nobody sees half of one, and deleted when the clear is committed.
// Thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "cache/layout.h"

namespace stook::detail {

using TaskName = std::pair<std::string, std::uint64_t>;  // class and id

void move_to_trash(const Layout& layout, std::span<const TaskName> tasks);
void empty_trash(const Layout& layout);
// Jobs, results and output of processes whose driver has died. REQUIRES: nobody has the cache open.
void sweep_spool(const Layout& layout);

}  // namespace stook::detail
