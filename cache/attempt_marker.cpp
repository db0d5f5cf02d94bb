#include "cache/attempt_marker.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <string_view>

#include "cache/fault.h"
#include "src/mutant.h"
#include "src/os.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "rebuild-";
constexpr std::string_view kCommandPrefix = "command-";
constexpr std::uint64_t kMostId = std::uint64_t{1} << 62;  // nobody has counted so far

fs::path place_of(const fs::path& directory) {
  return "tasks" / directory.parent_path().filename() / directory.filename();
}

// Empty: whoever wrote it died before anything moved.
std::string read_text(const fs::path& file) {
  const Fd fd = os_open(file, O_RDONLY);
  if (!fd && is_no_file(errno)) return {};
  std::array<char, 4096> text{};
  const ssize_t size = fd ? os_pread(fd.get(), text.data(), text.size(), 0) : -1;
  if (size < 0) throw_cache_error("read", file);
  const std::string_view line(text.data(), static_cast<std::size_t>(size));
  return std::string(line.substr(0, line.find('\n')));  // a class name may hold spaces
}

bool take_id(const std::string& text, std::uint64_t& id) {
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, id);
  return error == std::errc() && last == end && id > 0 && id < kMostId;
}

bool take_key(std::string_view hex, Key& key) {
  const auto take = [](std::string_view digits, std::uint64_t& to) {
    const char* const end = digits.data() + digits.size();
    const auto [last, error] = std::from_chars(digits.data(), end, to, 16);
    return error == std::errc() && last == end;
  };
  return hex.size() == 32 && take(hex.substr(0, 16), key.high) && take(hex.substr(16), key.low);
}

}  // namespace

fs::path marker_of(const fs::path& root, const Key& key) {
  return root / "spool" / (std::string(kPrefix) + to_hex(key));
}

fs::path command_marker_of(const fs::path& root, const Key& key) {
  return root / "spool" / (std::string(kCommandPrefix) + to_hex(key));
}

void leave_marker(const fs::path& root, const Key& key, const fs::path& directory, bool durable) {
  const fs::path file = marker_of(root, key);
  const std::string place = place_of(directory).string();
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) throw_cache_error("create", file.parent_path(), error.value());
  if (read_text(file) != place) {
    const std::string line = place + '\n';
    const Fd fd = os_open(file, O_CREAT | O_TRUNC | O_WRONLY);
    if (!fd || !os_write(fd.get(), line.data(), line.size())) throw_cache_error("write", file);
  }
  if (!durable || STOOK_MUTANT("sync-marker")) return;
  const Fd fd = os_open(file, O_RDONLY);
  if (!fd || !os_sync_data(fd.get()) || !os_sync_directory(file.parent_path())) {
    throw_cache_error("sync", file);
  }
}

AttemptMarker read_marker(const fs::path& root, const Key& key) {
  const fs::path said = read_text(marker_of(root, key));
  AttemptMarker marker;
  const bool good = take_id(said.filename().string(), marker.id) && said == place_of(said) &&
                    said.parent_path().filename() != "..";
  if (good || STOOK_MUTANT("marker-inside")) marker.place = said;
  return marker;
}

void remove_marker(const fs::path& root, const Key& key) noexcept {
  (void)::unlink(marker_of(root, key).c_str());
}

std::vector<Key> markers_left(const fs::path& root) {
  const fs::path spool = root / "spool";
  std::vector<std::string> names;
  if (!os_list(spool, names) && errno != ENOENT) throw_cache_error("list", spool);
  std::vector<Key> keys;
  for (const std::string& name : names) {
    Key key;
    if (!name.starts_with(kPrefix)) continue;
    if (!take_key(std::string_view(name).substr(kPrefix.size()), key)) continue;
    std::error_code error;
    const fs::file_status status = fs::symlink_status(spool / name, error);
    if (status.type() == fs::file_type::none)
      throw_cache_error("look at", spool / name, error.value());
    if (fs::is_regular_file(status)) keys.push_back(key);
  }
  return keys;
}

bool is_marker(const fs::path& file) {
  const std::string name = file.filename().string();
  if (name.starts_with(kPrefix)) return true;
  if (!name.starts_with(kCommandPrefix)) return false;
  std::error_code error;
  const fs::file_time_type written = fs::last_write_time(file, error);
  return !error && written > fs::file_time_type::clock::now() - std::chrono::hours(24);
}

}  // namespace stook::detail
