// operation.h - what is done to a cache while things go wrong, and what may be seen of it after.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/torture/sample.h"
#include "tests/torture/shared_value.h"

namespace stook::torture {

// How far a child came, told through memory that outlives it.
class Steps {
 public:
  void reset() { *state_ = State(); }
  void opened() { state_->opened = true; }
  // A step is done for good: from now on the picture is the step's or a later one.
  void done() { state_->done = state_->done + 1; }
  [[nodiscard]] bool is_open() const { return state_->opened; }
  [[nodiscard]] std::size_t count() const { return state_->done; }

 private:
  struct State {
    bool opened = false;
    std::size_t done = 0;
  };
  SharedValue<State> state_;
};

struct Operation {
  std::string name;
  // Opens the cache, does it and closes the cache. Throws stook::Error.
  std::function<void(const std::filesystem::path&, Steps&)> perform;
  // What is seen before it, after its first step, ...: nothing else may be, whatever happens.
  std::vector<Picture> pictures;
  std::filesystem::path prepared;  // the cache it begins with
  // Opening and closing is all it does: what the others need not be disturbed in once more.
  bool opens_only = false;
  // quick looks at every so manieth call and way, others for each seed.
  std::uint64_t quick_step = 1;
};

// Publish, clear, collect, collect with eviction, reindex, opening after a crash, export, import;
// their caches and pictures are made under `directory`. Throws where one of them does not do what
// it must when nothing goes wrong.
[[nodiscard]] std::vector<Operation> all_operations(const std::filesystem::path& directory);

// Performs it in this process: 0 done, 1 one clear error (in `error_file` if given), 2 anything
// else that was thrown.
int perform(const Operation& operation, const std::filesystem::path& cache, Steps& steps,
            const std::filesystem::path& error_file = {});

// A task directory that could not be removed means nothing when its result is missing.
enum class Leftovers : std::uint8_t { none, allowed };

// Looks at the cache and says what is wrong after `steps` of the operation were done; empty:
// nothing.
[[nodiscard]] std::string judge(const Operation& operation, const std::filesystem::path& cache,
                                std::size_t steps, Leftovers leftovers = Leftovers::none);

// Does it once more, undisturbed, and says what is wrong then. `verified`: with verify().
[[nodiscard]] std::string complete(const Operation& operation, const std::filesystem::path& cache,
                                   bool verified);

}  // namespace stook::torture
