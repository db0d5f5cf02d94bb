#include "runtime/path_history.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "src/file_stamp.h"
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

std::string start_of(const fs::path& path) { return path.is_absolute() ? "/" : "."; }

}  // namespace

// Calls visit(name, stamp, is_link, the directory it is in) for each directory and link on the way,
// the last part too; false, as soon as visit says so or there is nothing.
template <class Visit> bool PathHistory::walk(const std::string& path, const Visit& visit) {
  std::vector<std::string> parts;
  push_parts(path, parts);
  std::string at = start_of(path);
  for (int links = 0; !parts.empty();) {
    const std::string part = std::move(parts.back());
    parts.pop_back();
    const std::string full = (fs::path(at) / part).string();
    if (part == "..") {  // where that leads to is the other's affair
      at = full;
      continue;
    }
    struct stat info {};
    if (::lstat(full.c_str(), &info) != 0) return false;
    const bool is_link = S_ISLNK(info.st_mode);
    if (!is_link && !S_ISDIR(info.st_mode)) return parts.empty();
    if (!visit(full, stamp_from(info, full), is_link, at)) return false;
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

void PathHistory::note(const std::string& path) {
  const std::string directory = fs::path(path).parent_path().string();
  (void)walk(directory, [&](const std::string& name, const FileStamp& stamp, bool is_link, auto&) {
    if (!is_link) noted_.try_emplace(name, stamp.device, stamp.inode);
    return true;
  });
}

bool PathHistory::held(const std::string& path) {
  if (STOOK_MUTANT("path-held")) return true;
  const std::string directory = fs::path(path).parent_path().string();
  const auto [at, is_new] = held_.try_emplace(directory, false);
  if (is_new) at->second = directory_held(directory);
  if (!at->second) return false;
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return false;
  return !S_ISLNK(info.st_mode) || directory_held(path);
}

// Who renames something changes it, and the directory where it is then: on Linux all file systems
// stamp both.
bool PathHistory::directory_held(const std::string& path) {
  return walk(path, [&](const std::string& name, const FileStamp& stamp, bool is_link,
                        const std::string& above) {
    if (stamp.latest_change_ns() < tick_ns_ || is_unchanged(above)) return true;
    if (is_link) return false;
    const auto noted = noted_.find(name);
    return noted != noted_.end() && noted->second == Identity{stamp.device, stamp.inode};
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
