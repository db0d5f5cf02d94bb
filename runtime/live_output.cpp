#include "runtime/live_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "src/os.h"

namespace stook::detail {
namespace {

void copy(const std::filesystem::path& file, std::uint64_t& seen, int to) {
  const Fd fd = os_open(file, O_RDONLY);
  std::array<std::byte, 16384> buffer;
  while (fd) {
    const ssize_t got = os_pread(fd.get(), buffer.data(), buffer.size(), seen);
    if (got <= 0) return;
    if (!os_write(to, buffer.data(), static_cast<std::size_t>(got))) return;
    seen += static_cast<std::uint64_t>(got);
  }
}

}  // namespace

void LiveOutput::look(std::uint64_t job, const std::filesystem::path& out,
                      const std::filesystem::path& err) {
  const auto found = shown_.find(job);
  if (found == shown_.end()) return;
  copy(out, found->second.out, STDOUT_FILENO);
  copy(err, found->second.err, STDERR_FILENO);
}

void LiveOutput::finish(std::uint64_t job, const std::filesystem::path& out,
                        const std::filesystem::path& err) {
  look(job, out, err);
  shown_.erase(job);
}

}  // namespace stook::detail
