// build_id.h - which program this is: the build id the linker put into it.
#pragma once

#include <string>

namespace stook::detail {

// Hexadecimal; empty where the program was linked without one.
[[nodiscard]] std::string build_id();

}  // namespace stook::detail
