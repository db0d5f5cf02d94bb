// digits.h - images of handwritten digits: reading them, and dealing them to folds.
// Unaware of stook and of the classifier.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

constexpr int kPixels = 64;  // 8 x 8
constexpr int kClasses = 10;

struct Image {
  std::array<std::uint8_t, kPixels> pixels;  // 0 white to 16 black
  std::uint8_t label;                        // the digit it shows

  friend bool operator==(const Image&, const Image&) = default;
};
using Images = std::vector<Image>;

// One image a line, 64 pixels and the label, separated by commas. Blank lines, spaces and lines
// that begin with # mean nothing. Throws std::runtime_error naming the line that is wrong.
Images parse_digits(std::string_view text);
Images read_digits(const std::filesystem::path& file);

// The images of one fold out of `folds`: each digit's images are shuffled by `seed` and dealt out
// in turn, so that all folds hold the same share of each digit, and an image's fold depends on the
// labels only, not on any pixel.
Images images_of_fold(const Images& all, int fold, int folds, std::uint64_t seed);
