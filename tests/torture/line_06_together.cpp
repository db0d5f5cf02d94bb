// Line 6: processes publish, read, clear and collect together in one cache. No error is shown,
// nothing is lost, and what happened to each key could have happened in some order.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <map>
#include <random>
#include <vector>

#include "cache/maintain.h"
#include "src/hash.h"
#include "tests/torture/history.h"
#include "tests/torture/line.h"
#include "tests/torture/sample.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

constexpr int kKeys = 48;

std::string name_of(int key) { return "shared " + std::to_string(key); }

// The monotonic clock of all processes.
std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// One process: a line for each thing it did: key, kind, value, begin, end.
class Process {
 public:
  Process(const fs::path& cache, const fs::path& log, std::uint64_t number, std::uint64_t seed)
      : store_(detail::open_store(cache, options())), out_(log), number_(number), random_(seed) {}

  void run(int operations) {
    for (int i = 0; i < operations; ++i) {
      const int key = static_cast<int>(random_() % kKeys);
      const std::uint64_t what = random_() % 1000;
      if (what < 600) {
        read(key);
      } else if (what < 900) {
        publish(key);
      } else if (what < 998) {
        clear(key);
      } else {
        collect(*store_);
      }
    }
    if (warned_) throw std::runtime_error("it was warned: " + warning_);
  }

 private:
  detail::StoreOptions options() {
    detail::StoreOptions options;
    options.warn = [this](std::string_view line) {
      warned_ = true;
      warning_ = line;
    };
    return options;
  }

  void note(int key, Done::Kind kind, std::uint64_t value, std::int64_t begin) {
    out_ << key << ' ' << static_cast<int>(kind) << ' ' << value << ' ' << begin << ' ' << now()
         << '\n';
  }

  std::uint64_t value_in(const detail::Entry& entry) {
    if (entry.state == detail::RecordState::missing) return 0;
    const auto value = store_->read_value(entry, "text");
    if (!value) throw std::runtime_error("a value is lost: " + value.reason());
    const auto bytes = (*value)->bytes();
    return std::stoull(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }

  void read(int key) {
    const std::int64_t begin = now();
    const detail::Entry entry = entry_of(*store_, name_of(key));
    const std::int64_t end = now();
    const std::uint64_t value = value_in(entry);
    out_ << key << " 1 " << value << ' ' << begin << ' ' << end << '\n';
  }

  // As a run does: whoever claims a key may publish it; it is done when others can read it.
  void publish(int key) {
    const Key id{detail::hash_bytes(name_of(key))};
    detail::Entry entry = entry_of(*store_, name_of(key));
    if (store_->claim(id, entry) != detail::Claim::acquired) return;
    const std::uint64_t value = ++count_ * 1000 + number_;
    const std::int64_t begin = now();
    publish_value(*store_, {name_of(key), "Shared", {}, false, false}, std::to_string(value));
    store_->make_readable(entry_of(*store_, name_of(key)));
    note(key, Done::Kind::write, value, begin);
  }

  void clear(int key) {
    const std::int64_t begin = now();
    store_->clear(Key{detail::hash_bytes(name_of(key))});
    note(key, Done::Kind::write, 0, begin);
  }

  bool warned_ = false;
  std::string warning_;
  const std::unique_ptr<detail::Store> store_;
  std::ofstream out_;
  const std::uint64_t number_;
  std::mt19937_64 random_;
  std::uint64_t count_ = 0;
};

using Histories = std::map<int, std::vector<std::vector<Done>>>;  // by key, by process

Histories read_logs(const fs::path& directory, int processes) {
  Histories histories;
  for (int p = 0; p < processes; ++p) {
    std::ifstream in(directory / ("log" + std::to_string(p)));
    Done done;
    for (int key = 0, kind = 0; in >> key >> kind >> done.value >> done.begin >> done.end;) {
      done.kind = static_cast<Done::Kind>(kind);
      auto& of_key = histories[key];
      of_key.resize(static_cast<std::size_t>(processes));
      of_key[static_cast<std::size_t>(p)].push_back(done);
    }
  }
  return histories;
}

// What is there when all have ended counts as read once more.
void add_last_look(Histories& histories, const fs::path& cache) {
  const auto store = detail::open_store(cache);
  for (auto& [key, of_key] : histories) {
    const detail::Entry entry = entry_of(*store, name_of(key));
    Done last{Done::Kind::read, 0, now(), now()};
    if (entry.state != detail::RecordState::missing) {
      const auto value = store->read_value(entry, "text");
      if (!value) throw std::runtime_error("a value is lost: " + value.reason());
      const auto bytes = (*value)->bytes();
      last.value =
          std::stoull(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    }
    of_key.push_back({last});
  }
}

std::uint64_t together(Line& line, int processes, int operations, std::uint64_t seed) {
  const fs::path directory = line.directory() / std::to_string(seed);
  fs::create_directory(directory);
  line.in_slices(processes, [&](int p) {
    Process process(directory / "cache", directory / ("log" + std::to_string(p)),
                    static_cast<std::uint64_t>(p), seed * 100 + static_cast<std::uint64_t>(p));
    process.run(operations);
    return 0;
  });
  return line.in_slices(1, [&](int) {
    Histories histories = read_logs(directory, processes);
    add_last_look(histories, directory / "cache");
    std::uint64_t noted = 0;
    for (const auto& [key, of_key] : histories) {
      for (const auto& of_process : of_key) noted += of_process.size();
      const std::string why = why_no_order(of_key);
      if (why.empty()) continue;
      line.violation(name_of(key) + " has a history without an order, part " +
                     std::to_string(seed) + "; " + why);
    }
    return noted;
  });
}

int run(Line& line) {
  const int processes = line.nightly() ? 64 : 16;
  // In parts: a history is looked at as a whole.
  const int parts = line.nightly() ? 300 : 1;
  std::uint64_t done = 0;
  for (int part = 0; part < parts; ++part) {
    done += together(line, processes, line.nightly() ? 3334 : 3000,
                     line.seed() + static_cast<std::uint64_t>(part));
  }
  return line.finish(
      std::to_string(processes) + " processes on one cache: " + std::to_string(done) +
      " operations noted, the histories of " + std::to_string(kKeys) + " keys have an order");
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
