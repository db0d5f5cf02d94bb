#include "examples/digits_sweep/digits.h"

#include "examples/digits_sweep/random.h"

#include <charconv>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// Cuts what comes before `end` off the front of `text`.
std::string_view take_until(std::string_view& text, char end) {
  const auto at = text.find(end);
  const std::string_view piece = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return piece;
}

std::uint8_t parse_number(std::string_view text, int largest) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > largest) {
    throw std::runtime_error("'" + std::string(text.substr(0, 20)) +
                             "' is not a number from 0 to " + std::to_string(largest));
  }
  return static_cast<std::uint8_t>(value);
}

Image parse_line(std::string_view line) {
  Image image{};
  for (std::uint8_t& pixel : image.pixels) pixel = parse_number(trimmed(take_until(line, ',')), 16);
  image.label = parse_number(trimmed(line), kClasses - 1);
  return image;
}

}  // namespace

Images parse_digits(std::string_view text) {
  Images images;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = trimmed(take_until(text, '\n'));
    if (line.empty() || line.front() == '#') continue;
    try {
      images.push_back(parse_line(line));
    } catch (const std::runtime_error& error) {
      throw std::runtime_error("line " + std::to_string(number) + ": " + error.what());
    }
  }
  return images;
}

Images read_digits(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + file.string());
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  try {
    return parse_digits(text);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(file.string() + ", " + error.what());
  }
}

Images images_of_fold(const Images& all, int fold, int folds, std::uint64_t seed) {
  if (folds < 2 || fold < 0 || fold >= folds) throw std::invalid_argument("no such fold");
  std::array<std::vector<std::size_t>, kClasses> by_label;
  for (std::size_t i = 0; i < all.size(); ++i) by_label[all[i].label].push_back(i);

  Images chosen;
  Random random(seed);
  std::size_t dealt = 0;  // goes on over the digits, so that the folds differ by one image at most
  for (std::vector<std::size_t>& indices : by_label) {
    random.shuffle(indices);
    for (const std::size_t index : indices) {
      if (static_cast<int>(dealt++ % static_cast<std::size_t>(folds)) == fold) {
        chosen.push_back(all[index]);
      }
    }
  }
  return chosen;
}
