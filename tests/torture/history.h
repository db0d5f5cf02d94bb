// history.h - what several processes did to one key and when, and whether it could have been one
// after the other: each operation at a moment between its beginning and its end. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace stook::torture {

// A key holds a value, or none (0).
struct Done {
  enum class Kind : std::uint8_t { write, read } kind = Kind::read;
  std::uint64_t value = 0;  // written or seen
  std::int64_t begin = 0, end = 0;
};

// histories[p]: what process p did, in its order. At first the key holds none. Empty: there is an
// order; else where the longest one that could be found ends, and what was done around that moment,
// a line each, in nanoseconds from it.
[[nodiscard]] std::string why_no_order(const std::vector<std::vector<Done>>& histories);

}  // namespace stook::torture
