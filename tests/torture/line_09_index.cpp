// Line 9: the index is deleted, emptied, overwritten or swapped for another cache's, at rest and
// while processes use it. Whoever opens the cache alone restores everything from the packs; a
// million entries take at most 60 s.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "cache/maintain.h"
#include "src/hash.h"
#include "src/os.h"
#include "tests/torture/line.h"
#include "tests/torture/operation.h"
#include "tests/torture/tracer.h"

#include <stook/errors.hpp>

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

struct Harm {
  std::string name;
  std::function<void(const fs::path& index, const fs::path& another)> do_it;
};

void overwrite(const fs::path& file, std::size_t from, const std::string& with) {
  const detail::Fd fd = detail::os_open(file, O_WRONLY);
  if (fd) (void)detail::os_pwrite(fd.get(), with.data(), with.size(), from);
}

const std::vector<Harm>& harms() {
  static const std::vector<Harm> all = {
      {"deleted", [](const fs::path& index, const fs::path&) { fs::remove(index); }},
      {"deleted with its log",
       [](const fs::path& index, const fs::path&) {
         for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(index.string() + suffix);
       }},
      {"without its log",
       [](const fs::path& index, const fs::path&) { fs::remove(index.string() + "-wal"); }},
      {"empty", [](const fs::path& index, const fs::path&) { fs::resize_file(index, 0); }},
      {"cut in half", [](const fs::path& index,
                         const fs::path&) { fs::resize_file(index, fs::file_size(index) / 2); }},
      {"text",
       [](const fs::path& index, const fs::path&) { std::ofstream(index) << "no database"; }},
      {"without its first page",
       [](const fs::path& index, const fs::path&) {
         overwrite(index, 0, std::string(4096, '\0'));
       }},
      {"without its other pages",
       [](const fs::path& index, const fs::path&) {
         overwrite(index, 4096, std::string(fs::file_size(index) - 4096, 'x'));
       }},
      {"another cache's", [](const fs::path& index, const fs::path& another) {
         fs::remove(index);
         fs::copy_file(another / "index.sqlite", index);
       }}};
  return all;
}

class Index {
 public:
  explicit Index(Line& line)
      : line_(line), good_(line.directory() / "good"), another_(line.directory() / "another"),
        cache_(line.directory() / "cache") {
    make_sample(good_);
    truth_ = find_in(good_).picture;
    (void)run_child([&] {
      Sample sample(another_);
      for (const SampleTask& task : later_tasks()) sample.publish(task);
      publish_value(*sample, {"elsewhere", "Leaf", {}, false, false}, "x");
      return 0;
    });
  }

  void at_rest(const Harm& harm) {
    copy_cache(good_, cache_);
    harm.do_it(cache_ / "index.sqlite", another_);
    expect("at rest " + harm.name, truth_);
  }

  // One process has it open, does what a run does, and a second one comes.
  void in_use(const Harm& harm) {
    copy_cache(good_, cache_);
    Steps steps;
    const Ending ending = run_child([&] {
      Sample first(cache_);
      (void)first.look();
      harm.do_it(cache_ / "index.sqlite", another_);
      // A process that says so and stops is within its rights; one that lies or crashes is not.
      const auto use = [&](Sample& sample) {
        try {
          for (const auto& [name, state] : sample.look()) {
            const bool published = name == later_tasks()[0].name && state == "fresh";
            if (state == "missing" || state == "gone" || published) continue;
            if (state != truth_.at(name)) steps.done();
          }
        } catch (const Error&) {}
      };
      use(first);
      first.publish(later_tasks()[0]);
      try {
        Sample second(cache_);
        use(second);
      } catch (const Error&) {}
      try {
        first->flush();
      } catch (const Error&) {}
      return 0;
    });
    ++done;
    if (!ending.exited || ending.status != 0) {
      return line_.violation("in use " + harm.name + ": signal " + std::to_string(ending.signal) +
                             ", status " + std::to_string(ending.status));
    }
    if (steps.count() != 0) line_.violation("in use " + harm.name + ": a wrong state");
    Picture after = truth_;
    after["new"] = "fresh";
    expect("in use " + harm.name, after);
  }

  std::uint64_t done = 0;

 private:
  // The first who opens it alone restores it, the second finds it good.
  void expect(const std::string& what, const Picture& picture) {
    for (const char* const who : {"the first", "the second"}) {
      const Finding found = find_in(cache_, true);
      ++done;
      if (!found.fault.empty()) return line_.violation(what + ", " + who + ": " + found.fault);
      if (found.picture != picture) {
        return line_.violation(what + ", " + who + " sees " + to_text(found.picture));
      }
    }
  }

  Line& line_;
  const fs::path good_, another_, cache_;
  Picture truth_;
};

// Seconds to make the index anew.
double rebuild_many(Line& line, int count) {
  const fs::path cache = line.directory() / "many";
  const auto name = [](int i) { return "entry " + std::to_string(i); };
  (void)run_child(
      [&] {
        const auto store = detail::open_store(cache);
        for (int i = 0; i < count; ++i) {
          SampleTask task{name(i), "Many", {}, false, false};
          if (i > 0) task.upstream = {name(i / 2)};
          publish_value(*store, task, std::to_string(i));
        }
        return 0;
      },
      600);
  fs::remove(cache / "index.sqlite");
  double seconds = 0;
  line.in_slices(1, [&](int) {
    const auto start = std::chrono::steady_clock::now();
    const auto store = detail::open_store(cache);
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::ofstream(line.directory() / "seconds") << seconds;
    for (int i = 0; i < count; i += 997) {
      if (entry_of(*store, name(i)).state != detail::RecordState::fresh) {
        line.violation(name(i) + " is not restored");
      }
    }
    return 0;
  });
  std::ifstream(line.directory() / "seconds") >> seconds;
  if (seconds > 60) line.violation("making the index anew takes " + std::to_string(seconds) + " s");
  return seconds;
}

int run(Line& line) {
  Index index(line);
  for (const Harm& harm : harms()) {
    if (!line.wants("harms")) break;
    const bool has_log = harm.name.find("log") != std::string::npos;
    if (!has_log) index.at_rest(harm);
    index.in_use(harm);
  }
  const double seconds = line.wants("million") ? rebuild_many(line, 1'000'000) : 0;
  return line.finish("index harmed and restored: looked " + std::to_string(index.done) +
                     " times; a million entries in " + std::to_string(seconds) + " s");
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
