// Line 24: processes that make tasks with directories anew, read and clear them, all the same few,
// in threads and in workers, and are killed while they do. Who reads a directory finds in it what
// its value says, from the beginning of the task to its end; nobody fails, nobody waits for ever.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

#include "tests/torture/line.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kProcesses = 5;
constexpr int kStay = 2;  // of these; who gets no further ends by SIGALRM, which is seen

class Sharers {
 public:
  Sharers(Line& line, fs::path program)
      : line_(line), program_(std::move(program)), random_(line.seed()) {}

  int run() {
    const auto until = Clock::now() + std::chrono::seconds(line_.nightly() ? 3600 : 12);
    for (int i = 0; i < kProcesses; ++i) pids_.push_back(start(std::to_string(random_())));
    while (Clock::now() < until && line_.violations() == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(random_() % 200));
      replace_one();
      take_log();
    }
    for (const pid_t pid : pids_) end(pid);
    for (int i = 0; i < 2; ++i) read_all();
    take_log();
    return line_.finish(std::to_string(kProcesses) + " processes make and read directories, " +
                        std::to_string(kills_) + " killed");
  }

 private:
  pid_t start(const std::string& what) {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    setpgid(0, 0);
    const int out =
        open((line_.directory() / "output").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(out, 1);
    dup2(out, 2);
    execl(program_.c_str(), program_.c_str(), (line_.directory() / "cache").c_str(),
          (line_.directory() / "log").c_str(), what.c_str(), nullptr);
    _exit(127);
  }

  // The driver alone: its workers have to notice.
  void end(pid_t pid) {
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) == 0) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
      ++kills_;
    } else if (WIFSIGNALED(status)) {
      line_.violation("a process ended by signal " + std::to_string(WTERMSIG(status)));
    } else {
      line_.violation("a process ended with status " + std::to_string(WEXITSTATUS(status)));
    }
  }

  void replace_one() {
    pid_t& one = pids_[kStay + random_() % (pids_.size() - kStay)];
    end(one);
    one = start(std::to_string(random_()));
  }

  // By somebody who is alone, after those that were killed have ended with their workers.
  void read_all() {
    const pid_t pid = start("read");
    int status = 0;
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) line_.violation("the last one fails");
  }

  void take_log() {
    std::ifstream in(line_.directory() / "log");
    in.seekg(static_cast<std::streamoff>(read_));
    for (std::string text; std::getline(in, text) && !in.eof();) {
      read_ += text.size() + 1;
      line_.violation(text);
    }
  }

  Line& line_;
  const fs::path program_;
  std::mt19937_64 random_;
  std::vector<pid_t> pids_;
  std::size_t read_ = 0;
  int kills_ = 0;
};

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::Sharers(
             line, std::filesystem::read_symlink("/proc/self/exe").parent_path() / "torture_sharer")
      .run();
}
