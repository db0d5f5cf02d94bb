// mutant.h - guards that can be left out, one at a time, to see that a test notices (line 20 of
// tests/torture; tests/torture/mutants.txt lists them all).
// Where CMake has STOOK_MUTANTS, the guard that the environment variable STOOK_MUTANT names is left
// out; elsewhere nothing of this is compiled. A name occurs once. Thread-safe.
//
//   if (!STOOK_MUTANT("object-hash") && hash != name) return fail(" has damaged bytes");
#pragma once

#ifdef STOOK_MUTANTS

#include <cstdlib>
#include <string_view>

namespace stook::detail {

inline bool is_left_out(std::string_view guard) noexcept {
  static const char* const chosen = std::getenv("STOOK_MUTANT");
  return chosen != nullptr && guard == chosen;
}

}  // namespace stook::detail

#define STOOK_MUTANT(guard) (::stook::detail::is_left_out(guard))

#else

#define STOOK_MUTANT(guard) false

#endif
