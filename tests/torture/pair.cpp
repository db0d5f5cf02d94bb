#include "tests/torture/pair.h"

#include <sys/stat.h>

#include <csignal>
#include <ctime>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <stook/stook.hpp>

#include "src/registry.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

Maker maker = '0';
bool same_again = false;  // what is made now is what '0' made
bool middle_fails = false;
bool middle_dies = false;

char mark() { return same_again ? '0' : maker; }

std::string content_of(const fs::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

}  // namespace

// "MCONTENT": the maker's mark and what was in the file.
struct Source : Task<Source, std::string()> {
  File input{"input"};
  std::string run_task() {
    const std::string value = mark() + content_of(*input);
    std::ofstream(task_directory() / "file") << value;
    return value;
  }
};

// An object of its own, that does not shrink.
struct Noise : Task<Noise, std::string()> {
  std::string run_task() {
    std::string value(1100 << 10, mark());
    std::uint64_t state = static_cast<unsigned char>(mark());
    for (std::size_t i = 1; i < value.size(); ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      value[i] = static_cast<char>(state >> 56);
    }
    return value;
  }
};

struct Middle : Task<Middle, std::string()> {
  Future<std::string> source = Source::make();
  Future<std::string> noise = Noise::make();
  std::string run_task() {
    const fs::path file = task_directory() / "file";
    if (middle_dies) raise(SIGKILL);
    const std::string value = mark() + (*noise).substr(0, 1) + *source;
    std::ofstream(file) << value;
    if (middle_fails) throw std::runtime_error("the middle fails");
    return value;
  }
};

struct Output : Task<Output, std::string()> {
  Future<std::string> middle = Middle::make();
  std::string run_task() { return mark() + *middle; }
};

namespace {

RunOptions options() {
  RunOptions result;
  result.jobs = 1;
  return result;
}

void run() { (void)Output::make().run_graph(options()); }
void clear_source() { (void)Source::make().clear_task(); }

// The clock that stamps files goes on, so that it is certain what a run has read.
void let_the_clock_tick(const fs::path& file) {
  struct stat seen = {};
  if (stat(file.c_str(), &seen) != 0) return;
  timespec now = {};
  do {
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
  } while (now.tv_sec == seen.st_ctim.tv_sec && now.tv_nsec <= seen.st_ctim.tv_nsec);
}

void change_input() {
  const fs::path aside = std::string("input.") + maker;
  std::ofstream(aside) << "made by " << maker;
  fs::rename(aside, "input");
  let_the_clock_tick("input");
}

void rebuild(Cache&) { run(); }

void fail(Cache&) {
  middle_fails = true;
  try {
    run();  // it may be there by now
  } catch (const TaskFailed&) {}
  middle_fails = false;
}

void die(Cache&) {
  middle_dies = true;
  run();
  raise(SIGKILL);
}

void reproduce(Cache&) {
  same_again = true;
  run();
  same_again = false;
}

void evict(Cache& cache) {
  CollectOptions limits;
  limits.max_bytes = 0;
  (void)cache.collect(limits);
}

void verify(Cache& cache) {
  const VerifyReport report = cache.verify();
  if (!report.defects.empty()) throw std::runtime_error("verify: " + report.defects.front());
}

void export_all(Cache& cache) { (void)cache.export_to(std::string("exported.") + maker); }

void clear_source_step(Cache&) { clear_source(); }

void change(Cache&) { change_input(); }

CacheOptions silent() {
  CacheOptions result;
  result.warn = [](std::string_view) {};
  return result;
}

void tell(Told& told, int status, const std::string& text) {
  text.copy(told.text.data(), told.text.size() - 1);
  told.status = status;
}

template <class T> std::string result_of(const TaskRef<T>& task, bool all_kept) {
  auto asked = task;
  const auto outcome = asked.run_graph(options());
  if (outcome.stats.ran != 0 && all_kept) {
    throw std::runtime_error("asked again, " + task.task_name() + " is executed by '" +
                             outcome.value.substr(0, 1) + "'");
  }
  return outcome.value;
}

template <class T> void expect_directory(const TaskRef<T>& task, const std::string& value) {
  const std::string content = content_of(task.task_directory() / "file");
  if (content == value) return;
  throw std::runtime_error(task.task_name() + " is '" + value + "', in its directory is '" +
                           content + "'");
}

// What was evicted is made anew only when somebody asks for it, and may then be another.
void make_all() {
  for (std::size_t ran = 1; ran != 0;) {
    ran = 0;
    ran += Output::make().run_graph(options()).stats.ran;
    ran += Source::make().run_graph(options()).stats.ran;
    ran += Noise::make().run_graph(options()).stats.ran;
  }
}

Makers look(const fs::path& directory, const Look& how) {
  maker = '9';
  Cache cache(directory, silent());
  if (how.settled_first) (void)cache.collect({.dry_run = true});
  run();
  if (!how.all_kept) make_all();
  const std::string output = result_of(Output::make(), how.all_kept),
                    middle = result_of(Middle::make(), how.all_kept);
  std::string source, noise;
  try {
    source = result_of(Source::make(), how.all_kept);
    noise = result_of(Noise::make(), how.all_kept);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(std::string(error.what()) + "; Output is '" + output + "'");
  }
  if (source.substr(1) != content_of("input")) {
    throw std::runtime_error("Source is made of '" + source.substr(1) + "'");
  }
  if (middle.substr(1) != noise.substr(0, 1) + source) {
    throw std::runtime_error("Middle is '" + middle + "', Source '" + source + "', Noise '" +
                             noise.substr(0, 1) + "'");
  }
  if (output.substr(1) != middle) {
    throw std::runtime_error("Output is '" + output + "', Middle '" + middle + "'");
  }
  expect_directory(Source::make(), source);
  expect_directory(Middle::make(), middle);
  verify(cache);
  return {source[0], noise[0], middle[0], output[0]};
}

}  // namespace

