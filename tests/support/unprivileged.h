// unprivileged.h - a test as a user whom permissions stop: root is stopped by none.
#pragma once

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace stook::test {

inline constexpr uid_t nobody = 65534;

// The child: this program again, with the running test only.
[[noreturn]] inline void become_nobody(int program, std::string filter) {
  ::setenv("TMPDIR", "/tmp", 1);  // where everybody may make directories
  if (::chdir("/") != 0 || ::setgroups(0, nullptr) != 0 || ::setgid(nobody) != 0 ||
      ::setuid(nobody) != 0) {
    ::_exit(77);
  }
  std::string name = "unprivileged";
  char* const words[] = {name.data(), filter.data(), nullptr};
  ::fexecve(program, words, environ);
  ::_exit(77);
}

// At the top of a test: true where the test has been executed by a process of its own, as nobody.
inline bool done_as_nobody() {
  if (::geteuid() != 0) return false;
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string filter =
      std::string("--gtest_filter=") + test->test_suite_name() + "." + test->name();
  const int program = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  const pid_t child = ::fork();
  if (child == 0) become_nobody(program, filter);
  ::close(program);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "it died of signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "77: this process may not become nobody";
  return true;
}

}  // namespace stook::test
