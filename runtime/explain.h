// explain.h - says in words why a task ran, was reused, or would run now: field by field, from the
// stored record and the parts of the key.
// Unaware of command lines. Thread-safe as the store is.
#pragma once

#include <string>

#include "src/plan.h"
#include "src/store.h"

namespace stook::detail {

// What a key is made of.
struct KeyParts {
  Key key;
  std::string class_name;
  std::uint32_t version = 0;
  std::string arguments;  // canonical
};

// Several lines, the first one the verdict.
[[nodiscard]] std::string explain_key(Store& store, const KeyParts& parts, const Entry& entry);
[[nodiscard]] std::string explain_task(Store& store, const TaskSpec& task);

// What would run, and why, one line each, upstream first.
[[nodiscard]] std::string dry_run_text(Store& store, const Plan& plan);

}  // namespace stook::detail
