// expected.h - what must be in a cache, by the log that builders (builder.cpp) append to: the
// expected state, which outlives whoever is killed. Not thread-safe.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace stook::torture {

// Lines are counted: a run that began after a clear had ended is not touched by it.
class Expected {
 public:
  void read(const std::filesystem::path& log);

  // Was it done, and has no clear touched it since that run began?
  [[nodiscard]] bool has(const std::string& key) const;

  std::map<std::string, std::vector<std::size_t>> ran;  // by key: the lines that say so
  std::vector<std::string> wrong;
  std::size_t lines = 0;

 private:
  static constexpr std::size_t kOpen = ~std::size_t{0};
  struct Interval {
    bool is_run = false;
    std::size_t begin = 0, end = kOpen;
    std::vector<std::string> keys;
  };
  std::map<std::string, Interval> open_;  // by process
  std::vector<Interval> closed_;
};

}  // namespace stook::torture
