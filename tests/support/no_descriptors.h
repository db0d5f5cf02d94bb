// no_descriptors.h - a process that can open no file any more.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>

#include <cerrno>
#include <system_error>

#include "src/os.h"

namespace stook::test {

// While it lives, no file can be opened, or only so many.
class NoDescriptors {
 public:
  explicit NoDescriptors(rlim_t more = 0) {
    // clang's check of dynamic types opens a pipe when it meets a type for the first time.
    (void)std::generic_category().message(EMFILE);
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit none = before_;
    none.rlim_cur =
        more + static_cast<rlim_t>(detail::Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)).get());
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

}  // namespace stook::test
