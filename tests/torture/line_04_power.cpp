// Line 4: the power fails after each change that a publication, a batch of them, a collection, a
// clear, and runs that make a task's directory for the first time, anew, and in vain, make to the
// disk, and what was not synced is lost in several ways. The cache opens; what was reported durable
// is there; whatever else gives a value gives the right one, beside the directory it was made with.
#include <fcntl.h>
#include <sys/syscall.h>

#include <fstream>
#include <sstream>

#include "cache/maintain.h"
#include "src/os.h"
#include "tests/torture/directory_task.h"
#include "tests/torture/disk.h"
#include "tests/torture/line.h"
#include "tests/torture/recording.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

// A task, and the step after which it must survive.
struct Due {
  SampleTask task;
  std::size_t step;
};

constexpr std::size_t kNever = ~std::size_t{0};

struct Scene {
  std::string name;
  std::vector<Due> dues;
  fs::path before;
  fs::path cache;  // below that; empty: it is the cache
  std::function<void(const fs::path&, Steps&)> perform;
  // What is wrong with the cache when so many steps are done; not set: something with the dues.
  std::function<std::string(const fs::path&, std::size_t)> fault{};
  std::size_t quick_step = 1;  // quick looks at one change of so many, others for each seed
};

constexpr std::size_t kRunStep = 4, kLargeRunStep = 32;

std::vector<Due> old_tasks() {
  std::vector<Due> dues;
  for (const SampleTask& task : sample_tasks()) {
    if (task.name != "cleared" && task.name != "gone") dues.push_back({task, 0});
  }
  return dues;
}

// Each publication waits until it is durable.
void publish_durably(const fs::path& cache, Steps& steps) {
  detail::StoreOptions options;
  options.durability_full = true;
  Sample sample(cache, options);
  for (const SampleTask& task : later_tasks()) {
    sample.publish(task);
    steps.done();
  }
}

const std::vector<SampleTask>& batch() {
  static const std::vector<SampleTask> tasks = [] {
    std::vector<SampleTask> made;
    for (int i = 0; i < 32; ++i) {
      const std::string name = (i % 10 == 9 ? "large " : "batch ") + std::to_string(i);
      made.push_back({name, "Batch", {}, i % 10 == 9, false});
      if (i > 0) made.back().upstream = {made[static_cast<std::size_t>(i) / 2].name};
    }
    return made;
  }();
  return tasks;
}

// A new cache: its directory and its index are made as well. What sync(), which ends a run, or
// flush() has seen is durable.
void publish_batch(const fs::path& cache, Steps& steps) {
  Sample sample(cache);
  for (const SampleTask& task : batch()) {
    publish_value(*sample, task, value_of(task.name));
    if (task.name == "batch 15") {
      sample->sync();
      steps.done();
    }
  }
  sample->flush();
  steps.done();
}

// Removes packs and an object: what they held must be on the disk elsewhere by then.
void collect_garbage(const fs::path& cache, Steps& steps) {
  const Sample sample(cache);
  collect(*sample);
  steps.done();
}

// Takes a task directory away: its result must not come back without it.
void clear_one(const fs::path& cache, Steps& steps) {
  Sample sample(cache);
  sample.clear("a");
  steps.done();
}

// A process that is killed before it syncs data.
void kill_at_sync(const std::function<void(Steps&)>& body) {
  Steps steps;
  (void)trace(
      [&] {
        body(steps);
        return 0;
      },
      [&](const Call& call) -> Order {
        const bool syncs = call.number == SYS_fdatasync && call.entering;
        return steps.is_open() && syncs ? Order{Verdict::kill} : Order{};
      });
}

std::string read_bytes(const fs::path& file) {
  std::stringstream bytes;
  bytes << std::ifstream(file, std::ios::binary).rdbuf();
  return bytes.str();
}

// What a killed process wrote and did not sync, its name aside.
struct Unsynced {
  fs::path file;  // of the cache
  std::string bytes;
};

void write(const fs::path& cache, const Unsynced& unsynced) {
  const fs::path path = cache / unsynced.file;
  const detail::Fd fd = detail::os_open(path, O_CREAT | O_TRUNC | O_WRONLY);
  if (!detail::os_sync_directory(path.parent_path()) ||
      !detail::os_write(fd.get(), unsynced.bytes.data(), unsynced.bytes.size())) {
    throw std::runtime_error("it cannot be written");
  }
}

Unsynced last_pack(const fs::path& cache) {
  fs::path last;
  for (const auto& entry : fs::directory_iterator(cache / "packs")) {
    last = std::max(last, entry.path());
  }
  return {"packs" / last.filename(), read_bytes(last)};
}

void perform(int (&body)(const fs::path&, Steps&), const fs::path& cache, Steps& steps) {
  if (body(cache, steps) != 0) throw std::runtime_error("it cannot be done at all");
}

