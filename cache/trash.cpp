#include "cache/trash.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <unordered_set>
#include <vector>

#include "cache/attempt_marker.h"
#include "src/mutant.h"
#include "src/os.h"

namespace stook::detail {
namespace {

constexpr const char* kClearing = "clearing-";

std::filesystem::path place_of(const Layout& layout, const ClearedTask& task) {
  return layout.tasks / safe_name(task.class_name) / std::to_string(task.id);
}

std::filesystem::path new_place(const Layout& layout) { return layout.trash / os_unique_name(); }

}  // namespace

void keep_with_directory(const Layout& layout, std::vector<ClearedTask>& tasks) {
  if (tasks.size() == 1) {
    std::error_code ignored;
    if (!std::filesystem::exists(place_of(layout, tasks[0]), ignored)) tasks.clear();
    return;
  }
  std::map<std::string, std::unordered_set<std::string>> there;  // of each class
  std::erase_if(tasks, [&](const ClearedTask& task) {
    const std::string name = safe_name(task.class_name);
    const auto [at, is_new] = there.try_emplace(name);
    if (is_new) {
      std::vector<std::string> ids;
      (void)os_list(layout.tasks / name, ids);
      at->second.insert(ids.begin(), ids.end());
    }
    return !at->second.contains(std::to_string(task.id));
  });
}

void move_to_trash(const Layout& layout, const ClearedTask& task) {
  (void)os_rename(place_of(layout, task), new_place(layout));
}

void move_rest_to_trash(const Layout& layout, const ClearedTask& task) {
  std::error_code error;
  const bool link = std::filesystem::is_symlink(place_of(layout, task), error);
  if (link && !STOOK_MUTANT("clear-links")) return move_to_trash(layout, task);
  std::vector<std::string> names;
  (void)os_list(place_of(layout, task), names);
  for (const std::string& name : names) {
    if (name.starts_with("data")) continue;  // also what a rebuild has moved aside
    (void)os_rename(place_of(layout, task) / name, new_place(layout));
  }
}

std::filesystem::path mark_clearing(const Layout& layout) {
  const auto mark = layout.trash.parent_path() / (kClearing + os_unique_name());
  (void)os_open(mark, O_CREAT | O_WRONLY);  // without it a directory may stay
  return mark;
}

void finish_clearing(const Layout& layout,
                     const std::function<bool(std::uint64_t id)>& is_cleared) {
  std::vector<std::string> names, classes, ids;
  (void)os_list(layout.trash.parent_path(), names);
  const auto is_mark = [](const std::string& name) { return name.starts_with(kClearing); };
  if (std::none_of(names.begin(), names.end(), is_mark)) return;
  (void)os_list(layout.tasks, classes);
  for (const std::string& name : classes) {
    ids.clear();
    (void)os_list(layout.tasks / name, ids);
    for (const std::string& id : ids) {
      std::uint64_t number = 0;
      const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
      if (error != std::errc() || end != id.data() + id.size() || !is_cleared(number)) continue;
      (void)os_rename(layout.tasks / name / id, new_place(layout));
    }
  }
}

// Another process may be removing them too; what is left is removed the next time.
void empty_trash(const Layout& layout) {
  std::vector<std::string> names;
  (void)os_list(layout.trash, names);  // what is not seen now is seen the next time
  for (const std::string& name : names) (void)os_remove_tree(layout.trash / name);
}

void sweep_spool(const Layout& layout) {
  const auto spool = layout.trash.parent_path();
  std::vector<std::string> names;
  (void)os_list(spool, names);
  for (const std::string& name : names) {
    // What was moved aside for a rebuild is given back by whoever runs tasks.
    if (is_marker(spool / name) || spool / name == layout.trash) continue;
    (void)os_remove_tree(spool / name);
  }
}

}  // namespace stook::detail
