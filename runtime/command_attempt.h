// command_attempt.h - which attempt at a command this is, after a driver was killed in the middle
// of one. What that one has started may live and write under the names it was given: no later
// attempt gives the same. While nobody is killed all attempts are number 0, so that a program that
// writes the name of its output into it makes the same again. A file in the spool for each command
// that is under way, or was cut off. Unaware of names.
#pragma once

#include <cstdint>
#include <filesystem>

#include <stook/key.hpp>

namespace stook::detail {

// From here on numbers are drawn at random: nothing could be written down.
constexpr std::uint32_t first_random_attempt = 0x80000000U;

class CommandAttempt {
 public:
  // REQUIRES: this process has claimed `key`.
  CommandAttempt(const std::filesystem::path& root, const Key& key);
  ~CommandAttempt();
  CommandAttempt(const CommandAttempt&) = delete;
  CommandAttempt& operator=(const CommandAttempt&) = delete;

  // Where nothing can be written down it is one that nobody else will have.
  [[nodiscard]] std::uint32_t number() const { return number_; }

 private:
  bool take_number();

  const std::filesystem::path file_;
  std::uint32_t number_ = 0;
  bool written_ = false;
};

}  // namespace stook::detail
