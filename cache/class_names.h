// class_names.h - class names as small numbers, within this process.
// Unaware of the index, which has numbers of its own. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace stook::detail {

class ClassNames {
 public:
  [[nodiscard]] std::uint32_t ref(std::string_view name) {
    const std::lock_guard lock(mutex_);
    if (const auto found = refs_.find(name); found != refs_.end()) return found->second;
    const auto number = static_cast<std::uint32_t>(names_.size());
    refs_.emplace(names_.emplace_back(name), number);
    return number;
  }

  [[nodiscard]] std::string_view name(std::uint32_t ref) const {
    const std::lock_guard lock(mutex_);
    return names_[ref];
  }

 private:
  mutable std::mutex mutex_;
  std::deque<std::string> names_;                             // guarded by mutex_; stays in place
  std::unordered_map<std::string_view, std::uint32_t> refs_;  // guarded by mutex_
};

}  // namespace stook::detail
