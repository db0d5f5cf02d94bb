// Line 15: builders whose clocks are an hour ahead, an hour behind, a year off and stepping to and
// fro, one after the other and together in one cache. Nothing that was done is executed again, and
// nothing is wrong.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>
#include <vector>

#include "tests/torture/expected.h"
#include "tests/torture/line.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

struct Clock {
  long seconds;
  bool steps;
};
constexpr Clock kClocks[] = {{0, false},   {3600, false},        {-3600, false},
                             {3600, true}, {86400 * 400, false}, {-86400 * 400, true}};

class Clocks {
 public:
  explicit Clocks(Line& line)
      : line_(line), programs_(fs::read_symlink("/proc/self/exe").parent_path()),
        random_(line.seed()) {}

  // Several at once, each with a clock of its own; then one builds it all.
  void round(int number) {
    cache_ = line_.directory() / ("cache" + std::to_string(number));
    log_ = cache_.string() + ".log";
    for (int i = 0; i < 4; ++i) {
      std::vector<pid_t> pids;
      const std::uint64_t together = 1 + random_() % 3;
      for (std::uint64_t p = 0; p < together; ++p)
        pids.push_back(start(any(), std::to_string(random_())));
      for (const pid_t pid : pids) expect_good(pid);
      check();
    }
  }

  std::uint64_t done = 0;

 private:
  [[nodiscard]] Clock any() { return kClocks[random_() % std::size(kClocks)]; }

  pid_t start(const Clock& clock, const std::string& what) {
    ++done;
    const pid_t pid = fork();
    if (pid != 0) return pid;
    const int out =
        open((cache_.string() + ".output").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(out, 1);
    dup2(out, 2);
    alarm(60);
    setenv("LD_PRELOAD", (programs_ / "torture_clock.so").c_str(), 1);
    setenv("TORTURE_CLOCK", std::to_string(clock.seconds).c_str(), 1);
    if (clock.steps) setenv("TORTURE_CLOCK_STEPS", "1", 1);
    const fs::path program = programs_ / "torture_builder";
    execl(program.c_str(), program.c_str(), cache_.c_str(), log_.c_str(), what.c_str(), "12",
          nullptr);
    _exit(127);
  }

  void expect_good(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    std::stringstream text;
    text << std::ifstream(cache_.string() + ".output").rdbuf();
    line_.violation("a builder fails: " + text.str().substr(0, 500));
  }

  void check() {
    Expected before;
    before.read(log_);
    expect_good(start(any(), "check"));
    Expected after;
    after.read(log_);
    for (const auto& [key, lines] : after.ran) {
      if (lines.back() >= before.lines && before.has(key)) {
        line_.violation(key + " was done and has been executed again");
      }
    }
    for (const std::string& wrong : after.wrong) line_.violation(wrong);
  }

  Line& line_;
  const fs::path programs_;
  std::mt19937_64 random_;
  fs::path cache_, log_;
};

int run(Line& line) {
  const int rounds = line.nightly() ? 1000 : 20;
  Clocks clocks(line);
  for (int i = 0; i < rounds; ++i) clocks.round(i);
  return line.finish("builders with wrong clocks: " + std::to_string(clocks.done));
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
