// A program for the scenario tests: leaves note each of their executions in a file; a leaf may be
// told to print a file, to wait for a file (one leaf: WAIT_AT; all from one on: WAIT_FROM) (and not
// to look whether it should stop), to fail, or to kill its process.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

#include <stook/stook.hpp>

namespace {

std::string setting(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? text : "";
}

}  // namespace

struct Leaf : stook::Task<Leaf, long(int)> {
  static constexpr std::array task_parameters{"n"};
  static constexpr auto task_label = "leaf";
  const int n;
  explicit Leaf(int number) : n(number) {}
  long run_task() {
    const std::string line = std::to_string(n) + "\n";
    const int fd = ::open(setting("EXECUTIONS").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (::write(fd, line.data(), line.size()) < 0) throw std::runtime_error("cannot note");
    ::close(fd);
    if (setting("KILL_AT") == std::to_string(n)) ::raise(SIGKILL);
    if (!setting("SHOW").empty()) std::cout << std::ifstream(setting("SHOW")).rdbuf();
    if (setting("FAIL_AT") == std::to_string(n)) {
      std::cerr << "leaf " << n << " is about to fail\n";
      throw std::runtime_error("told to fail");
    }
    const std::string wait_from = setting("WAIT_FROM");
    if (setting("WAIT_AT") == std::to_string(n) ||
        (!wait_from.empty() && n >= std::stoi(wait_from))) {
      const bool stubborn = !setting("STUBBORN").empty();
      while (!std::filesystem::exists(setting("WAIT_FOR")) && (stubborn || !stop_requested())) {
        std::this_thread::yield();
      }
    }
    return n;
  }
};

struct Sum : stook::Task<Sum, long(int, int)> {
  static constexpr std::array task_parameters{"from", "to"};
  stook::FutureList<long> leaves;
  Sum(int from, int to) {
    for (int i = from; i < to; ++i) leaves.push_back(Leaf::make(i));
  }
  long run_task() {
    long sum = 0;
    for (const long leaf : *leaves) sum += leaf;
    return sum;
  }
};

struct Main : stook::Task<Main, void(int, int)> {
  static constexpr std::array task_parameters{"from", "to"};
  stook::Future<long> sum;
  Main(int from, int to) { sum = Sum::make(from, to); }
  void run_task() { std::cout << *sum << '\n'; }
};

int main(int argc, char** argv) { return Main::cli(argc, argv); }
