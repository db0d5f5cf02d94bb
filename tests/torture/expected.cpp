#include "tests/torture/expected.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace stook::torture {

void Expected::read(const std::filesystem::path& log) {
  std::ifstream in(log);
  std::size_t at = 0;
  for (std::string line; std::getline(in, line); ++at) {
    std::istringstream words(line);
    std::string what, pid;
    words >> what >> pid;
    if (what == "wrong") wrong.push_back(line);
    if (what == "ran") ran[pid].push_back(at);  // there it is the key
    if (what == "run" || what == "clear") {
      Interval& open = open_[pid] = {what == "run", at, kOpen, {}};
      for (std::string key; words >> key;) open.keys.push_back(key);
    }
    if (what != "done" && what != "cleared") continue;
    open_[pid].end = at;
    closed_.push_back(open_[pid]);
    open_.erase(pid);
  }
  lines = at;
  for (const auto& [pid, interval] : open_) closed_.push_back(interval);
}

bool Expected::has(const std::string& key) const {
  std::size_t last_begin = 0, last_clear = 0;
  bool any = false;
  for (const Interval& interval : closed_) {
    if (std::find(interval.keys.begin(), interval.keys.end(), key) == interval.keys.end()) continue;
    if (!interval.is_run) last_clear = std::max(last_clear, interval.end);
    if (!interval.is_run || interval.end == kOpen) continue;
    any = true;
    last_begin = std::max(last_begin, interval.begin);
  }
  return any && (last_clear == 0 || last_clear < last_begin);
}

}  // namespace stook::torture
