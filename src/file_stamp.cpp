#include "src/file_stamp.h"

#include <sys/stat.h>

namespace stook::detail {
namespace {

std::int64_t nanoseconds(const timespec& time) {
  return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

}  // namespace

FileStamp stamp_of(const std::filesystem::path& path) {
  FileStamp stamp;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return stamp;
  stamp.device = static_cast<std::int64_t>(info.st_dev);
  stamp.inode = static_cast<std::int64_t>(info.st_ino);
  stamp.size = info.st_size;
  stamp.modified_ns = nanoseconds(info.st_mtim);
  stamp.changed_ns = nanoseconds(info.st_ctim);
  return stamp;
}

std::string FileStamp::fingerprint() const {
  const std::int64_t fields[] = {device, inode, size, modified_ns, changed_ns};
  return {reinterpret_cast<const char*>(fields), sizeof fields};
}

}  // namespace stook::detail
