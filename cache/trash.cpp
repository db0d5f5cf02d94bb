#include "cache/trash.h"

#include <map>
#include <unordered_set>
#include <vector>

#include "src/os.h"

namespace stook::detail {
namespace {

std::filesystem::path new_place(const Layout& layout) { return layout.trash / os_unique_name(); }

// Another process may be removing it too; what is left is removed the next time.
void remove_tree(const std::filesystem::path& path) {
  try {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  } catch (const std::filesystem::filesystem_error&) {}  // libstdc++ 12 throws in spite of the code
}

// Only the directories that are there are touched: most tasks have none.
void move_class(const Layout& layout, const std::filesystem::path& directory,
                const std::unordered_set<std::string>& ids) {
  // What cannot be moved stays: the directory of a result that is missing means nothing.
  std::vector<std::string> found;
  (void)os_list(directory, found);
  for (const std::string& name : found) {
    if (ids.contains(name)) (void)os_rename(directory / name, new_place(layout));
  }
  std::error_code error;
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
  std::vector<std::string> names;
  (void)os_list(layout.trash, names);  // what is not seen now is seen the next time
  for (const std::string& name : names) remove_tree(layout.trash / name);
}

void sweep_spool(const Layout& layout) {
  const auto spool = layout.trash.parent_path();
  std::vector<std::string> names;
  (void)os_list(spool, names);
  for (const std::string& name : names) {
    // What was moved aside for a rebuild is given back by whoever runs tasks.
    if (name.starts_with("rebuild-") || spool / name == layout.trash) continue;
    remove_tree(spool / name);
  }
}

}  // namespace stook::detail
