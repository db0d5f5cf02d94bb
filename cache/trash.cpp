#include "cache/trash.h"

#include <map>
#include <unordered_set>
#include <vector>

#include "src/os.h"

namespace stook::detail {
namespace {

std::filesystem::path new_place(const Layout& layout) { return layout.trash / os_unique_name(); }

// Only the directories that are there are touched: most tasks have none.
void move_class(const Layout& layout, const std::filesystem::path& directory,
                const std::unordered_set<std::string>& ids) {
  std::error_code error;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (ids.contains(entry.path().filename().string())) found.push_back(entry.path());
  }
  for (const auto& path : found) (void)os_rename(path, new_place(layout));
  std::filesystem::remove(directory, error);  // only if nothing is left in it
}

}  // namespace

void move_to_trash(const Layout& layout, std::span<const TaskName> tasks) {
  if (tasks.size() == 1) {
    const auto path = layout.tasks / safe_name(tasks[0].first) / std::to_string(tasks[0].second);
    (void)os_rename(path, new_place(layout));
    return;
  }
  std::map<std::string, std::unordered_set<std::string>> by_class;
  for (const auto& [name, id] : tasks) by_class[safe_name(name)].insert(std::to_string(id));
  for (const auto& [name, ids] : by_class) move_class(layout, layout.tasks / name, ids);
}

void empty_trash(const Layout& layout) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(layout.trash, error)) {
    std::error_code ignored;  // another process may be removing it too
    std::filesystem::remove_all(entry.path(), ignored);
  }
}

void sweep_spool(const Layout& layout) {
  std::error_code error;
  const auto spool = layout.trash.parent_path();
  for (const auto& entry : std::filesystem::directory_iterator(spool, error)) {
    std::error_code ignored;
    const std::string name = entry.path().filename().string();
    // What was moved aside for a rebuild is given back by whoever runs tasks.
    if (name.starts_with("rebuild-") || entry.path() == layout.trash) continue;
    std::filesystem::remove_all(entry.path(), ignored);
  }
}

}  // namespace stook::detail
