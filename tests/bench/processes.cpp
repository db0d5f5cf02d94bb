// Figures of the executors, each beside what the machine can do, measured in the same run.
//   bench_processes pool N DIR | pair N DIR | input MIB DIR | prefix N DIR | alone N DIR
//   bench_processes spawn N | spawnenv N           the program alone, or behind env
//   bench_processes pilots N DIR | tcp N DIR | array N DIR | srun N DIR     where a Slurm runs
// One measurement a process: tools/dev/bench dispatch calls it and prints the table.

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <stook/stook.hpp>

extern char** environ;

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Leaf : stook::Task<Leaf, long(int)> {
  const int n;
  explicit Leaf(int number) : n(number) {}
  long run_task() { return n; }
};
struct Wide : stook::Task<Wide, long(int)> {
  stook::FutureList<long> leaves;
  explicit Wide(int count) {
    for (int i = 0; i < count; ++i) leaves.push_back(Leaf::make(i));
  }
  long run_task() {
    long sum = 0;
    for (const long leaf : *leaves) sum += leaf;
    return sum;
  }
};
struct Bytes : stook::Task<Bytes, std::vector<double>(int)> {
  static constexpr int task_compress_level = 0;
  const int megabytes;
  explicit Bytes(int size) : megabytes(size) {}
  std::vector<double> run_task() {
    return std::vector<double>(static_cast<std::size_t>(megabytes) * (1 << 17), 0.5);
  }
};
struct TakesBytes : stook::Task<TakesBytes, double(int, int)> {
  stook::Future<std::vector<double>> bytes;
  TakesBytes(int megabytes, int) : bytes(Bytes::make(megabytes)) {}
  double run_task() { return bytes->back(); }
};

void pool(int n, const fs::path& dir) {
  stook::Cache cache(dir);
  stook::RunOptions options;
  options.executor = stook::processes(2);
  const auto start = Clock::now();
  const auto outcome = Wide::make(n).run_graph(options);
  std::printf("pool %d: %.2f us a task, ran %zu\n", n, seconds_since(start) * 1e6 / n,
              outcome.stats.ran);
}

// On whatever Slurm there is: by pilots, or by an srun each; or each behind a prefix command.
void outside(const std::string& how, int n, const fs::path& dir) {
  stook::Cache cache(dir);
  stook::RunOptions options;
  if (how == "prefix" || how == "alone") {
    options.prefixes = {{Leaf::make(0).task_name(), how == "prefix" ? "/usr/bin/env" : ""}};
    options.rate_limits = {{Leaf::make(0).task_name(), 2}};
  } else {
    stook::SlurmOptions slurm{.max_workers = 4, .mode = how};
    if (how == "tcp") slurm = {.max_workers = 4, .transport = "tcp", .address = "127.0.0.1"};
    options.executor = stook::slurm(slurm);
  }
  const auto start = Clock::now();
  const auto outcome = Wide::make(n).run_graph(options);
  std::printf("%s %d: %.2f us a task, ran %zu\n", how.c_str(), n, seconds_since(start) * 1e6 / n,
              outcome.stats.ran);
}

// One start of this program for each task, with `env` in front of it or without.
void spawn(int n, bool env) {
  const char* const program = env ? "/usr/bin/env" : "/proc/self/exe";
  const std::string self = fs::read_symlink("/proc/self/exe").string();
  const auto start = Clock::now();
  for (int i = 0; i < n; i += 2) {
    pid_t children[2];
    for (pid_t& child : children) {
      const char* argv[] = {program, env ? self.c_str() : "nothing", env ? "nothing" : nullptr,
                            nullptr};
      if (::posix_spawn(&child, program, nullptr, nullptr, const_cast<char**>(argv), environ) !=
          0) {
        std::abort();
      }
    }
    for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  }
  std::printf("spawn%s %d: %.2f us a task\n", env ? "env" : "", n, seconds_since(start) * 1e6 / n);
}

