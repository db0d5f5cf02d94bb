// select.h - the tasks a user means by NAME, a pattern of names, NAME(ARGUMENTS) or #ID.
// Unaware of command lines. Thread-safe as the store is.
#pragma once

#include <string>
#include <string_view>

#include "src/store.h"

namespace stook::detail {

// Clears what `what` selects. Throws InvalidArgument where it selects nothing that is known.
Invalidated clear_selected(Store& store, std::string_view what);

// The explanations of what `what` selects, one after the other, at most 20.
[[nodiscard]] std::string explain_selected(Store& store, std::string_view what);

}  // namespace stook::detail