const std::vector<PairOperation>& pair_operations() {
  static const std::vector<PairOperation> operations = {
      {"open", {[](Cache&) {}}},
      {"read", {rebuild}},
      {"rebuild", {clear_source_step, rebuild}, true},
      {"reproduce", {clear_source_step, reproduce}, true},
      {"fail", {clear_source_step, fail}, true},
      {"die", {clear_source_step, die}, true, true},
      {"input", {change, rebuild}, true, false, true},
      {"version",
       {[](Cache&) {
         detail::override_version(detail::class_info<Source>(), 2);
         run();
       }},
       true},
      {"clear", {clear_source_step}, true},
      {"clear middle", {[](Cache&) { (void)Middle::make().clear_task(); }}, true},
      {"clear class", {[](Cache&) { (void)Middle::clear_all_tasks(); }}, true},
      {"collect", {[](Cache& cache) { (void)cache.collect(); }}},
      {"evict", {evict}, false, false, false, true},
      {"reindex", {[](Cache& cache) { cache.reindex(); }}},
      {"verify", {verify}},
      {"export", {export_all}},
      {"import", {[](Cache& cache) { (void)cache.import_from("bundle"); }}, true},
      {"clear and import",
       {clear_source_step, [](Cache& cache) { (void)cache.import_from("bundle"); }},
       true}};
  return operations;
}

void make_pair_cache() {
  const auto as = [](Maker by, const std::function<void()>& act) {
    const Ending ending = run_child([&] {
      maker = by;
      act();
      return 0;
    });
    if (!ending.exited || ending.status != 0) throw std::logic_error("no cache for pairs");
  };
  as('0', [] {
    change_input();
    const Cache cache("cache", silent());
    run();
    Noise::clear_all_tasks();  // there is garbage
    run();
  });
  fs::copy("cache", "other", fs::copy_options::recursive);
  as('5', [] {
    Cache cache("other", silent());
    clear_source();
    Noise::clear_all_tasks();
    run();
    (void)cache.export_to("bundle");
  });
  fs::remove_all("other");
}

void perform_pair(const PairOperation& operation, Maker by, Told& told, int only_step) {
  maker = by;
  try {
    Cache cache("cache", silent());
    for (int i = 0; i < static_cast<int>(operation.steps.size()); ++i) {
      if (only_step < 0 || only_step == i) operation.steps[static_cast<std::size_t>(i)](cache);
    }
  } catch (const std::exception& error) { return tell(told, 1, error.what()); }
  tell(told, 0, {});
}

Makers look_at_pair(const fs::path& cache, const Look& how, Told& told) {
  Makers makers{};
  try {
    makers = look(cache, how);
  } catch (const std::exception& error) {
    tell(told, 1, error.what());
    return makers;
  }
  tell(told, 0, std::string(makers.begin(), makers.end()));
  return makers;
}

void look_at_bundle(const fs::path& bundle, const fs::path& cache, Told& told) {
  try {
    (void)Cache(cache, silent()).import_from(bundle);
  } catch (const std::exception& error) { return tell(told, 1, error.what()); }
  (void)look_at_pair(cache, {}, told);
}

}  // namespace stook::torture
