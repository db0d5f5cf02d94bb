// Any bytes as canonical ones, as they stand in a pack: refused with an error of ours, or a value.
#include <stook/canonical.hpp>
#include <stook/errors.hpp>
#include <stook/json.hpp>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view given = stook::fuzz::text(data, size);
  (void)stook::canonical_to_text(given);
  try {
    (void)stook::canonical_to_json(given);
  } catch (const stook::Error&) {}
  return 0;
}
