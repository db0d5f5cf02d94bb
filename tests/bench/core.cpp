// Figures of the core, each beside what the machine can do, measured in the same run.
//   bench_core make | plan DIR | floor N DIR | cold N DIR | noop N DIR | open DIR | chain N DIR |
//   big DIR
// One measurement a process: tools/dev/bench calls it, repeats it and prints the table.

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/execution.h"
#include "src/plan.h"

#include <stook/stook.hpp>

namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

struct Leaf : stook::Task<Leaf, long(int, int)> {
  const int n;
  Leaf(int number, int) : n(number) {}
  long run_task() { return n; }
};
struct Wide : stook::Task<Wide, long(int)> {
  stook::FutureList<long> leaves;
  explicit Wide(int count) {
    leaves.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) leaves.push_back(Leaf::make(i, 0));
  }
  long run_task() {
    long sum = 0;
    for (const long leaf : *leaves) sum += leaf;
    return sum;
  }
};
struct Chain : stook::Task<Chain, long(long)> {
  stook::Future<long> next;
  explicit Chain(long n) { next = n == 0 ? stook::Const(0L) : stook::Future<long>(make(n - 1)); }
  long run_task() { return *next + 1; }
};
struct Big : stook::Task<Big, std::vector<double>(long)> {
  static constexpr int task_compress_level = 0;
  const long n;
  explicit Big(long size) : n(size) {}
  std::vector<double> run_task() { return std::vector<double>(static_cast<std::size_t>(n), 0.5); }
};

template <class F> double nanoseconds_each(int count, F f) {
  double best = 1e9;
  for (int round = 0; round < 7; ++round) {
    const auto start = Clock::now();
    for (int i = 0; i < count; ++i) f(i);
    best = std::min(best, seconds_since(start) * 1e9 / count);
  }
  return best;
}

// The same arguments encoded by hand and hashed, against make().
void bench_make() {
  volatile std::uint64_t sink = 0;
  const double hand = nanoseconds_each(1'000'000, [&](int i) {
    char bytes[96] = "stook key 1 Leaf 0";
    std::memcpy(bytes + 40, &i, sizeof i);
    std::memcpy(bytes + 49, &i, sizeof i);
    sink = sink + XXH3_128bits(bytes, 58).low64;
  });
  const double make =
      nanoseconds_each(1'000'000, [&](int i) { sink = sink + Leaf::make(i, i).key().low; });
  std::printf("hand %.1f ns, make %.1f ns, ratio %.1f\n", hand, make, make / hand);
}

// Planning alone: what a run does for a task between its make() and its being ready to start, in
// an empty cache. Small graphs again and again, as make() is measured: in warm memory.
void bench_plan(const fs::path& dir) {
  constexpr int leaves = 500;
  stook::Cache cache(dir);
  stook::detail::Store& store = stook::detail::current_store();
  int argument = 0;
  const double make = nanoseconds_each(200,
                                       [&](int) {
                                         std::vector<stook::TaskRef<Leaf>> held;
                                         held.reserve(leaves);
                                         for (int i = 0; i < leaves; ++i)
                                           held.push_back(Leaf::make(argument++, 0));
                                       }) /
                      leaves;
  const double plan =
      nanoseconds_each(200,
                       [&](int) {
                         stook::detail::Execution execution(store);
                         const auto root = Wide::make(leaves);
                         const stook::detail::Plan planned(store, execution, {root.spec()}, false);
                         if (planned.order.size() != leaves + 1) std::abort();
                       }) /
      leaves;
  std::printf(
      "plan: make and hold %.1f ns, planning what was made %.1f ns a task, ratio %.1f; with "
      "the making %.1f\n",
      make, plan - make, (plan - make) / make, plan / make);
}

void cold(int n, const fs::path& dir) {
  stook::Cache cache(dir);
  const auto start = Clock::now();
  const double cpu = cpu_seconds();
  const auto outcome = Wide::make(n).run_graph();
  std::printf("cold W1 %d: %.3f us wall, %.3f us cpu per task, ran %zu\n", n,
              seconds_since(start) * 1e6 / n, (cpu_seconds() - cpu) * 1e6 / n, outcome.stats.ran);
}

