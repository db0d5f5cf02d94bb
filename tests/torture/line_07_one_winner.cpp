// Line 7: 32 processes want the same task at once, and the one that executes it is killed. It is
// executed once; after the kill by exactly one other; all the others get the value.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>
#include <vector>

#include "tests/torture/line.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

constexpr int kProcesses = 32;

class Round {
 public:
  Round(Line& line, fs::path place, fs::path wanter)
      : line_(line), place_(std::move(place)), wanter_(std::move(wanter)) {
    fs::create_directory(place_);
  }

  void run(int kills) {
    for (int i = 0; i < kProcesses; ++i) pids_.push_back(start());
    if (!wait_for("wants", kProcesses)) return end("not all of them could open the cache");
    for (int i = 0; i < kills; ++i) {
      if (!wait_for("ran", static_cast<std::size_t>(i) + 1)) return end("nobody takes over");
      const pid_t winner = noted("ran").back();
      kill(winner, SIGKILL);
      waitpid(winner, nullptr, 0);
      std::erase(pids_, winner);
    }
    if (!wait_for("ran", static_cast<std::size_t>(kills) + 1)) return end("nobody takes over");
    std::ofstream(place_ / "gate") << "open";
    int failed = 0;
    for (const pid_t pid : pids_) {
      int status = 0;
      waitpid(pid, &status, 0);
      failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    pids_.clear();
    if (failed != 0) line_.violation(std::to_string(failed) + " did not get the value");
    const std::size_t executions = noted("ran").size();
    if (executions != static_cast<std::size_t>(kills) + 1) {
      line_.violation(std::to_string(executions) + " executions and " + std::to_string(kills) +
                      " kills");
    }
  }

 private:
  pid_t start() const {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    alarm(120);
    execl(wanter_.c_str(), wanter_.c_str(), (place_ / "cache").c_str(), (place_ / "log").c_str(),
          (place_ / "gate").c_str(), nullptr);
    _exit(127);
  }

  [[nodiscard]] std::vector<pid_t> noted(const std::string& what) const {
    std::vector<pid_t> pids;
    std::ifstream in(place_ / "log");
    std::string word;
    for (pid_t pid = 0; in >> word >> pid;) {
      if (word == what) pids.push_back(pid);
    }
    return pids;
  }

  [[nodiscard]] bool wait_for(const std::string& what, std::size_t count) const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (noted(what).size() < count) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  void end(const std::string& why) {
    line_.violation(why);
    for (const pid_t pid : pids_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }

  Line& line_;
  const fs::path place_, wanter_;
  std::vector<pid_t> pids_;
};

int run(Line& line, const fs::path& wanter) {
  const int rounds = line.nightly() ? 3000 : 30;
  int kills = 0;
  for (int i = 0; i < rounds; ++i) {
    const int of_round = i % 3;  // none, one, and the one who takes over as well
    Round(line, line.directory() / std::to_string(i), wanter).run(of_round);
    kills += of_round;
  }
  return line.finish("one task wanted by " + std::to_string(kProcesses) +
                     " processes: " + std::to_string(rounds) + " rounds, " + std::to_string(kills) +
                     " winners killed");
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(
      line, std::filesystem::read_symlink("/proc/self/exe").parent_path() / "torture_wanter");
}
