// line.h - what the lines of the torture have in common: their arguments, a directory that goes
// away, violations, and the figure at the end.
// Not thread-safe; see in_slices() for work on several cores.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <string_view>

namespace stook::torture {

class Line {
 public:
  // PROGRAM quick|nightly --seed N [--only PART]. The directory is made under $TMPDIR.
  Line(int argc, char** argv);
  ~Line();
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  [[nodiscard]] bool nightly() const { return nightly_; }
  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  // Is this part to be run? All are, but where --only names one (line 20 does).
  [[nodiscard]] bool wants(std::string_view part) const { return only_.empty() || only_ == part; }
  [[nodiscard]] const std::string& only() const { return only_; }
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

  // Says what was seen that must not be; all are counted, the first twenty are shown.
  void violation(const std::string& what);
  [[nodiscard]] std::uint64_t violations() const { return violations_; }

  // Work that is independent, a slice in a process each: slice(i) says how much it did.
  // Its violations are this line's. Returns the sum.
  std::uint64_t in_slices(int count, const std::function<std::uint64_t(int)>& slice);

  // Prints the figure; the exit status of the program.
  [[nodiscard]] int finish(const std::string& figure) const;
  // What cannot be done here, and why; ends the program.
  [[noreturn]] void skip(const std::string& reason);

 private:
  bool nightly_ = false;
  std::uint64_t seed_ = 1;
  std::string only_;
  std::uint64_t violations_ = 0;
  std::filesystem::path directory_;
  int owner_;  // the process that removes the directory
};

inline constexpr int kSlices = 2;  // the cores of the machine the figures are for

}  // namespace stook::torture
