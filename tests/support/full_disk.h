// full_disk.h - a disk on which no file grows beyond a size, and text that does not compress.
#pragma once

#include <signal.h>
#include <sys/resource.h>

#include <random>
#include <string>

namespace stook::test {

// While it lives, what would be written behind the first `bytes` of a file fails with EFBIG.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes = 4096) {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit full = before_;
    full.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &full);
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
};

inline std::string incompressible(std::size_t bytes) {
  std::mt19937 random(1);
  std::string text;
  while (text.size() < bytes) text.push_back(static_cast<char>(random()));
  return text;
}

}  // namespace stook::test
