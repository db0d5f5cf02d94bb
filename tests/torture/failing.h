// failing.h - how a system call can fail.
#pragma once

#include <string>
#include <vector>

#include "tests/torture/tracer.h"

namespace stook::torture {

// At the entry of the call; empty: it is not one that fails.
[[nodiscard]] std::vector<Order> ways_to_fail(const Call& call);

// "openat gives EMFILE"
[[nodiscard]] std::string text_of(const Call& call, const Order& way);

}  // namespace stook::torture
