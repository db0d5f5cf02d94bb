// context.h - what the core knows of the moment: which task runs on this thread, how values are
// digested and named in texts.
// Unaware of caches and schedulers; the run gives it the way to load a value from outside.
#pragma once

#include <exception>
#include <set>
#include <string>

#include <stook/class_info.hpp>
#include <stook/future.hpp>

namespace stook::detail {

// The task whose run_task() is on this thread; null outside of any.
extern constinit thread_local const TaskSpec* running_task;

class RunningTask {
 public:
  explicit RunningTask(const TaskSpec& task) : previous_(running_task) { running_task = &task; }
  ~RunningTask() { running_task = previous_; }
  RunningTask(const RunningTask&) = delete;
  RunningTask& operator=(const RunningTask&) = delete;

 private:
  const TaskSpec* previous_;
};

// The digest of a value as its task would have produced it, without a directory.
[[nodiscard]] Digest digest_of_value(const ValueType& type, const Value& value);

// "Class(1, \"foo\")" with the arguments cut at some 120 characters.
[[nodiscard]] std::string task_text(const TaskSpec& spec);
[[nodiscard]] std::string arguments_of(const TaskSpec& spec);  // canonical bytes
[[nodiscard]] std::string demangled(const std::type_info& type);
// "'a' 'b' 'c'", at most twenty of them, those most like `wanted` first.
[[nodiscard]] std::string quoted_names(const std::set<std::string>& names, std::string_view wanted);
// The type of an exception and what it says.
[[nodiscard]] std::string describe_exception(std::exception_ptr error);

// How a future asked for outside of any task gets its value: whoever opens a cache sets it.
using OutsideLoader = Value (*)(const Spec& spec);
void set_outside_loader(OutsideLoader loader);

// The text of CacheError where a cache is needed and none is open.
inline constexpr const char* no_cache_text =
    "no cache is open on this thread: write `stook::Cache cache{\"DIRECTORY\"};` before this and "
    "keep it in scope";

}  // namespace stook::detail
