// seconds.h - what users give in seconds, as clocks and timers take it.
#pragma once

#include <chrono>

namespace stook::detail {

// At most ten years, which is for ever, and not less than nothing: more would be more nanoseconds
// than there are.
[[nodiscard]] inline std::chrono::nanoseconds from_seconds(double seconds) {
  constexpr double for_ever = 10 * 365.25 * 86400;
  const double bounded = seconds < for_ever ? (seconds > 0 ? seconds : 0) : for_ever;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(bounded));
}

}  // namespace stook::detail
