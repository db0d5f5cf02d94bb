#include "runtime/job_runner.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <new>

#include "runtime/checkpoint.h"
#include "runtime/task_directory.h"
#include "src/context.h"
#include "src/external.h"
#include "src/hash.h"
#include "src/mutant.h"
#include "src/task_object.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// Decoded values kept for the jobs to come: bytes of their encoding, and how many, so that keeping
// a small one stays cheaper than reading it again.
constexpr std::size_t kMostKept = std::size_t{64} << 20;
constexpr std::size_t kMostKeptValues = 4096;

// An input that is on record and cannot be read.
struct DamagedInput {
  Key key;
  std::string reason;
};

class NamedFutures final : public FutureResolver {
 public:
  SpecPtr resolve(const Key& key) override {
    return named_spec(key, value_type_of<std::monostate>());
  }
};

std::int64_t unix_nanoseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

// Bytes of memory this process has allocated for data, as RLIMIT_DATA counts them.
std::uint64_t data_bytes() {
  unsigned long long pages[6] = {};
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  const int got = std::fscanf(file, "%llu %llu %llu %llu %llu %llu", &pages[0], &pages[1],
                              &pages[2], &pages[3], &pages[4], &pages[5]);
  std::fclose(file);
  return got == 6 ? pages[5] * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

// What this process allocates beyond the limit throws std::bad_alloc. Children of the task inherit
// that, each for itself; with a group they and the task have the limit together.
class MemoryLimit {
 public:
  MemoryLimit(std::uint64_t bytes, const MemoryGroup* group)
      : set_(bytes > 0), group_(set_ ? group : nullptr) {
    if (group_ != nullptr) group_->allow(bytes);
    if (!set_ || ::getrlimit(RLIMIT_DATA, &before_) != 0) return;
    rlimit limit = before_;
    limit.rlim_cur = std::min<rlim_t>(data_bytes() + bytes, before_.rlim_max);
    set_ = ::setrlimit(RLIMIT_DATA, &limit) == 0;
  }
  ~MemoryLimit() {
    if (set_) ::setrlimit(RLIMIT_DATA, &before_);
    if (group_ != nullptr) group_->allow(0);
  }
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

 private:
  bool set_;
  const MemoryGroup* const group_;
  rlimit before_{};
};

// What both sides make of the task's constructor, where they work in one directory.
bool is_path(const Spec& leaf) {
  return leaf.kind == SpecKind::external &&
         static_cast<const ExternalSpec&>(leaf).what != ExternalSpec::What::variable;
}

bool is_same(const ValueType& one, const ValueType& other) {
  if (one.signature != other.signature) return false;
  return *one.type == *other.type || STOOK_MUTANT("kept-type");
}

std::string limit_text(const Job& job) {
  return "its limit (task_memory, --memory) is " + std::to_string(job.memory >> 20) + " MiB";
}

}  // namespace

// What the task asks of the run, answered from the job.
class JobRunner::Context final : public TaskContext {
 public:
  Context(JobRunner& runner, const Job& job, const TaskSpec& task, JobResult& result)
      : runner_(runner), job_(job), task_(task), result_(result) {}

  [[nodiscard]] const TaskSpec& spec() const override { return task_; }
  [[nodiscard]] std::uint64_t id() override { return job_.id; }
  [[nodiscard]] fs::path cache_root() const override { return runner_.root_; }
  [[nodiscard]] fs::path directory() override {
    return executing ? task_directory().data() : path() / "data";
  }
  [[nodiscard]] fs::path checkpoint_directory() override {
    if (!executing) return path() / "checkpoint";
    task_directory().keep_id();
    return checkpoint_.open(runner_.root_, path(), job_.made_of);
  }
  [[nodiscard]] fs::path log_path(std::string_view name) override { return path() / name; }
  void progress(double fraction, std::string_view text) override {
    if (runner_.on_progress) runner_.on_progress({job_.number, fraction, std::string(text)});
  }
  [[nodiscard]] bool stop_requested() const override {
    return runner_.stop_.load(std::memory_order_relaxed);
  }

  void add_input(const fs::path& name) override {
    if (!begun) throw Error("inputs are found while run_task() runs, not in a constructor");
    refuse_directory(name);
    const fs::path file = runner_.whole(name);
    FoundInput found = look_at_file(file.string(), runner_.digests_);
    checkpoint_.add(file, found.digest);
    const std::lock_guard lock(found_mutex_);
    result_.found.push_back({file.string(), found.digest, found.fingerprint, found.certain});
  }
  [[nodiscard]] InputFinder& found_inputs() override {
    throw ExecutorError(job_.class_name +
                        " rechecks its inputs, which only the driver can do: give the class "
                        "`static constexpr bool task_in_process = true`");
  }

  // Made when first wanted: most tasks have none, and paths are slow.
  [[nodiscard]] TaskDirectory& task_directory() {
    std::call_once(once_, [this] {
      runner_.require_wanted();
      directory_.emplace(runner_.root_, job_.key, path());
    });
    return *directory_;
  }
  [[nodiscard]] bool has_directory() const { return directory_.has_value(); }

