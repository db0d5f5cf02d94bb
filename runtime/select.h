// select.h - the tasks a user means by NAME, a pattern of names, NAME(ARGUMENTS) or #ID.
// Unaware of command lines. Thread-safe as the store is.
#pragma once

#include <string>
#include <string_view>

#include "src/store.h"

#include <stook/class_info.hpp>

namespace stook::detail {

// Says of a planned task whether a user means it.
class Selection {
 public:
  // Throws InvalidArgument where it names a class or arguments that cannot be. Empty: none is
  // meant.
  explicit Selection(std::string_view what);
  [[nodiscard]] bool has(const TaskSpec& task, std::uint64_t id) const;

 private:
  std::string pattern_;
  Key key_;
  std::uint64_t id_ = 0;
};

// Clears what `what` selects. Throws InvalidArgument where it selects nothing that is known.
Invalidated clear_selected(Store& store, std::string_view what);

// The explanations of what `what` selects, one after the other, at most 20.
[[nodiscard]] std::string explain_selected(Store& store, std::string_view what);

}  // namespace stook::detail
