// task_base.hpp - what every task has inside its run_task(), whatever its class.
// Unaware of how a run works: it asks a TaskContext. A task object belongs to one execution.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <stook/class_info.hpp>
#include <stook/json.hpp>

namespace stook {

class File;

namespace detail {

class InputFinder;

// What a task may ask of the run it is part of.
class TaskContext {
 public:
  virtual ~TaskContext() = default;
  [[nodiscard]] virtual const TaskSpec& spec() const = 0;
  [[nodiscard]] virtual std::uint64_t id() = 0;
  [[nodiscard]] virtual std::filesystem::path cache_root() const = 0;
  [[nodiscard]] virtual std::filesystem::path directory() = 0;
  [[nodiscard]] virtual std::filesystem::path checkpoint_directory() = 0;
  [[nodiscard]] virtual std::filesystem::path log_path(std::string_view name) = 0;
  virtual void progress(double fraction, std::string_view text) = 0;
  [[nodiscard]] virtual bool stop_requested() const = 0;
  // Both throw Error outside of run_task().
  virtual void add_input(const std::filesystem::path& file) = 0;
  [[nodiscard]] virtual InputFinder& found_inputs() = 0;
};

// What every task has inside its run_task().
class TaskBase {
 public:
  // The class's name, or its alias.
  [[nodiscard]] const std::string& task_name() const;
  // Unique within the class and the cache; stable as long as the cache lives.
  [[nodiscard]] std::uint64_t task_id() const;
  // The arguments as JSON: an array, or an object where they are named.
  [[nodiscard]] Json task_args() const;
  // A directory of the task's own, empty when run_task() starts; its content is part of the result
  // and lies at the same path for those who use it.
  [[nodiscard]] std::filesystem::path task_directory() const;
  // Where the output of the task goes when it runs in a process of its own.
  [[nodiscard]] std::filesystem::path task_stdout() const;
  [[nodiscard]] std::filesystem::path task_stderr() const;
  // 64 bits derived from the key: the same in every run, different for every task.
  [[nodiscard]] std::uint64_t task_seed() const;
  // Survives a failed attempt, for one that is made of the same inputs; not part of the result.
  [[nodiscard]] std::filesystem::path task_checkpoint_directory() const;
  // Tells the run's display how far the task is, in [0, 1].
  void progress(double fraction, std::string_view text = {}) const;
  // Whether the run wants to end: a long task may look and throw.
  [[nodiscard]] bool stop_requested() const;

 protected:
  // For run_task(): the task is about to read `file`, which nobody could name before. From then on
  // it is upstream as a File member is: the task runs again when its content changes, appears or
  // goes. It need not be there. Call it before the file is read.
  void add_input(const File& file) const;
  [[nodiscard]] TaskContext& task_context() const { return *context_; }

  TaskBase();
  TaskBase(const TaskBase&) = delete;
  TaskBase& operator=(const TaskBase&) = delete;
  ~TaskBase() = default;

 private:
  TaskContext* context_;
};

}  // namespace detail
}  // namespace stook