  std::atomic<bool> executing = false;
  std::atomic<bool> begun = false;  // and it may be over

 private:
  [[nodiscard]] fs::path path() const { return runner_.files_.task_path(job_.class_name, job_.id); }

  JobRunner& runner_;
  const Job& job_;
  const TaskSpec& task_;
  JobResult& result_;
  std::once_flag once_;  // a task may ask from several threads
  std::mutex found_mutex_;
  std::optional<TaskDirectory> directory_;
  Checkpoint checkpoint_;
};

JobRunner::JobRunner(fs::path root, const fs::path& stem)
    : root_(std::move(root)), stem_(stem), lock_(root_), files_(root_) {
  begin_here();
}

void JobRunner::begin_here() {
  home_ = os_open(".", O_PATH | O_DIRECTORY);
  std::error_code ignored;
  home_name_ = fs::current_path(ignored);
}

void JobRunner::work_in(const fs::path& directory) {
  std::error_code error;
  fs::current_path(directory, error);
  if (error) missing_directory_ = directory;
  else begin_here();
}

bool JobRunner::is_at_home() const {
  struct stat home {
  }, here{};
  return ::fstat(home_.get(), &home) == 0 && ::stat(".", &here) == 0 &&
         home.st_dev == here.st_dev && home.st_ino == here.st_ino;
}

// What the last task has left as working directory is not the next one's.
void JobRunner::go_home() {
  if (STOOK_MUTANT("go-home")) return;
  int error = EACCES;  // if it has no descriptor
  if (home_) {
    if (::fchdir(home_.get()) == 0) return;
    error = errno;
    if (is_at_home()) return;
  } else {  // it may not be searched: only its name is known
    std::error_code error_of_name;
    if (fs::current_path(error_of_name) == home_name_) return;
    fs::current_path(home_name_, error_of_name);
    if (!error_of_name) return;
  }
  throw ExecutorError("cannot go back to the directory in which tasks begin, " +
                      home_name_.string() + ": " + std::strerror(error));
}

// A relative name means a file of the directory in which tasks begin, to who is told of it.
fs::path JobRunner::whole(const fs::path& file) const {
  return is_at_home() ? file : fs::absolute(file);
}

JobResult JobRunner::run(const Job& job) {
  struct Unlock {
    ExecutionLock& lock;
    ~Unlock() { lock.unlock(); }
  } const unlock{lock_};
  lock_.lock(job.key, kFence);
  if (asks_first && !STOOK_MUTANT("still-wanted")) require_wanted();
  JobResult result;
  result.number = job.number;
  result.key = job.key;
  if (output != nullptr) output->begin(job.log_limit);
  if (job.memory > 0 && !group_) group_ = MemoryGroup::enter(stem_);
  const std::uint64_t kills = job.memory > 0 && group_ ? group_->kills() : 0;
  try {
    go_home();
    execute(job, result);
  } catch (const DamagedInput& damaged) {
    result.failed = true;
    result.damaged_input = damaged.key;
    result.cause = damaged.reason;
  } catch (const std::bad_alloc&) {
    result.failed = result.out_of_memory = true;
    result.cause = "out of memory: std::bad_alloc";
    if (job.memory > 0) result.cause += "; " + limit_text(job);
  } catch (const CacheError& error) {
    // From run_task() it is the task's own affair; from anywhere else nothing could be kept.
    result.failed = true;
    result.cache_failed = !in_user_code_;
    result.cause =
        in_user_code_ ? describe_exception(std::current_exception()) : std::string(error.what());
  } catch (...) {
    result.failed = true;
    result.cause = describe_exception(std::current_exception());
  }
  in_user_code_ = false;
  inputs_.clear();
  if (result.failed) {
    if (job.memory > 0 && group_ && group_->kills() > kills) {
      result.out_of_memory = true;
      result.cause += "\n  out of memory: something it had started was killed for that; together " +
                      limit_text(job);
    }
    result.host = os_host_name();
    if (result.started_ns != 0) result.duration_ns = unix_nanoseconds() - result.started_ns;
  }
  if (output != nullptr) {
    const auto written = output->end([&] { return files_.task_path(job.class_name, job.id); },
                                     result.failed, job.has_result);
    result.wrote_stdout = written.out;
    result.wrote_stderr = written.err;
  }
  return result;
}

void JobRunner::require_wanted() const {
  if (is_wanted && !is_wanted()) os_end_group();
}

SpecPtr JobRunner::rebuild(const Job& job) const {
  const ClassInfo* info = find_class(job.class_name);
  if (info == nullptr) {
    throw ExecutorError("the worker's program has no class " + job.class_name +
                        ": it is another program than the driver's, or another build of it");
  }
  if (info->version != job.version) {
    throw ExecutorError("class " + job.class_name + " has version " +
                        std::to_string(info->version) + " in the worker's program, not " +
                        std::to_string(job.version) + ": it is another build than the driver's");
  }
  NamedFutures futures;
  const SpecPtr spec = info->from_json(canonical_to_json(job.arguments, &futures));
  if (!STOOK_MUTANT("job-key") && spec->key != job.key) {
    throw ExecutorError("the arguments of " + job.class_name +
                        " make another key in the worker than in the driver: their Argument<T> "
                        "does not give back what it took");
  }
  return spec;
}

