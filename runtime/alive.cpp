#include "runtime/alive.h"

#include <fcntl.h>

#include <array>
#include <string>

#include "src/mutant.h"

namespace stook::detail {
namespace {

std::string text_of(int file) {
  std::array<char, 64> bytes{};
  const ssize_t got = os_pread(file, bytes.data(), bytes.size(), 0);
  return got > 0 ? std::string(bytes.data(), static_cast<std::size_t>(got)) : std::string();
}

// The driver may have died before anybody looked: that nothing is locked means something where the
// lock would be seen.
bool would_see_lock(int file) {
  if (os_is_locked(file, 0)) return true;
  const std::string there = text_of(file);
  return !there.empty() && there == os_kernel_name() && !STOOK_MUTANT("alive-kernel");
}

}  // namespace

Fd hold_alive(const std::filesystem::path& path) {
  Fd file = os_open(path, O_CREAT | O_RDWR);
  if (!file || STOOK_MUTANT("lock-alive")) return file;
  if (os_try_lock(file.get(), 0, LockMode::exclusive)) {
    const std::string name = os_kernel_name();
    (void)os_write(file.get(), name.data(), name.size());
  }
  return file;
}

DriverWatch::DriverWatch(const std::filesystem::path& path)
    : file_(path.empty() ? Fd() : os_open(path, O_RDWR)),
      can_tell_(file_ && would_see_lock(file_.get())) {}

bool DriverWatch::is_gone() const { return can_tell_ && !os_is_locked(file_.get(), 0); }

}  // namespace stook::detail
