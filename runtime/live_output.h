// live_output.h - shows what chosen tasks print in other processes while they print it.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>

namespace stook::detail {

class LiveOutput {
 public:
  // The job is to be shown. look(): what has come since, from the files it prints to now.
  void add(std::uint64_t job) { shown_[job]; }
  [[nodiscard]] bool has(std::uint64_t job) const { return shown_.contains(job); }
  [[nodiscard]] const auto& jobs() const { return shown_; }
  void look(std::uint64_t job, const std::filesystem::path& out, const std::filesystem::path& err);
  // The same, for the last time.
  void finish(std::uint64_t job, const std::filesystem::path& out,
              const std::filesystem::path& err);

 private:
  struct Seen {
    std::uint64_t out = 0;  // bytes
    std::uint64_t err = 0;
  };
  std::map<std::uint64_t, Seen> shown_;
};

}  // namespace stook::detail
