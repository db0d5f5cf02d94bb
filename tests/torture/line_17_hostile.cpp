// Line 17: bundles and cache directories that somebody has made to do harm. Each is refused with a
// reason that names it (or what is bad in it is not there), in less than 64 MB; what was in the
// cache is as it was, and nothing outside of it is touched.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <sstream>

#include "cache/database.h"
#include "cache/maintain.h"
#include "runtime/bundle_import.h"
#include "runtime/task_directory.h"
#include "src/external.h"
#include "src/os.h"
#include "tests/torture/hostile.h"
#include "tests/torture/line.h"
#include "tests/torture/sample.h"
#include "tests/torture/tracer.h"

#include <stook/errors.hpp>

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

constexpr long kMostKilobytes = 64 << 10;

struct BadDirectory {
  std::string name;
  std::string reason;  // is in the error; empty: it opens, and what is bad in it is a miss
  std::function<void(const fs::path& cache, const fs::path& outside)> spoil;
};

void link_to(const fs::path& path, const fs::path& target) {
  fs::remove_all(path);
  fs::create_symlink(target, path);
}

void pipe_at(const fs::path& path) {
  fs::remove_all(path);
  if (mkfifo(path.c_str(), 0600) != 0) throw std::runtime_error("no pipe");
}

void link_hard(const fs::path& path, const fs::path& victim) {
  fs::remove(path);
  fs::create_hard_link(victim, path);
}

fs::path first_file(const fs::path& below) {
  for (const auto& entry : fs::recursive_directory_iterator(below)) {
    if (entry.is_regular_file()) return entry.path();
  }
  throw std::runtime_error("no file in " + below.string());
}

// As stook writes them: the checksum of each page holds.
void alter_index(const fs::path& cache, const char* sql) {
  detail::Database(cache / "index.sqlite", detail::Database::Mode::write).execute(sql);
}

