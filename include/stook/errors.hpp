// errors.hpp - what stook throws at its user's edge. Every text says what was being done, to
// which task, with which arguments, and what to do next.
// Unaware of how a run works. Thread-safe as values are.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace stook {

// The base of all errors of this library.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// An argument, option, label or name that cannot be accepted. Nothing has run.
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

// A task's constructor threw while the run was being planned. Nothing has run.
class ConstructionFailed : public Error {
 public:
  using Error::Error;
};

// A task needs its own result, directly or through others. Nothing has run.
class Cycle : public Error {
 public:
  using Error::Error;
};

// run_task() used a future that is not a member of the task.
class UndeclaredDependency : public Error {
 public:
  using Error::Error;
};

// A result was asked for that is not in the cache, or not yet.
class NotReady : public Error {
 public:
  using Error::Error;
};

// The cache cannot be opened, read or written: no space, no permission, another format.
class CacheError : public Error {
 public:
  using Error::Error;
};

// An executor cannot do what the options ask of it.
class ExecutorError : public Error {
 public:
  using Error::Error;
};

// One task that failed.
struct Failure {
  std::string class_name;
  std::uint64_t id = 0;
  std::string arguments;            // JSON text
  std::string cause;                // exception type and text, signal, exit status, ...
  std::string stdout_path;          // empty: the task ran in this process, no log was kept
  std::string stderr_path;
  std::vector<std::string> chain;   // "Class(arguments)" from the root of the run to this task
};

// At least one task of a run failed. Results of the others are kept.
class TaskFailed : public Error {
 public:
  TaskFailed(const std::string& text, std::vector<Failure> failures)
      : Error(text), failures_(std::move(failures)) {}

  // Every failure of the run, in the order in which they happened.
  [[nodiscard]] const std::vector<Failure>& failures() const noexcept { return failures_; }

 private:
  std::vector<Failure> failures_;
};

}  // namespace stook
