// Any bytes as an encoded result: refused with CacheError, or a value that encodes to what decodes
// to the same.
#include <stook/codec.hpp>
#include <stook/errors.hpp>

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace {

struct Aggregate {
  int number = 0;
  std::string text;
  std::vector<double> values;
};

template <class T> void decode(std::span<const std::byte> bytes) {
  try {
    stook::Reader reader(bytes);
    const T value = stook::Codec<T>::decode(reader);
    stook::Writer writer;
    stook::Codec<T>::encode(writer, value);
    stook::fuzz::require(writer.size() <= bytes.size() * 2 + 64, "no value out of nothing");
  } catch (const stook::CacheError&) {}
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto rest = stook::fuzz::bytes(data, size).subspan(1);
  switch (data[0] % 8) {
    case 0: decode<std::vector<std::string>>(rest); break;
    case 1: decode<std::map<std::string, std::vector<int>>>(rest); break;
    case 2: decode<std::variant<int, std::string, std::vector<float>>>(rest); break;
    case 3: decode<std::optional<std::tuple<int, bool, std::string>>>(rest); break;
    case 4: decode<Aggregate>(rest); break;
    case 5: decode<std::vector<std::vector<std::vector<bool>>>>(rest); break;
    case 6: decode<stook::Json>(rest); break;
    default: decode<std::vector<double>>(rest); break;
  }
  return 0;
}