std::vector<BadDirectory> bad_directories() {
  std::vector<BadDirectory> all = {
      {"all is well", "", [](const fs::path&, const fs::path&) {}},
      {"everybody may write", "chmod 700",
       [](const fs::path& cache, const fs::path&) { fs::permissions(cache, fs::perms::all); }},
      {"the group may write", "chmod 700",
       [](const fs::path& cache, const fs::path&) {
         fs::permissions(cache, fs::perms::owner_all | fs::perms::group_all);
       }},
      {"no cache yet, others may write, and something is there", "others may write",
       [](const fs::path& cache, const fs::path&) {
         fs::remove(cache / "FORMAT");
         fs::permissions(cache, fs::perms::all);
       }},
      {"the cache is a link", "ymbolic link",
       [](const fs::path& cache, const fs::path& outside) {
         fs::rename(cache, outside / "cache");
         fs::create_symlink(outside / "cache", cache);
       }},
      {"a pack is a link", "symbolic link",
       [](const fs::path& cache, const fs::path& outside) {
         link_to(first_file(cache / "packs"), outside / "file");
       }},
      {"a pack is a pipe", "",
       [](const fs::path& cache, const fs::path&) { pipe_at(first_file(cache / "packs")); }},
      {"an object is a link", "",
       [](const fs::path& cache, const fs::path& outside) {
         link_to(first_file(cache / "objects"), outside / "file");
       }},
      {"an object is a pipe", "",
       [](const fs::path& cache, const fs::path&) { pipe_at(first_file(cache / "objects")); }},
      {"a directory of objects is a link", "symbolic link",
       [](const fs::path& cache, const fs::path& outside) {
         link_to(first_file(cache / "objects").parent_path(), outside);
       }},
      {"a class of tasks is a link", "symbolic link",
       [](const fs::path& cache, const fs::path& outside) {
         link_to(cache / "tasks" / "Leaf", outside);
       }},
      {"a mark that points outside", "",
       [](const fs::path& cache, const fs::path&) {
         write_file(cache / "spool" / ("rebuild-" + std::string(32, 'a')), "tasks/../../outside\n");
       }},
      {"a mark that is a pipe", "",
       [](const fs::path& cache, const fs::path&) {
         pipe_at(cache / "spool" / ("rebuild-" + std::string(32, 'b')));
       }},
      {"a trigger in the index", "",
       [](const fs::path& cache, const fs::path&) {
         alter_index(cache, "CREATE TRIGGER t AFTER UPDATE ON records BEGIN "
                            "UPDATE records SET digest_high = 1; END");
       }},
      {"a view in the index", "",
       [](const fs::path& cache, const fs::path&) {
         alter_index(cache, "ALTER TABLE keys RENAME TO k;"
                            "CREATE VIEW keys AS SELECT 1 high, 2 low, 3 id");
       }},
      {"another table in the index", "",
       [](const fs::path& cache, const fs::path&) {
         alter_index(cache, "ALTER TABLE packs RENAME COLUMN retired TO other");
       }},
      {"a number that two tasks have", "",
       [](const fs::path& cache, const fs::path&) {
         write_file(cache / "packs" / "0099.pack", pack_of({{.id = 1}}));
       }},
      {"a value that says 10 GB", "", [](const fs::path& cache, const fs::path&) {
         HostileRecord lies;
         lies.value = std::string(200'000, 'x');
         lies.in_object = true;
         lies.raw_bytes = std::uint64_t{10} << 30;
         write_file(cache / object_name(lies.value), lies.value);
         write_file(cache / "packs" / "0099.pack", pack_of({lies}));
       }}};
  for (const char* name : {"packs", "objects", "tasks", "spool", "runs"}) {
    all.push_back({std::string(name) + " is a link", "symbolic link",
                   [name](const fs::path& cache, const fs::path& outside) {
                     link_to(cache / name, outside);
                   }});
  }
  for (const char* name : {"FORMAT", ".claims", "index.sqlite", "index.sqlite-wal", ".rebuild"}) {
    all.push_back({std::string(name) + " is a link", "symbolic link",
                   [name](const fs::path& cache, const fs::path& outside) {
                     link_to(cache / name, outside / "file");
                   }});
    all.push_back({std::string(name) + " is a pipe", "not a file",
                   [name](const fs::path& cache, const fs::path&) { pipe_at(cache / name); }});
  }
  for (const char* name : {".claims", "index.sqlite"}) {
    all.push_back({std::string(name) + " is another file", "hard link",
                   [name](const fs::path& cache, const fs::path& outside) {
                     link_hard(cache / name, outside / "file");
                   }});
  }
  if (geteuid() == 0) {
    constexpr uid_t kSomebody = 12345;
    const auto give = [](const fs::path& path) { (void)!chown(path.c_str(), kSomebody, 12345); };
    all.push_back({"another user's", "belongs to user",
                   [=](const fs::path& cache, const fs::path&) { give(cache); }});
    all.push_back({"another user's index", "belongs to user",
                   [=](const fs::path& cache, const fs::path&) { give(cache / "index.sqlite"); }});
  }
  return all;
}

// What a child says: the error, empty where there was none, and the most memory it had.
struct Said {
  std::string text;
  long kilobytes = 0;
  bool hung_or_died = false;
};

class Hostile {
 public:
  explicit Hostile(Line& line) : line_(line) {
    fs::create_directory(outside_);
    write_file(outside_ / "file", "not ours");
    write_file(outside_ / "1" / "data" / "file", "not ours either");
    make_sample(good_);
    before_ = detail::digest_directory(outside_);
  }

  void bundle(const BadBundle& bad, bool piped) {
    copy_cache(good_, cache_);
    write_file(file_, bad.bytes);
    const Said said = child([&] {
      const Sample sample(cache_);
      const detail::Fd fd = piped ? reader_of(file_) : detail::os_open(file_, O_RDONLY);
      (void)detail::import_bundle(*sample, fd.get(), "bad", false);
    });
    judge("bundle, " + bad.name + (piped ? ", from a pipe" : ""), bad.reason, said);
    look_after("bundle, " + bad.name, true);
  }

  void directory(const BadDirectory& bad) {
    fs::remove_all(outside_ / "cache");
    copy_cache(good_, cache_);
    fs::permissions(cache_, fs::perms::owner_all);
    bad.spoil(cache_, outside_);
    const Digest outside = detail::digest_directory(outside_);
    const Said said = child([&] {
      Sample sample(cache_);
      detail::restore_directories(*sample);
      for (const char* name : {"a", "large", "task"}) {
        const auto value = sample->read_value(sample.entry(name), "text");
        const bool ours = name != std::string_view("task");
        if (ours && value && (*value)->bytes().size() != value_of(name).size()) {
          throw std::runtime_error(std::string(name) + " has a wrong value");
        }
      }
      (void)verify(*sample);
      sample.clear("a");
    });
    judge("directory, " + bad.name, bad.reason, said);
    if (detail::digest_directory(outside_) != outside) {
      line_.violation("directory, " + bad.name + ": something outside of it has changed");
    }
  }

  // A new one where others may write: it is made private.
  void new_one() {
    fs::remove_all(cache_);
    fs::create_directory(cache_);
    fs::permissions(cache_, fs::perms::all);
    const Said said = child([&] { const Sample sample(cache_); });
    judge("an empty directory for all", "", said);
    if ((fs::status(cache_).permissions() & (fs::perms::group_all | fs::perms::others_all)) !=
        fs::perms::none) {
      line_.violation("a new cache is open to others");
    }
  }

  [[nodiscard]] long most_kilobytes() const { return most_; }

 private:
  // The bytes of a file through a pipe: nobody can know beforehand how many there are.
  static detail::Fd reader_of(const fs::path& file) {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("no pipe");
    if (fork() == 0) {
      close(ends[0]);
      const detail::Fd from = detail::os_open(file, O_RDONLY);
      char piece[4096];
      signal(SIGPIPE, SIG_DFL);
      for (std::uint64_t at = 0;;) {
        const ssize_t n = detail::os_pread(from.get(), piece, sizeof piece, at);
        if (n <= 0 || !detail::os_write(ends[1], piece, static_cast<std::size_t>(n))) _exit(0);
        at += static_cast<std::uint64_t>(n);
      }
    }
    close(ends[1]);
    return detail::Fd(ends[0]);
  }

  Said child(const std::function<void()>& what) const {
    const fs::path report = line_.directory() / "said";
    const Ending ending = run_child([&] {
      std::string text;
      const rlimit most = {std::uint64_t{1} << 30, std::uint64_t{1} << 30};
      setrlimit(RLIMIT_AS, &most);  // nor may it ask for more than it touches
      try {
        what();
      } catch (const Error& error) { text = error.what(); } catch (const std::exception& error) {
        text = std::string("no error of stook: ") + error.what();
      }
      rusage usage = {};
      getrusage(RUSAGE_SELF, &usage);
      std::ofstream(report) << usage.ru_maxrss << ' ' << text << '\n';
      return 0;
    });
    Said said;
    said.hung_or_died = !ending.exited || ending.status != 0;
    std::ifstream in(report);
    in >> said.kilobytes;
    std::getline(in >> std::ws, said.text);
    return said;
  }

  void judge(const std::string& what, const std::string& reason, const Said& said) {
    most_ = std::max(most_, said.kilobytes);
    if (said.hung_or_died) return line_.violation(what + ": it hangs or crashes");
    if (said.kilobytes > kMostKilobytes) {
      line_.violation(what + ": it takes " + std::to_string(said.kilobytes) + " KB");
    }
    if (reason.empty() && !said.text.empty()) {
      line_.violation(what + ": it is refused: " + said.text);
    } else if (!reason.empty() && said.text.find(reason) == std::string::npos) {
      line_.violation(what + ": it is not refused for '" + reason +
                      "': " + (said.text.empty() ? "it is taken" : said.text));
    }
  }

  void look_after(const std::string& what, bool whole) {
    const Finding found = find_in(cache_, whole);
    if (!found.fault.empty()) line_.violation(what + ": afterwards " + found.fault);
    if (found.picture != find_in(good_).picture) line_.violation(what + ": the cache has changed");
    if (!fs::is_empty(cache_ / "spool" / "trash")) line_.violation(what + ": trash is left");
    for (const auto& entry : fs::directory_iterator(cache_ / "spool")) {
      if (entry.path().filename() != "trash")
        line_.violation(what + ": it leaves " + entry.path().string());
    }
    if (detail::digest_directory(outside_) != before_ || fs::exists("/tmp/evil") ||
        fs::exists(line_.directory() / "evil")) {
      line_.violation(what + ": something outside of the cache has changed");
    }
  }

  Line& line_;
  const fs::path outside_ = line_.directory() / "outside", good_ = line_.directory() / "good",
                 cache_ = line_.directory() / "cache", file_ = line_.directory() / "bundle";
  Digest before_;
  long most_ = 0;
};

int run(Line& line) {
  Hostile hostile(line);
  std::size_t bundles = 0, directories = 0;
  for (const BadBundle& bad : bad_bundles()) {
    hostile.bundle(bad, false);
    hostile.bundle(bad, true);
    ++bundles;
  }
  for (const BadDirectory& bad : bad_directories()) {
    hostile.directory(bad);
    ++directories;
  }
  hostile.new_one();
  return line.finish(std::to_string(bundles) + " hostile bundles, as files and through pipes, " +
                     std::to_string(directories) + " hostile cache directories, at most " +
                     std::to_string(hostile.most_kilobytes() >> 10) + " MB");
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