// Two bare processes that get the same messages in batches, answer with the same, and have the
// same records appended.
void pair(int n, const fs::path& dir) {
  fs::create_directories(dir);
  constexpr std::size_t job = 260;
  constexpr std::size_t answer = 170;
  constexpr std::size_t batch = 64;
  const int pack = ::open((dir / "pack").c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  int sockets[2];
  const auto start = Clock::now();
  for (int& socket : sockets) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::abort();
    if (::fork() == 0) {
      std::vector<char> in(job * batch);
      std::vector<char> out(answer * batch);
      ::close(ends[0]);
      for (;;) {
        std::size_t got = 0;
        while (got < in.size()) {
          const ssize_t r = ::read(ends[1], in.data() + got, in.size() - got);
          if (r <= 0) ::_exit(0);
          got += static_cast<std::size_t>(r);
        }
        for (std::size_t i = 0; i < batch; ++i) {
          const XXH128_hash_t hash = XXH3_128bits(in.data() + i * job, job);
          std::memcpy(out.data() + i * answer, &hash, sizeof hash);
        }
        if (::write(ends[1], out.data(), out.size()) < 0) ::_exit(1);
      }
    }
    ::close(ends[1]);
    socket = ends[0];
  }
  std::vector<char> jobs(job * batch);
  std::vector<char> answers(answer * batch);
  std::string records;
  int sent[2] = {};
  const int rounds = n / static_cast<int>(batch) / 2;
  const auto send = [&](int which) {
    if (sent[which]++ >= rounds) return;
    if (::write(sockets[which], jobs.data(), jobs.size()) < 0) std::abort();
  };
  for (int which : {0, 1, 0, 1}) send(which);
  for (int round = 0; round < rounds; ++round) {
    for (const int which : {0, 1}) {
      std::size_t got = 0;
      while (got < answers.size()) {
        const ssize_t r = ::read(sockets[which], answers.data() + got, answers.size() - got);
        if (r <= 0) std::abort();
        got += static_cast<std::size_t>(r);
      }
      for (std::size_t i = 0; i < batch; ++i) {
        char record[200] = {};
        std::memcpy(record, answers.data() + i * answer, answer);
        const XXH128_hash_t check = XXH3_128bits(record, 184);
        std::memcpy(record + 184, &check, sizeof check);
        records.append(record, sizeof record);
      }
      send(which);
      if (records.size() >= 1 << 16) {
        if (::write(pack, records.data(), records.size()) < 0) std::abort();
        records.clear();
      }
    }
  }
  if (::write(pack, records.data(), records.size()) < 0 || ::fdatasync(pack) != 0) std::abort();
  for (const int socket : sockets) ::close(socket);
  while (::wait(nullptr) > 0) {}
  std::printf("pair %d: %.2f us a task\n", n, seconds_since(start) * 1e6 / n);
}

// A large input to a worker, against reading the file.
void input(int megabytes, const fs::path& dir) {
  stook::Cache cache(dir);
  stook::RunOptions options;
  options.executor = stook::processes(1);
  (void)Bytes::make(megabytes).run_graph(options);
  (void)Leaf::make(1).run_graph(options);
  auto start = Clock::now();
  (void)Leaf::make(2).run_graph(options);
  const double empty = seconds_since(start);
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    start = Clock::now();
    (void)TakesBytes::make(megabytes, round).run_graph(options);
    best = std::min(best, seconds_since(start) - empty);
  }
  fs::path object;
  for (const auto& entry : fs::recursive_directory_iterator(dir / "objects")) {
    if (entry.is_regular_file()) object = entry.path();
  }
  double read = 1e9;
  for (int round = 0; round < 5; ++round) {
    start = Clock::now();
    const int fd = ::open(object.c_str(), O_RDONLY);
    const std::size_t size = static_cast<std::size_t>(megabytes) << 20;
    auto memory = std::make_unique_for_overwrite<char[]>(size);
    std::size_t got = 0;
    while (got < size) {
      const ssize_t r = ::read(fd, memory.get() + got, size - got);
      if (r <= 0) break;
      got += static_cast<std::size_t>(r);
    }
    ::close(fd);
    read = std::min(read, seconds_since(start));
  }
  std::printf("input %d MiB: %.2f ms in a worker, read %.2f ms, ratio %.2f\n", megabytes,
              best * 1e3, read * 1e3, best / read);
}

}  // namespace

int main(int argc, char** argv) {
  stook::init(argc, argv);
  const std::string what = argc > 1 ? argv[1] : "";
  const int n = argc > 2 ? std::atoi(argv[2]) : 0;
  const fs::path dir = argc > 3 ? argv[3] : "";
  if (what == "pool") pool(n, dir);
  else if (what == "pilots" || what == "tcp" || what == "srun" || what == "array" ||
           what == "prefix" || what == "alone")
    outside(what, n, dir);
  else if (what == "spawn" || what == "spawnenv") spawn(n, what == "spawnenv");
  else if (what == "pair") pair(n, dir);
  else if (what == "input") input(n, dir);
  else if (what == "nothing") return 0;
  else return 2;
  return 0;
}
