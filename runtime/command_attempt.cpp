#include "runtime/command_attempt.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <random>
#include <string>

#include "cache/attempt_marker.h"
#include "src/mutant.h"
#include "src/os.h"

namespace stook::detail {
namespace {

// The number in hexadecimal digits, a space, and whether it is under way.
constexpr std::size_t number_digits = 8;
constexpr std::size_t line_size = number_digits + 2;
constexpr char running = 'r';
constexpr char ended = 'e';

std::array<char, line_size + 1> line_of(std::uint32_t number, char state) {
  std::array<char, line_size + 1> line{};
  std::snprintf(line.data(), line.size(), "%08x %c", static_cast<unsigned>(number), state);
  return line;
}

// Written in one piece, over the line that was there: nobody reads a half.
bool write_line(int fd, std::uint32_t number, char state) {
  return os_pwrite(fd, line_of(number, state).data(), line_size, 0);
}

}  // namespace

CommandAttempt::CommandAttempt(const std::filesystem::path& root, const Key& key)
    : file_(command_marker_of(root, key)) {
  if (STOOK_MUTANT("command-attempt")) return;
  written_ = take_number();
  if (!written_) number_ = std::random_device{}() | first_random_attempt;
}

CommandAttempt::~CommandAttempt() {
  if (!written_) return;
  if (number_ == 0) {
    ::unlink(file_.c_str());
    return;
  }
  // Who was cut off before this one may still write: the number stays taken.
  const Fd file = os_open(file_, O_WRONLY);
  if (file) (void)write_line(file.get(), number_, ended);
}

bool CommandAttempt::take_number() {
  if (os_open(file_, O_CREAT | O_EXCL | O_WRONLY)) return true;
  const Fd file = os_open(file_, O_RDWR);
  if (!file) return false;
  std::array<char, line_size> line{};
  const ssize_t size = os_pread(file.get(), line.data(), line.size(), 0);
  if (size < 0) return false;
  if (size == static_cast<ssize_t>(line_size)) {
    const char* const end = line.data() + number_digits;
    const auto [last, error] = std::from_chars(line.data(), end, number_, 16);
    if (error != std::errc() || last != end) return false;
  }
  if (line.back() != ended) ++number_;  // what is empty is the first one's
  return write_line(file.get(), number_, running);
}

}  // namespace stook::detail
