#include "tests/torture/line.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace stook::torture {
namespace {

constexpr std::uint64_t kMostShown = 20;
constexpr int kSkipped = 77;

}  // namespace

Line::Line(int argc, char** argv) : owner_(getpid()) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "nightly") {
      nightly_ = true;
    } else if (word == "--seed" && i + 1 < argc) {
      seed_ = std::strtoull(argv[++i], nullptr, 10);
    } else if (word == "--only" && i + 1 < argc) {
      only_ = argv[++i];
    } else if (word != "quick") {
      std::fprintf(stderr, "usage: %s quick|nightly [--seed N] [--only PART]\n", argv[0]);
      std::exit(2);
    }
  }
  std::string name = (std::filesystem::temp_directory_path() / "stook-torture-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
  directory_ = name;
}

Line::~Line() {
  if (getpid() != owner_) return;
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void Line::violation(const std::string& what) {
  if (++violations_ > kMostShown) return;
  std::printf("  violation: %s\n", what.c_str());
  std::fflush(stdout);
}

std::uint64_t Line::in_slices(int count, const std::function<std::uint64_t(int)>& slice) {
  using Sums = std::array<std::uint64_t, 2>;  // done, violations
  std::vector<std::pair<pid_t, int>> others;
  std::fflush(nullptr);
  for (int i = 0; i < count; ++i) {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("no pipe");
    const pid_t pid = fork();
    if (pid == 0) {
      close(ends[0]);
      violations_ = 0;
      Sums sums{};
      try {
        sums[0] = slice(i);
      } catch (const std::exception& error) {
        violation(std::string("the line itself: ") + error.what());
      }
      sums[1] = violations_;
      const bool told = write(ends[1], sums.data(), sizeof sums) == sizeof sums;
      std::fflush(nullptr);
      _exit(told ? 0 : 1);
    }
    close(ends[1]);
    others.emplace_back(pid, ends[0]);
  }
  std::uint64_t done = 0;
  for (const auto& [pid, end] : others) {
    Sums sums{};
    if (read(end, sums.data(), sizeof sums) != sizeof sums) violation("a part of the line died");
    close(end);
    waitpid(pid, nullptr, 0);
    done += sums[0];
    violations_ += sums[1];
  }
  return done;
}

int Line::finish(const std::string& figure) const {
  std::printf("%s; %llu violations\n", figure.c_str(),
              static_cast<unsigned long long>(violations_));
  return violations_ == 0 ? 0 : 1;
}

void Line::skip(const std::string& reason) {
  std::printf("skipped: %s\n", reason.c_str());
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
  std::exit(kSkipped);
}

}  // namespace stook::torture
