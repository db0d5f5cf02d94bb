#include "runtime/memory_group.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string_view>

#include "src/os.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

bool put(const fs::path& file, const std::string& text) {
  const Fd fd = os_open(file, O_WRONLY);
  return fd && os_write(fd.get(), text.data(), text.size());
}

std::uint64_t number_in(const fs::path& file) {
  std::uint64_t number = 0;
  std::ifstream(file) >> number;
  return number;
}

std::string group_name(const fs::path& stem) {
  return "stook-" + stem.parent_path().filename().string() + "-" + stem.filename().string();
}

// Of the line "NAME NUMBER".
std::uint64_t number_named(const fs::path& file, std::string_view name) {
  std::ifstream in(file);
  std::string word;
  for (std::uint64_t number = 0; in >> word >> number;) {
    if (word == name) return number;
  }
  return 0;
}

// The path of this process's group, from its line in /proc/self/cgroup; empty: there is none.
std::string own_group(std::string_view controllers) {
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    if (std::string_view(line).substr(first + 1, second - first - 1) == controllers) {
      return line.substr(second + 1);
    }
  }
  return {};
}

}  // namespace

// Where groups are made, and what the kernel calls their files.
struct MemoryGroup::Place {
  fs::path parent;  // empty: nowhere
  fs::path home;    // the group this process was in
  const char* used = "";
  const char* limit = "";
  const char* swap_limit = "";  // what memory and swap, or swap alone, may come to
  const char* events = "";
  const char* unlimited = "";
  bool swap_alone = false;
};

const MemoryGroup::Place& MemoryGroup::place() {
  static const Place found = [] {
    Place place;
    const fs::path mount = "/sys/fs/cgroup";
    std::error_code ignored;
    if (fs::exists(mount / "cgroup.controllers", ignored)) {
      // A group that holds processes cannot have limited ones below it: they are its neighbours.
      const std::string own = own_group("");
      if (own.empty() || own == "/") return place;
      place.home = mount.native() + own;
      place.parent = place.home.parent_path();
      place.used = "memory.current";
      place.limit = "memory.max";
      place.swap_limit = "memory.swap.max";
      place.events = "memory.events";
      place.unlimited = "max";
      place.swap_alone = true;
    } else if (const std::string own = own_group("memory"); !own.empty()) {
      place.home = place.parent = mount.native() + "/memory" + own;
      place.used = "memory.usage_in_bytes";
      place.limit = "memory.limit_in_bytes";
      place.swap_limit = "memory.memsw.limit_in_bytes";
      place.events = "memory.oom_control";
      place.unlimited = "-1";
    }
    if (::access(place.parent.c_str(), W_OK) != 0) place.parent.clear();
    return place;
  }();
  return found;
}

MemoryGroup::MemoryGroup(const Place& place, fs::path path)
    : place_(place), path_(std::move(path)) {}

std::unique_ptr<MemoryGroup> MemoryGroup::enter(const fs::path& stem) {
  const Place& place = MemoryGroup::place();
  if (place.parent.empty()) return nullptr;
  const fs::path path = place.parent / group_name(stem);
  if (::mkdir(path.c_str(), 0755) != 0) return nullptr;
  if (::access((path / place.limit).c_str(), W_OK) != 0 ||
      !put(path / "cgroup.procs", std::to_string(::getpid()))) {
    ::rmdir(path.c_str());
    return nullptr;
  }
  return std::unique_ptr<MemoryGroup>(new MemoryGroup(place, path));
}

MemoryGroup::~MemoryGroup() {
  if (put(place_.home / "cgroup.procs", std::to_string(::getpid()))) ::rmdir(path_.c_str());
}

void MemoryGroup::allow(std::uint64_t more) const {
  // Memory with swap is never less than memory: it is raised first and lowered last.
  if (!place_.swap_alone) put(path_ / place_.swap_limit, place_.unlimited);
  if (more == 0) {
    put(path_ / place_.limit, place_.unlimited);
    return;
  }
  const std::string limit = std::to_string(number_in(path_ / place_.used) + more);
  put(path_ / place_.limit, limit);
  put(path_ / place_.swap_limit, place_.swap_alone ? "0" : limit);
}

std::uint64_t MemoryGroup::kills() const { return number_named(path_ / place_.events, "oom_kill"); }

bool MemoryGroup::settle(const fs::path& stem) {
  const Place& place = MemoryGroup::place();
  if (place.parent.empty()) return false;
  const fs::path path = place.parent / group_name(stem);
  const bool killed = number_named(path / place.events, "oom_kill") > 0;
  ::rmdir(path.c_str());
  return killed;
}

}  // namespace stook::detail
