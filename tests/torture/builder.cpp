// builder CACHE LOG SEED STEPS - a program that builds, clears, collects and reindexes at random,
// and notes what it has seen done. It is killed while it does. `builder CACHE LOG check` builds all
// there is once and says what it had to run.
//
// LOG, to which all processes append whole lines:
//   run PID KEY...    these are about to be built     done PID          they were, with these
//   values clear PID KEY     about to be cleared             cleared PID       it was ran KEY it
//   was executed                 wrong KEY ...     it has a wrong value
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <stook/stook.hpp>

namespace {

int log_file = -1;

void note(const std::string& line) {
  const std::string whole = line + "\n";
  if (::write(log_file, whole.data(), whole.size()) < 0) std::abort();
}

std::string me() { return std::to_string(::getpid()); }

constexpr int kParts = 12;
constexpr int kSums = 5;

}  // namespace

// Its value is large where n is 0: an object. It leaves a file where n is odd.
struct Part : stook::Task<Part, std::string(int)> {
  static constexpr std::array task_parameters{"n"};
  const int n;
  explicit Part(int number) : n(number) {}
  static std::string value(int n) {
    std::mt19937 random(static_cast<unsigned>(n));
    std::string text(n == 0 ? (1 << 20) + 77 : 20 + static_cast<unsigned>(n) * 40, '\0');
    for (char& c : text) c = static_cast<char>('a' + random() % 26);
    return text;
  }
  std::string run_task() {
    note("ran Part" + std::to_string(n));
    if (n % 2 != 0) std::ofstream(task_directory() / "file") << value(n);
    return value(n);
  }
};

struct Sum : stook::Task<Sum, long(int)> {
  static constexpr std::array task_parameters{"n"};
  const int n;
  stook::FutureList<std::string> parts;
  explicit Sum(int number) : n(number) {
    for (int i = 0; i <= n * 2 + 1; ++i) parts.push_back(Part::make(i));
  }
  static long value(int n) {
    long sum = 0;
    for (int i = 0; i <= n * 2 + 1; ++i) {
      for (const char c : Part::value(i)) sum = sum * 31 + c;
    }
    return sum;
  }
  long run_task() {
    note("ran Sum" + std::to_string(n));
    long sum = 0;
    for (const std::string& part : *parts) {
      for (const char c : part) sum = sum * 31 + c;
    }
    return sum;
  }
};

namespace {

void expect(bool right, const std::string& key) {
  if (!right) note("wrong " + key);
}

void build_sum(int n) {
  std::string line = "run " + me() + " Sum" + std::to_string(n);
  for (int i = 0; i <= n * 2 + 1; ++i) line += " Part" + std::to_string(i);
  note(line);
  auto sum = Sum::make(n);
  expect(sum.run_graph().value == Sum::value(n), "Sum" + std::to_string(n));
  note("done " + me());
}

void build_part(int n) {
  note("run " + me() + " Part" + std::to_string(n));
  auto part = Part::make(n);
  expect(part.run_graph().value == Part::value(n), "Part" + std::to_string(n));
  note("done " + me());
}

// REQUIRES: nobody clears it meanwhile.
void look_at_file(int n) {
  std::stringstream text;
  text << std::ifstream(Part::make(n).task_directory() / "file").rdbuf();
  expect(text.str() == Part::value(n), "file of Part" + std::to_string(n));
}

void clear_part(int n) {
  note("clear " + me() + " Part" + std::to_string(n));
  Part::make(n).clear_task();
  note("cleared " + me());
}

void clear_sums() {
  std::string line = "clear " + me();
  for (int n = 0; n < kSums; ++n) line += " Sum" + std::to_string(n);
  note(line);
  Sum::clear_all_tasks();
  note("cleared " + me());
}

void step(stook::Cache& cache, std::mt19937_64& random) {
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  switch (below(10)) {
    case 0:
    case 1:
    case 2: return build_sum(below(kSums));
    case 3:
    case 4: return build_part(below(kParts));
    case 5:
    case 6: return clear_part(below(kParts));
    case 7: return clear_sums();
    case 8: cache.collect(); return;
    default: cache.reindex(); return;
  }
}

int build(const std::string& directory, std::uint64_t seed, int steps) {
  std::mt19937_64 random(seed);
  while (steps > 0) {
    stook::Cache cache(directory);
    for (int i = 0; i < 8 && steps > 0; ++i, --steps) {
      step(cache, random);
      // A promise must hold by itself: mostly the next step would write what it left in memory.
      if (random() % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(random() % 4));
    }
  }
  return 0;
}

int check(const std::string& directory) {
  const auto start = std::chrono::steady_clock::now();
  stook::Cache cache(directory);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%.3f\n", took.count());
  for (int n = 0; n < kParts; ++n) {
    build_part(n);
    if (n % 2 != 0) look_at_file(n);
  }
  for (int n = 0; n < kSums; ++n) build_sum(n);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  log_file = ::open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  try {
    if (std::string(argv[3]) == "check") return check(argv[1]);
    return build(argv[1], std::strtoull(argv[3], nullptr, 10), std::atoi(argv[4]));
  } catch (const stook::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