void JobRunner::execute(const Job& job, JobResult& result) {
  const SpecPtr spec = rebuild(job);
  const auto& task = static_cast<const TaskSpec&>(*spec);
  inputs_.reserve(job.inputs.size());
  for (const JobInput& given : job.inputs) inputs_.emplace(given.key, &given);
  Context context(*this, job, task, result);
  struct Object : TaskObject {
    const TaskSpec& task;
    Object(const TaskSpec& named, TaskContext* of)
        : TaskObject(construct_task(named, of)), task(named) {}
    ~Object() { destroy_task(task.info, object, place); }
  } object(task, &context);
  for (const std::uint32_t offset : object.offsets) {
    const FutureBase& future = future_at(object.place, offset);
    if (!future.spec()) continue;
    future.bind(value_of(*future.spec(), [this](const Spec& leaf) { return input(leaf); }));
  }
  if (job.has_result) context.task_directory().put_aside();
  context.executing = context.begun = true;
  result.started_ns = unix_nanoseconds();
  const auto start = Clock::now();
  Value value;
  {
    const MemoryLimit limit(job.memory, group_.get());
    const RunningTask running(task);
    in_user_code_ = true;
    value = task.info.run(object.object);
    in_user_code_ = false;
  }
  context.executing = false;
  result.duration_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
  Writer writer;
  writer.set_root(root_.string());
  task.value_type.encode(value.get(), writer);
  result.digest = digest_of(writer);
  result.signature = task.value_type.signature;
  if (context.has_directory() && context.task_directory().used()) {
    result.directory = context.task_directory().digest();
    result.digest = combine_digests(result.digest, result.directory);
  }
  result.value = files_.keep(writer.pieces(), job.compress_level);
  if (context.has_directory()) {
    context.task_directory().sync();
    result.moved_directory = context.task_directory().moved();
    context.task_directory().hand_over();
  }
  keep(result.digest, task.value_type, std::move(value), writer.size());
}

// --- Inputs ----------------------------------------------------------------------------------

Value JobRunner::input(const Spec& leaf) {
  if (leaf.kind == SpecKind::constant) return static_cast<const ConstantSpec&>(leaf).value;
  const auto found = inputs_.find(leaf.key);
  if (found == inputs_.end() && is_path(leaf)) {
    return path_input(static_cast<const ExternalSpec&>(leaf));
  }
  if (found == inputs_.end()) {
    throw ExecutorError("the constructor makes other upstream tasks in the worker than in the "
                        "driver (" +
                        future_text(leaf) + "): it must depend on its arguments only");
  }
  return load(*found->second, leaf.value_type);
}

Value JobRunner::path_input(const ExternalSpec& leaf) const {
  if (!missing_directory_.empty() && fs::path(leaf.name).is_relative()) {
    throw ExecutorError("the input " + leaf.text() + " is relative to " +
                        missing_directory_.string() + ", which is not there on this side: mount " +
                        "it at the same path, or name the input by an absolute path");
  }
  return leaf.value();
}

Value JobRunner::load(const JobInput& input, const ValueType& type) {
  if (Value kept = find_kept(input.digest, type)) return kept;
  const auto payload = files_.read(input, type.signature);
  if (!payload) throw DamagedInput{input.key, payload.reason()};
  try {
    Reader reader((*payload)->bytes());
    reader.set_root(root_.string());
    Value value = type.decode(reader);
    reader.finish();
    keep(input.digest, type, value, (*payload)->bytes().size());
    return value;
  } catch (const CacheError& error) { throw DamagedInput{input.key, error.what()}; }
}

Value JobRunner::find_kept(const Digest& digest, const ValueType& type) {
  const auto [begin, end] = by_digest_.equal_range(digest);
  for (auto at = begin; at != end; ++at) {
    if (!is_same(*at->second->type, type)) continue;
    kept_.splice(kept_.begin(), kept_, at->second);
    return kept_.front().value;
  }
  return {};
}

void JobRunner::keep(const Digest& digest, const ValueType& type, Value value, std::size_t bytes) {
  if (digest.is_zero() || bytes > kMostKept / 2 || find_kept(digest, type)) return;
  kept_.push_front({digest, &type, std::move(value), bytes});
  by_digest_.emplace(digest, kept_.begin());
  kept_bytes_ += bytes;
  while (kept_bytes_ > kMostKept || kept_.size() > kMostKeptValues) {
    const auto last = std::prev(kept_.end());
    const auto [begin, end] = by_digest_.equal_range(last->digest);
    for (auto at = begin; at != end; ++at) {
      if (at->second != last) continue;
      by_digest_.erase(at);
      break;
    }
    kept_bytes_ -= last->bytes;
    kept_.pop_back();
  }
}

}  // namespace stook::detail