// The mark of a clear that was not finished: the directory is taken away now.
Scene finished_clear(const fs::path& plain, const fs::path& killed) {
  copy_cache(plain, killed);
  kill_at_sync([&](Steps& steps) {
    Sample sample(killed);
    steps.opened();
    sample.clear("a");
  });
  return {"finish",
          old_tasks(),
          plain,
          {},
          [pack = last_pack(killed)](const fs::path& cache, Steps& steps) {
            write(cache, pack);
            const Sample sample(cache);  // somebody comes and finishes it
            steps.done();
          }};
}

// The result of a task with a directory is made: for the first time.
Scene first_directory(const char* name, int (*build)(const fs::path&), const fs::path& empty) {
  return {
      name,
      {},
      empty,
      "cache",
      [build](const fs::path& cache, Steps& steps) {
        if (build(cache) != 0) throw std::runtime_error("it cannot be built at all");
        steps.done();
      },
      [](const fs::path& cache, std::size_t steps) { return fault_of_first(cache, steps > 0); }};
}

// What is to be replaced counts as replaced when others see what replaces it, and that may be lost
// until it is durable: then it is computed again. The index may know of it and the pack may not.
std::string fault_of_replaced(const fs::path& cache, std::size_t steps) {
  const DirectoryLook look = look_at_directory(cache, steps > 0);
  return look.is_neither && steps == 0 ? std::string() : look.fault;
}

// Anew, with another content.
Scene directory_anew(const fs::path& good) {
  return {"anew",
          {},
          good,
          {},
          [](const fs::path& cache, Steps& steps) { perform(rebuild_directory, cache, steps); },
          fault_of_replaced};
}

// Anew, and without a directory from then on.
Scene directory_dropped(const fs::path& good) {
  return {"dropped",
          {},
          good,
          {},
          [](const fs::path& cache, Steps& steps) { perform(rebuild_without, cache, steps); },
          [](const fs::path& cache, std::size_t steps) {
            second_leaves_nothing();
            return fault_of_replaced(cache, steps);
          }};
}

// In vain: the content of before comes back.
Scene directory_in_vain(const fs::path& good) {
  return {"vain",
          {},
          good,
          {},
          [](const fs::path& cache, Steps& steps) { perform(fail_directory, cache, steps); },
          [](const fs::path& cache, std::size_t) { return fault_of_first(cache, true); }};
}

// By a process that is killed when others see its result, before what it moved aside is gone.
Scene killed_directory(const fs::path& good, const fs::path& killed) {
  copy_cache(good, killed);
  (void)run_child([&] { return clear_source(killed); });  // a pack with a clear is synced anyway
  const std::string index = read_bytes(killed / "index.sqlite");
  Steps none;
  (void)trace([&] { return rebuild_cleared(killed, none); },
              [&](const Call& call) -> Order {
                const bool moves = call.number == SYS_rename && call.entering;
                return moves && read_path(call.thread, call.arguments[0]).ends_with("data.previous")
                           ? Order{Verdict::kill}
                           : Order{};
              });
  const Unsynced pack = last_pack(killed);
  fs::remove(killed / pack.file);
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(killed / ("index.sqlite"s + suffix));
  std::ofstream(killed / "index.sqlite", std::ios::binary) << index;
  return {"killed",
          {},
          killed,
          {},
          [pack](const fs::path& cache, Steps& steps) {
            write(cache, pack);
            perform(ask_for_directory, cache, steps);
          },
          fault_of_replaced};
}

// By a process that is killed when it has made the same as before, and has not synced it.
Scene same_directory(const fs::path& good, const fs::path& killed) {
  copy_cache(good, killed);
  (void)run_child([&] { return die_having_made_the_same(killed); });
  fs::path file;
  for (const auto& entry : fs::recursive_directory_iterator(killed / "tasks")) {
    if (entry.path().parent_path().filename() == "data") file = entry.path();
  }
  file = fs::relative(file, killed);
  return {"same",
          {},
          killed,
          {},
          [made = Unsynced{file, read_bytes(killed / file)}](const fs::path& cache, Steps& steps) {
            write(cache, made);
            perform(ask_for_directory, cache, steps);
          },
          [](const fs::path& cache, std::size_t) { return fault_of_first(cache, true); }};
}

