// Line 16: caches are collected beside readers and writers, and the collectors are killed in the
// middle. What a living process has found stays readable for it, nothing of today is evicted, and
// when all have ended the size is within 5 % of the limit.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <random>
#include <thread>
#include <vector>

#include "cache/maintain.h"
#include "cache/pack_store.h"
#include "src/hash.h"
#include "tests/torture/line.h"
#include "tests/torture/sample.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

constexpr int kSmall = 300, kLarge = 12;  // entries of 10 KB, and of 1.1 MB: objects
constexpr std::uint64_t kLimit = 4'000'000;

std::string name_of(int i) { return (i < kSmall ? "small " : "big ") + std::to_string(i); }

std::string content_of(int i) {
  std::mt19937_64 random(static_cast<std::uint64_t>(i));
  std::string text(i < kSmall ? 10'000 : 1'100'000, '\0');
  for (std::size_t at = 0; at + 8 <= text.size(); at += 8) {
    const std::uint64_t word = random();
    text.replace(at, 8, reinterpret_cast<const char*>(&word), 8);
  }
  return text;
}

detail::StoreOptions silent() {
  detail::StoreOptions options;
  options.warn = [](std::string_view) {};
  return options;
}

// Entries that nobody has used for ten days.
void make_old(const fs::path& cache) {
  const auto store = detail::open_store(cache, silent());
  for (int i = 0; i < kSmall + kLarge; ++i) {
    publish_value(*store, {name_of(i), "Old", {}, false, false}, content_of(i), 0);
  }
  store->flush();
  auto& real = dynamic_cast<detail::PackStore&>(*store);
  real.indexer().exclusively([](detail::Indexer::Transaction& transaction) {
    std::vector<std::uint64_t> ids;
    transaction.ingest.rows.for_each([&](const detail::Row& row) { ids.push_back(row.entry.id); });
    for (const std::uint64_t id : ids) transaction.ingest.rows.set_used(id, detail::today() - 10);
    transaction.outcome.states_moved = true;
  });
  for (const fs::path& object : real.objects().list()) {
    fs::last_write_time(object, fs::file_time_type::clock::now() - std::chrono::hours(240));
  }
}

// What is told between the processes of a round.
struct Told {
  std::atomic<bool> found{false}, end{false};
  std::atomic<std::uint64_t> reads{0}, lost{0}, wrong{0}, published{0};
};

// A run that has planned: it holds entries, and reads their values when it needs them.
int read_on(const fs::path& cache, Told& told) {
  const auto store = detail::open_store(cache, silent());
  std::vector<detail::Entry> entries;
  for (int i = 0; i < kSmall + kLarge; ++i) entries.push_back(entry_of(*store, name_of(i)));
  told.found = true;
  std::mt19937_64 random(1);
  while (!told.end) {
    const auto i = static_cast<int>(random() % entries.size());
    if (entries[static_cast<std::size_t>(i)].state != detail::RecordState::fresh) continue;
    const auto value = store->read_value(entries[static_cast<std::size_t>(i)], "text");
    ++told.reads;
    if (!value) {
      ++told.lost;
      continue;
    }
    const auto bytes = (*value)->bytes();
    const std::string_view got(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (got != content_of(i)) ++told.wrong;
  }
  return 0;
}

int write_on(const fs::path& cache, Told& told) {
  const auto store = detail::open_store(cache, silent());
  while (!told.end) {
    const std::string name = "today " + std::to_string(told.published);
    publish_value(*store, {name, "Today", {}, false, false}, name);
    store->flush();
    ++told.published;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return 0;
}

pid_t start(const std::function<int()>& body) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  alarm(120);
  int status = 1;
  try {
    status = body();
  } catch (const std::exception& error) { std::fprintf(stderr, "  %s\n", error.what()); }
  _exit(status);
}

int collect_once(const fs::path& cache) {
  const auto store = detail::open_store(cache, silent());
  detail::CollectOptions options;
  options.max_bytes = kLimit;
  collect(*store, options);
  return 0;
}

void expect_end(Line& line, pid_t pid, const char* who) {
  int status = 0;
  waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) line.violation(std::string(who) + " fails");
}

std::uint64_t one_round(Line& line, int number, int kills) {
  const fs::path cache = line.directory() / std::to_string(number);
  make_old(cache);
  void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Told& told = *new (page) Told();
  const pid_t reader = start([&] { return read_on(cache, told); });
  const pid_t writer = start([&] { return write_on(cache, told); });
  while (!told.found) std::this_thread::yield();
  std::mt19937_64 random(line.seed() + static_cast<std::uint64_t>(number));
  for (int i = 0; i < kills; ++i) {
    const pid_t collector = start([&] { return collect_once(cache); });
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 25'000));
    kill(collector, SIGKILL);
    waitpid(collector, nullptr, 0);
  }
  expect_end(line, start([&] { return collect_once(cache); }), "collect beside others");
  told.end = true;
  expect_end(line, reader, "the reader");
  expect_end(line, writer, "the writer");
  if (told.lost > 0) line.violation(std::to_string(told.lost) + " values were lost under a reader");
  if (told.wrong > 0) line.violation("a wrong value");
  const std::uint64_t reads = told.reads, published = told.published;
  munmap(page, 4096);
  line.in_slices(1, [&](int) {
    for (int i = 0; i < 2; ++i) collect_once(cache);  // alone: what was kept for the others goes
    const auto store = detail::open_store(cache, silent());
    for (std::uint64_t i = 0; i < published; ++i) {
      const std::string name = "today " + std::to_string(i);
      if (!store->read_value(entry_of(*store, name), "text")) line.violation(name + " is lost");
    }
    const detail::CacheStats sizes = stats(*store);
    if (sizes.bytes > kLimit + kLimit / 20) {
      line.violation("it has " + std::to_string(sizes.bytes) + " bytes, not " +
                     std::to_string(kLimit));
    }
    if (sizes.bytes < kLimit / 2) line.violation("more was evicted than had to be");
    if (!verify(*store).good()) line.violation("verify() finds defects");
    return 0;
  });
  return reads;
}

// Somebody opens the cache in the middle of a collection that had begun alone.
void open_meanwhile(Line& line, int number) {
  const fs::path cache = line.directory() / ("meanwhile" + std::to_string(number));
  make_old(cache);
  void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Told& told = *new (page) Told();
  std::mt19937_64 random(line.seed() * 77 + static_cast<std::uint64_t>(number));
  const pid_t collector = start([&] {
    const auto store = detail::open_store(cache, silent());
    told.found = true;
    detail::CollectOptions options;
    options.max_bytes = kLimit;
    collect(*store, options);
    told.end = true;
    return 0;
  });
  while (!told.found) std::this_thread::yield();
  const pid_t reader = start([&] {
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
    const auto store = detail::open_store(cache, silent());
    std::vector<detail::Entry> entries;
    for (int i = 0; i < kSmall + kLarge; ++i) entries.push_back(entry_of(*store, name_of(i)));
    while (!told.end) std::this_thread::yield();
    for (const detail::Entry& entry : entries) {
      if (entry.state != detail::RecordState::fresh) continue;
      if (!store->read_value(entry, "text")) ++told.lost;
    }
    return 0;
  });
  expect_end(line, collector, "collect");
  expect_end(line, reader, "the one who came");
  if (told.lost > 0)
    line.violation(std::to_string(told.lost) + " values were lost under one who came");
  munmap(page, 4096);
  fs::remove_all(cache);
}

int run(Line& line) {
  const int rounds = line.nightly() ? 500 : 8;
  const int kills = 20;
  std::uint64_t reads = 0;
  for (int i = 0; i < (line.nightly() ? 1000 : 30); ++i) open_meanwhile(line, i);
  for (int i = 0; i < rounds && line.wants("kills"); ++i) {
    reads += one_round(line, i, kills);
    fs::remove_all(line.directory() / std::to_string(i));
  }
  return line.finish("collected beside a reader and a writer: " + std::to_string(rounds * kills) +
                     " collectors killed, " + std::to_string(reads) + " reads");
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
