// failing.h - runs something in which a system call fails, once, in one of the ways it can.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "tests/torture/tracer.h"

namespace stook::torture {

// The n-th way to fail, counted over all calls `of_interest` (asked at their entries until one has
// failed): the first is 0.
struct FailedOnce {
  Ending ending;
  std::string where;  // "openat gives EMFILE, number 17"; empty: there are not so many
};
[[nodiscard]] FailedOnce fail_once(std::uint64_t n, const std::function<int()>& body,
                                   const std::function<bool(const Call&)>& of_interest);

}  // namespace stook::torture
