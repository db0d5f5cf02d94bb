// first_word.h - what the programs of several lines begin with: a task that reads a file of which
// only the first word makes a difference, and what makes an object of its word.
#pragma once

#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>

#include <stook/stook.hpp>

namespace stook::torture {

struct FirstWord : Task<FirstWord, std::string()> {
  File input{"input"};
  std::string run_task() {
    std::string word;
    std::ifstream file(*input);
    if (!(file >> word)) throw std::runtime_error("cannot read the input");
    return word;
  }
};

// So many bytes are too many for a record or a message.
inline constexpr std::size_t kGrown = std::size_t{1100} << 10;

// The text, and after it what does not compress.
inline std::string grown(std::string text) {
  std::uint64_t state = text.size();
  while (text.size() < kGrown) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    text += static_cast<char>(state >> 56);
  }
  return text;
}

}  // namespace stook::torture
