// Line 1: SIGKILL of building, clearing, collecting and reindexing processes at random moments,
// several on one cache now and then. What they have seen done is noted in a file outside of the
// cache; afterwards everything is built once more: nothing that was done is executed again, nothing
// is wrong, no lock is left, and opening takes at most a second.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <thread>
#include <vector>

#include "tests/torture/expected.h"
#include "tests/torture/line.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

class Slice {
 public:
  Slice(Line& line, int number, fs::path builder)
      : line_(line), number_(number), builder_(std::move(builder)), random_(line.seed() + number) {}

  std::uint64_t kill(std::uint64_t kills) {
    constexpr int kRounds = 15;  // then a new cache: its making is killed as well
    for (int round = 0; kills_ < kills; ++round) {
      if (round % kRounds == 0) begin_cache(round / kRounds);
      const std::uint64_t others = random_() % 4 == 0 ? 1 + random_() % 2 : 0;
      build_and_kill(1 + others);
      check();
    }
    return kills_;
  }

 private:
  void begin_cache(int number) {
    const fs::path place =
        line_.directory() / (std::to_string(number_) + "-" + std::to_string(number));
    fs::create_directory(place);
    cache_ = place / "cache";
    log_ = place / "log";
    output_ = place / "output";
  }

  pid_t start(const std::string& what, const std::string& steps) const {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    const int out = open(output_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, 1);
    dup2(out, 2);
    alarm(60);  // what hangs ends by SIGALRM
    execl(builder_.c_str(), builder_.c_str(), cache_.c_str(), log_.c_str(), what.c_str(),
          steps.c_str(), nullptr);
    _exit(127);
  }

  // Half of the moments are in the first milliseconds: starting, opening, recovering, making the
  // index.
  [[nodiscard]] std::chrono::microseconds moment() {
    const int limit = random_() % 2 == 0 ? 8'000 : 80'000;
    return std::chrono::microseconds(random_() % static_cast<unsigned>(limit));
  }

  void build_and_kill(std::uint64_t processes) {
    std::map<Clock::time_point, pid_t> ends;
    for (std::uint64_t i = 0; i < processes; ++i) {
      const pid_t pid = start(std::to_string(random_()), "1000000");
      ends[Clock::now() + moment()] = pid;
    }
    for (const auto& [when, pid] : ends) {
      std::this_thread::sleep_until(when);
      ::kill(pid, SIGKILL);
      int status = 0;
      waitpid(pid, &status, 0);
      if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        ++kills_;
      } else {
        line_.violation("a builder ended by itself: " + text_of(output_));
      }
    }
  }

  void check() {
    Expected before;
    before.read(log_);
    const pid_t pid = start("check", "");
    int status = 0;
    waitpid(pid, &status, 0);
    const std::string where = "after " + std::to_string(kills_) + " kills: ";
    const std::string output = text_of(output_);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      const bool hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
      return line_.violation(where + (hung ? "it hangs" : "it cannot be built: " + output));
    }
    if (const double seconds = std::strtod(output.c_str(), nullptr); seconds > 1) {
      line_.violation(where + "opening takes " + std::to_string(seconds) + " s");
    }
    Expected after;
    after.read(log_);
    for (const auto& [key, lines] : after.ran) {
      if (lines.back() >= before.lines && before.has(key)) {
        line_.violation(where + key + " was done and has been executed again");
      }
    }
    for (const std::string& wrong : after.wrong) line_.violation(where + wrong);
  }

  [[nodiscard]] static std::string text_of(const fs::path& file) {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str().substr(0, 500);
  }

  Line& line_;
  const int number_;
  const fs::path builder_;
  std::mt19937_64 random_;
  fs::path cache_, log_, output_;
  std::uint64_t kills_ = 0;
};

int run(Line& line, const fs::path& builder) {
  const std::uint64_t kills = line.nightly() ? 20'000 : 300;
  const auto start = Clock::now();
  const std::uint64_t done = line.in_slices(
      kSlices, [&](int slice) { return Slice(line, slice, builder).kill(kills / kSlices); });
  const std::chrono::duration<double> took = Clock::now() - start;
  return line.finish("kills at random moments: " + std::to_string(done) + ", " +
                     std::to_string(static_cast<int>(static_cast<double>(done) / took.count())) +
                     " a second");
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(
      line, std::filesystem::read_symlink("/proc/self/exe").parent_path() / "torture_builder");
}