// Key, pack record and index row, in bulk, nothing else: what a cached task system cannot do
// without. The row says what must be known of a result without reading it: which task, whether it
// answers, what its value is, where it lies, what it cost.
void floor_loop(int n, const fs::path& dir) {
  fs::create_directories(dir);
  sqlite3* db = nullptr;
  sqlite3_open((dir / "floor.sqlite").c_str(), &db);
  sqlite3_exec(db,
               "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0;"
               "CREATE TABLE r(high INT, low INT, id INT, class INT, version INT, state INT, "
               "digest_high INT, digest_low INT, pack INT, offset INT, bytes INT, seconds REAL, "
               "seq INT, used INT, PRIMARY KEY(high, low)) WITHOUT ROWID",
               nullptr, nullptr, nullptr);
  const int fd = ::open((dir / "floor.pack").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
  const auto start = Clock::now();
  const double cpu = cpu_seconds();
  struct Row {
    XXH128_hash_t key, digest;
    long id, offset;
  };
  std::vector<Row> rows(static_cast<std::size_t>(n));
  std::string buffer;
  long offset = 0;
  for (int i = 0; i < n; ++i) {
    char bytes[64] = "stook key 1 Leaf 0";
    std::memcpy(bytes + 40, &i, sizeof i);
    const XXH128_hash_t key = XXH3_128bits(bytes, 49);
    const XXH128_hash_t digest = XXH3_128bits(&i, sizeof i);
    char record[200] = {};
    std::memcpy(record, &key, sizeof key);
    std::memcpy(record + 16, &digest, sizeof digest);
    std::memcpy(record + 100, &i, sizeof i);
    const XXH128_hash_t check = XXH3_128bits(record, 184);
    std::memcpy(record + 184, &check, sizeof check);
    buffer.append(record, sizeof record);
    rows[static_cast<std::size_t>(i)] = {key, digest, i + 1, offset};
    offset += static_cast<long>(sizeof record);
    if (buffer.size() >= 1 << 16) {
      if (::write(fd, buffer.data(), buffer.size()) < 0) std::abort();
      buffer.clear();
    }
  }
  if (::write(fd, buffer.data(), buffer.size()) < 0 || ::fdatasync(fd) != 0) std::abort();
  const auto signed_of = [](std::uint64_t x) { return static_cast<std::int64_t>(x); };
  std::sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
    return std::pair(signed_of(a.key.high64), signed_of(a.key.low64)) <
           std::pair(signed_of(b.key.high64), signed_of(b.key.low64));
  });
  sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr);
  sqlite3_stmt* insert = nullptr;
  sqlite3_prepare_v2(db, "INSERT INTO r VALUES(?,?,?,1,0,2,?,?,1,?,?,?,?,20000)", -1, &insert,
                     nullptr);
  for (const Row& row : rows) {
    int at = 0;
    for (const std::uint64_t column :
         {row.key.high64, row.key.low64, static_cast<std::uint64_t>(row.id), row.digest.high64,
          row.digest.low64, static_cast<std::uint64_t>(row.offset), std::uint64_t{200}}) {
      sqlite3_bind_int64(insert, ++at, signed_of(column));
    }
    sqlite3_bind_double(insert, ++at, 1e-6);
    sqlite3_bind_int64(insert, ++at, row.id);
    sqlite3_step(insert);
    sqlite3_reset(insert);
  }
  sqlite3_finalize(insert);
  sqlite3_exec(db, "COMMIT", nullptr, nullptr, nullptr);
  std::printf("floor %d: %.3f us wall, %.3f us cpu per task\n", n, seconds_since(start) * 1e6 / n,
              (cpu_seconds() - cpu) * 1e6 / n);
  sqlite3_close(db);
  ::close(fd);
}

void noop(int n, const fs::path& dir) {
  stook::Cache cache(dir);
  const auto outcome = Wide::make(n).run_graph();
  std::printf("noop %d: value %ld, constructed %zu\n", n, outcome.value, outcome.stats.planned);
}

// Opens the cache and reads one result.
void open_and_read(int n, const fs::path& dir) {
  stook::Cache cache(dir);
  std::printf("read %ld\n", Wide::make(n).get_result());
}

void chain(int n, const fs::path& dir) {
  stook::Cache cache(dir);
  const double cpu = cpu_seconds();
  const auto start = Clock::now();
  const auto outcome = Chain::make(n).run_graph();
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf("chain %d: %.3f us wall, %.3f us cpu per task, value %ld, %ld bytes per task\n", n,
              seconds_since(start) * 1e6 / n, (cpu_seconds() - cpu) * 1e6 / n, outcome.value,
              usage.ru_maxrss * 1024 / n);
}

void big(const fs::path& dir) {
  constexpr long count = (1L << 30) / sizeof(double);
  fs::create_directories(dir);
  std::vector<double> values(count, 0.5);
  const fs::path plain = dir / "plain";
  auto start = Clock::now();
  int fd = ::open(plain.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
  const char* at = reinterpret_cast<const char*>(values.data());
  for (std::size_t left = 1UL << 30; left > 0;) {
    const ssize_t done = ::write(fd, at, left);
    if (done <= 0) std::abort();
    at += done;
    left -= static_cast<std::size_t>(done);
  }
  ::close(fd);
  const double plain_write = seconds_since(start);
  values = {};
  start = Clock::now();
  fd = ::open(plain.c_str(), O_RDONLY);
  auto read_back = std::make_unique_for_overwrite<char[]>(1UL << 30);
  for (std::size_t got = 0; got < 1UL << 30;) {
    const ssize_t done = ::read(fd, read_back.get() + got, (1UL << 30) - got);
    if (done <= 0) std::abort();
    got += static_cast<std::size_t>(done);
  }
  ::close(fd);
  const double plain_read = seconds_since(start);
  read_back.reset();
  fs::remove(plain);
  stook::Cache cache(dir / "cache");
  const auto task = Big::make(count);
  const auto stats = task.run_graph().stats;
  const double stook_write = stats.wall_seconds - stats.busy_seconds;
  start = Clock::now();
  const auto& back = task.get_result();
  const double stook_read = seconds_since(start);
  std::printf("1 GiB: write %.2f s, stook %.2f s; read %.2f s, stook %.2f s (%zu doubles)\n",
              plain_write, stook_write, plain_read, stook_read, back.size());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const int n = argc > 2 ? std::atoi(argv[2]) : 0;
  const fs::path dir = argc > 3 ? argv[3] : argc > 2 ? argv[2] : "";
  if (what == "make") bench_make();
  else if (what == "plan") bench_plan(dir);
  else if (what == "floor") floor_loop(n, dir);
  else if (what == "cold") cold(n, dir);
  else if (what == "noop") noop(n, dir);
  else if (what == "open") open_and_read(n, dir);
  else if (what == "chain") chain(n, dir);
  else if (what == "big") big(dir);
  else return 2;
  return 0;
}
