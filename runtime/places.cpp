#include "runtime/places.h"

#include <cerrno>

#include "cache/fault.h"
#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {

namespace fs = std::filesystem;

fs::file_status look_at(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::none) throw_cache_error("look at", path, error.value());
  return status;
}

bool is_there(const fs::path& path) { return fs::exists(look_at(path)); }

bool discard(const fs::path& root, const fs::path& path) {
  const fs::path trash = root / "spool" / "trash";
  const fs::path place = trash / os_unique_name();
  bool moved = os_rename(path, place);
  if (!moved && errno == ENOENT) {  // there is no trash yet, or nothing to discard
    std::error_code ignored;
    fs::create_directories(trash, ignored);
    moved = os_rename(path, place);
    if (!moved && errno == ENOENT) return fs::is_directory(trash, ignored);
  }
  if (!moved && errno == EACCES) {  // a directory that changes its parent is written to
    std::error_code ignored;
    fs::permissions(path, fs::perms::owner_all, fs::perm_options::add, ignored);
    moved = os_rename(path, place);
  }
  if (moved) (void)os_remove_tree(place);  // what is left goes with the rest of the trash
  return moved;
}

bool has_link(const fs::path& root, const fs::path& path) {
  fs::path at = root;
  for (const fs::path& part : path.lexically_relative(root)) {
    at /= part;
    if (fs::is_symlink(look_at(at))) return true;
  }
  return false;
}

void refuse_links(const fs::path& root, std::initializer_list<fs::path> paths) {
  for (const fs::path& path : paths) {
    if (!has_link(root, path)) continue;
    throw CacheError("cannot make the task's directory: there is a symbolic link on the way to " +
                     path.string() + ", which is not followed");
  }
}

}  // namespace stook::detail
