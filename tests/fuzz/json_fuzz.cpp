// Any text: refused with InvalidArgument, or printed and read again as the same value.
#include <stook/errors.hpp>
#include <stook/json.hpp>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const stook::Json value = stook::Json::parse(stook::fuzz::text(data, size));
    const std::string once = value.dump();
    stook::fuzz::require(stook::Json::parse(once).dump() == once, "dump and parse are inverse");
  } catch (const stook::InvalidArgument&) {}
  return 0;
}