// What is wrong with the cache in this process; empty: nothing.
std::string fault_of(const Scene& scene, const fs::path& cache, std::size_t steps) {
  detail::StoreOptions options;
  options.warn = [](std::string_view) {};
  const auto store = detail::open_store(cache, options);
  for (const auto& [task, step] : scene.dues) {
    const auto entry = entry_of(*store, task.name);
    if (entry.state == detail::RecordState::missing) {
      if (steps >= step) return task.name + " is lost";
      continue;
    }
    const auto value = store->read_value(entry, "text");
    if (!value && steps >= step) return task.name + " is lost: " + value.reason();
    if (!value) continue;  // a miss: it is computed again
    const auto bytes = (*value)->bytes();
    const std::string_view got(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (got != value_of(task.name)) return task.name + " has a wrong value";
    if (entry.state != detail::RecordState::fresh && steps >= step)
      return task.name + " is doubted";
    if (entry.state == detail::RecordState::fresh && task.directory &&
        !has_its_directory(*store, task, entry.id)) {
      return task.name + " is fresh and its directory is gone";
    }
    for (const std::string& up : task.upstream) {
      if (entry.state == detail::RecordState::fresh &&
          entry_of(*store, up).state != detail::RecordState::fresh) {
        return task.name + " is fresh and " + up + " is not";
      }
    }
  }
  return {};
}

std::string check(const Scene& scene, const fs::path& cache, std::size_t steps) {
  const fs::path report = cache.string() + ".report";
  const Ending ending = run_child([&] {
    std::string fault;
    try {
      fault = scene.fault ? scene.fault(cache, steps) : fault_of(scene, cache, steps);
    } catch (const std::exception& error) { fault = error.what(); }
    std::ofstream(report) << fault;
    return 0;
  });
  if (!ending.exited) return "looking at it ends by signal " + std::to_string(ending.signal);
  std::stringstream text;
  text << std::ifstream(report).rdbuf();
  return text.str();
}

std::uint64_t fail_everywhere(Line& line, const Scene& scene, const Recording& recording,
                              int slice) {
  const fs::path cache = line.directory() / ("disk" + std::to_string(slice));
  Disk disk(scene.before, recording);
  std::uint64_t failures = 0;
  for (std::size_t at = 0; at <= recording.changes.size(); ++at) {
    const bool last = at == recording.changes.size();
    const std::size_t steps = last ? recording.steps : recording.changes[at].steps;
    const bool skipped = !line.nightly() && (at / kSlices + line.seed()) % scene.quick_step != 0;
    const bool mine = at % kSlices == static_cast<std::size_t>(slice) && !skipped;
    for (const Loss loss : kLosses) {
      const int times = loss == Loss::random ? (line.nightly() ? 200 : 2) : 1;
      for (int i = 0; mine && i < times; ++i) {
        std::mt19937_64 random(line.seed() * 1000 + at * 7 + static_cast<std::uint64_t>(i));
        disk.fail(cache, loss, random);
        ++failures;
        const std::string fault = check(scene, cache / scene.cache, steps);
        if (fault.empty()) continue;
        line.violation(scene.name + ", power failure after change " + std::to_string(at) + " of " +
                       std::to_string(recording.changes.size()) + ", " + name_of(loss) + ", " +
                       std::to_string(steps) + " steps done: " + fault);
      }
    }
    if (!last) disk.apply(at);
  }
  return failures;
}

int run(Line& line) {
  if (const std::string why = why_no_tracing(); !why.empty()) line.skip(why);
  Scene publish{"publish", old_tasks(), line.directory() / "plain", {}, publish_durably};
  make_sample(publish.before);
  for (std::size_t i = 0; i < later_tasks().size(); ++i) {
    publish.dues.push_back({later_tasks()[i], i + 1});
  }
  Scene collected{"collect", old_tasks(), publish.before, {}, collect_garbage};
  Scene cleared{"clear", old_tasks(), publish.before, {}, clear_one};
  Scene finished = finished_clear(publish.before, line.directory() / "killed");
  for (Due& due : cleared.dues) {
    if (std::string("abc").find(due.task.name) != std::string::npos) due.step = kNever;
  }
  finished.dues = cleared.dues;
  Scene many{"batch", {}, line.directory() / "none", "cache", publish_batch};
  fs::create_directory(many.before);
  for (const SampleTask& task : batch()) {
    many.dues.push_back({task, many.dues.size() <= 15 ? 1u : 2u});
  }
  const fs::path good = line.directory() / "good";
  if (run_child([&] { return build_directory(good); }).status != 0) {
    line.violation("a directory cannot be built at all");
  }
  Scene first = first_directory("first", build_directory, many.before),
        large = first_directory("large", build_large_directory, many.before),
        anew = directory_anew(good), dropped = directory_dropped(good),
        vain = directory_in_vain(good),
        killed = killed_directory(good, line.directory() / "killed directory"),
        same = same_directory(good, line.directory() / "same directory");
  for (Scene* const run : {&first, &anew, &dropped, &vain, &killed, &same})
    run->quick_step = kRunStep;
  large.quick_step = kLargeRunStep;
  std::string figure;
  for (const Scene& scene : {publish, many, collected, cleared, finished, first, large, anew,
                             dropped, vain, killed, same}) {
    if (!line.wants(scene.name)) continue;
    const fs::path cache = line.directory() / "recorded";
    fs::remove_all(cache);
    fs::copy(scene.before, cache, fs::copy_options::recursive);
    Steps steps;
    const Recording recording = record(cache, steps, [&] {
      scene.perform(cache / scene.cache, steps);
      return 0;
    });
    if (!recording.good) {
      line.violation(scene.name + " cannot be recorded");
      continue;
    }
    const std::uint64_t failures = line.in_slices(
        kSlices, [&](int slice) { return fail_everywhere(line, scene, recording, slice); });
    figure += (figure.empty() ? "" : ", ") + scene.name + " " + std::to_string(failures) +
              " after " + std::to_string(recording.changes.size()) + " changes";
  }
  return line.finish("power failures: " + figure);
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
