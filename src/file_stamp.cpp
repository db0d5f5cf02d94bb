#include "src/file_stamp.h"

#include <sys/vfs.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "src/mutant.h"

namespace stook::detail {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

// File systems whose times are those of our own clock, by the numbers of statfs(2).
constexpr std::int64_t with_own_clock[] = {
    0xEF53,      // ext2, ext3, ext4
    0x58465342,  // XFS
    0x9123683E,  // Btrfs
    0xCA451A4E,  // bcachefs
    0x2FC12FC1,  // ZFS
    0xF2F52010,  // F2FS
    0x01021994,  // tmpfs
    0x858458F6,  // ramfs
    0x794C7630,  // overlayfs
    0x73717368,  // squashfs
    0xE0F5E1E2,  // EROFS
    0x9660,      // ISO 9660
};

// Asked once in a row of files of one file system.
std::int64_t file_system_of(std::int64_t device, const std::filesystem::path& path) {
  thread_local std::pair<std::int64_t, std::int64_t> last{-1, 0};
  if (last.first != device) {
    struct statfs info {};
    if (::statfs(path.c_str(), &info) != 0) return 0;
    last = {device, static_cast<std::int64_t>(info.f_type)};
  }
  return last.second;
}

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * second_ns + time.tv_nsec; }

}  // namespace

FileStamp stamp_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  return stamp_from(info, path);
}

FileStamp stamp_from(const struct stat& info, const std::filesystem::path& path) {
  FileStamp stamp;
  stamp.device = static_cast<std::int64_t>(info.st_dev);
  stamp.inode = static_cast<std::int64_t>(info.st_ino);
  stamp.size = info.st_size;
  stamp.modified_ns = nanoseconds(info.st_mtim);
  stamp.changed_ns = nanoseconds(info.st_ctim);
  stamp.own_clock = has_own_clock(file_system_of(stamp.device, path));
  return stamp;
}

bool has_own_clock(std::int64_t file_system) {
  return std::find(std::begin(with_own_clock), std::end(with_own_clock), file_system) !=
         std::end(with_own_clock);
}

std::int64_t FileStamp::earliest_change_ns() const {
  return own_clock ? changed_ns : std::max(modified_ns, changed_ns);
}

std::int64_t FileStamp::latest_change_ns() const {
  // Servers are set by NTP, to far less than this; FAT counts in two seconds.
  constexpr std::int64_t foreign_ns = 10 * second_ns;
  if (!own_clock && !STOOK_MUTANT("foreign-clock")) return earliest_change_ns() + foreign_ns;
  // With inodes of 128 bytes ext4 counts in seconds.
  return earliest_change_ns() + (changed_ns % second_ns == 0 ? second_ns : 0);
}

std::string FileStamp::fingerprint() const {
  const std::int64_t fields[] = {device, inode, size, modified_ns, changed_ns};
  return {reinterpret_cast<const char*>(fields), sizeof fields};
}

}  // namespace stook::detail
