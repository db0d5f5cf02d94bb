// sharer CACHE LOG SEED - a program that makes tasks with directories anew, reads and clears them
// at random, beside others that do, in threads or in worker processes. It is killed while it does.
// Whoever reads a directory that is not what its value says notes that in LOG; `sharer CACHE LOG
// read` reads each once.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <thread>

#include "runtime/run.h"

#include <stook/stook.hpp>

namespace {

namespace fs = std::filesystem;

constexpr int kMakers = 6;
constexpr std::array kFiles{"a", "b", "c"};

void note(const fs::path& log, const std::string& what) {
  const std::string line = std::to_string(::getpid()) + ' ' + what + '\n';
  const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (::write(file, line.data(), line.size()) < 0) std::abort();
  ::close(file);
}

// What else the processes do in the meantime is what matters.
void pause_a_little() {
  thread_local std::mt19937 random(std::random_device{}());
  std::this_thread::sleep_for(std::chrono::microseconds(random() % 1500));
}

std::string read(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

}  // namespace

struct Made {
  std::string token;
  fs::path directory;
};

// Those with an odd number make the same each time, the others something else.
struct Makes : stook::Task<Makes, Made(int)> {
  const int n;
  explicit Makes(int number) : n(number) {}
  Made run_task() {
    std::random_device random;
    const std::string token = n % 2 == 1 ? "same" : std::to_string(random());
    for (const char* name : kFiles) {
      std::ofstream(task_directory() / name) << "half";
      pause_a_little();
      std::ofstream(task_directory() / name) << token;
    }
    return {token, task_directory()};
  }
};

// Looks whether what is there is what was promised, from its beginning to its end.
struct Reads : stook::Task<Reads, int(int, int, std::string)> {
  static constexpr auto task_store = stook::Store::never;
  stook::Future<Made> one, two;
  const fs::path log;
  Reads(int first, int second, const std::string& log_file)
      : one(Makes::make(first)), two(Makes::make(second)), log(log_file) {}
  int run_task() {
    for (int again = 0; again < 2; ++again) {
      look(*one);
      pause_a_little();
      look(*two);
    }
    return 1;
  }
  void look(const Made& made) const {
    for (const char* name : kFiles) {
      const std::string found = read(made.directory / name);
      if (found == made.token) continue;
      note(log,
           (made.directory / name).string() + " has \"" + found + "\", not \"" + made.token + "\"");
    }
  }
};

namespace {

void step(stook::Cache& cache, const fs::path& log, std::mt19937& random) {
  const int n = static_cast<int>(random() % kMakers);
  stook::RunOptions options;
  options.jobs = 2;
  if (random() % 5 == 0) options.executor = stook::processes(1);
  const auto what = random() % 10;
  if (what == 0) {
    Makes::make(n).clear_task();
  } else if (what < 4) {
    stook::detail::RunRequest request;
    request.roots = {Makes::make(n).spec()};
    request.options = options;
    request.force_roots = true;
    const auto result = stook::detail::run(cache.store(), request);
    if (!result.failures.empty()) note(log, stook::detail::failure_text(result.failures));
  } else {
    const int other = static_cast<int>(random() % kMakers);
    (void)Reads::make(n, other, log.string()).run_graph(options);
  }
}

}  // namespace

int main(int argc, char** argv) {
  stook::init(argc, argv);
  if (argc != 4) return 2;
  const fs::path log = argv[2];
  try {
    stook::CacheOptions quiet;
    quiet.warn = [&](std::string_view line) { note(log, "is told: " + std::string(line)); };
    stook::Cache cache(argv[1], quiet);
    if (argv[3] == std::string("read")) {
      ::alarm(60);
      for (int n = 0; n < kMakers; ++n) (void)Reads::make(n, 0, log.string()).run_graph();
      for (const std::string& defect : cache.verify().defects) note(log, defect);
      return 0;
    }
    std::mt19937 random(static_cast<unsigned>(std::stoul(argv[3])));
    for (;;) {
      ::alarm(8);  // what hangs ends by SIGALRM
      step(cache, log, random);
    }
  } catch (const std::exception& error) {
    note(log, error.what());
    return 3;
  }
}
