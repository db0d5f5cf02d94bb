#include "runtime/path_history.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "src/mutant.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

constexpr int most_links = 40;  // as the kernel

// The parts of `path`, the last one first.
void push_parts(const fs::path& path, std::vector<std::string>& parts) {
  const std::size_t first = parts.size();
  for (const fs::path& part : path.relative_path()) {
    if (!part.empty() && part != ".") parts.push_back(part.string());
  }
  std::reverse(parts.begin() + static_cast<std::ptrdiff_t>(first), parts.end());
}

// Empty where it has no name any more.
fs::path working_directory() {
  std::error_code error;
  return fs::current_path(error);
}

}  // namespace

PathHistory::PathHistory(std::int64_t tick_ns) : tick_ns_(tick_ns), base_(working_directory()) {}

// Calls visit(name, stamp, is_link, the directory it is in) for each directory and link on the way,
// the last part too; false, as soon as visit says so or there is nothing.
template <class Visit> bool PathHistory::walk(const fs::path& path, const Visit& visit) {
  std::vector<std::string> parts;
  push_parts(path, parts);
  std::string at = path.is_absolute() ? "/" : ".";
  for (int links = 0; !parts.empty();) {
    const std::string part = std::move(parts.back());
    parts.pop_back();
    const std::string full = (fs::path(at) / part).string();
    if (part == "..") {  // no link is in `at`, so that is the directory above
      at = fs::path(at).is_absolute() ? fs::path(at).parent_path().string() : full;
      continue;
    }
    struct stat info {};
    if (::lstat(full.c_str(), &info) != 0) return false;
    const bool is_link = S_ISLNK(info.st_mode);
    if (!is_link && !S_ISDIR(info.st_mode)) return parts.empty();
    // Of a link itself: where it leads to is another file system's affair.
    if (!visit(full, stamp_from(info, is_link ? at : full), is_link, at)) return false;
    if (!is_link) {
      at = full;
      continue;
    }
    std::error_code error;
    const fs::path target = fs::read_symlink(full, error);
    if (error || ++links > most_links) return false;
    push_parts(target, parts);
    if (target.is_absolute()) at = "/";
  }
  return true;
}

PathHistory::Identity PathHistory::identity_of(const FileStamp& stamp, bool is_link) {
  return {stamp.device, stamp.inode, is_link ? stamp.changed_ns : 0};
}

void PathHistory::note(const std::string& path) {
  const fs::path file = whole(path);
  const bool is_new = walked_.insert(file.parent_path().string()).second;
  struct stat info {};
  if (!is_new && (::lstat(file.c_str(), &info) != 0 || S_ISREG(info.st_mode))) return;
  (void)walk(file, [&](const std::string& name, const FileStamp& stamp, bool is_link, auto&) {
    noted_.try_emplace(name, identity_of(stamp, is_link));
    return true;
  });
}

bool PathHistory::held(const std::string& path) {
  if (STOOK_MUTANT("path-held")) return true;
  const fs::path directory = whole(path).parent_path();
  const auto [at, is_new] = held_.try_emplace(directory.string(), false);
  if (is_new) at->second = directory_held(directory);
  if (!at->second) return false;
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return false;
  return !S_ISLNK(info.st_mode) || directory_held(whole(path));
}

// Who renames something changes it, and the directory where it is then: on Linux all file systems
// stamp both.
bool PathHistory::directory_held(const fs::path& path) {
  return walk(path, [&](const std::string& name, const FileStamp& stamp, bool is_link,
                        const std::string& above) {
    if (stamp.latest_change_ns() < tick_ns_ || is_unchanged(above)) return true;
    const auto noted = noted_.find(name);
    return noted != noted_.end() && noted->second == identity_of(stamp, is_link);
  });
}

bool PathHistory::is_unchanged(const std::string& directory) {
  const auto [at, is_new] = unchanged_.try_emplace(directory, false);
  if (is_new) {
    const FileStamp stamp = stamp_of(directory);
    at->second = stamp.exists() && stamp.latest_change_ns() < tick_ns_;
  }
  return at->second;
}

}  // namespace stook::detail
