// trash.h - removes the directories of cleared tasks. They are first moved aside, in one step each,
// so that nobody sees half of one, and deleted then.
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cache/layout.h"

#include <stook/key.hpp>

namespace stook::detail {

struct ClearedTask {
  std::string class_name;
  std::uint64_t id = 0;
  Key key;
};

// Removes from `tasks` those that have no directory: most have none.
void keep_with_directory(const Layout& layout, std::vector<ClearedTask>& tasks);
// What cannot be moved stays: the directory of a result that is missing means nothing.
void move_to_trash(const Layout& layout, const ClearedTask& task);
// But for its data, which somebody reads.
void move_rest_to_trash(const Layout& layout, const ClearedTask& task);
void empty_trash(const Layout& layout);

// Directories of cleared tasks are going: until the returned file is removed, whoever opens the
// cache alone knows that some may have been left.
[[nodiscard]] std::filesystem::path mark_clearing(const Layout& layout);
// Moves those that were left; nothing happens where no mark is. REQUIRES: nobody has the cache
// open.
void finish_clearing(const Layout& layout, const std::function<bool(std::uint64_t id)>& is_cleared);

// Jobs, results and output of processes whose driver has died. REQUIRES: nobody has the cache open.
void sweep_spool(const Layout& layout);

}  // namespace stook::detail
