#include "cache/fault.h"

#include <system_error>

namespace stook::detail {

bool is_no_file(int error) { return error == ENOENT || error == ELOOP || error == ENXIO; }

std::string_view advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free some space (`stook collect` removes what is least used) and run again";
    case EACCES:
    case EPERM: return "make it writable for this user, or name another directory with --cache";
    case EROFS: return "the file system is read-only: name another directory with --cache";
    case ENOENT: return "create the directory above it, or name another one with --cache";
    case ENOTDIR: return "name a directory with --cache, not a file";
    case ELOOP: return "symbolic links are not followed: name the real directory with --cache";
    case EMFILE:
    case ENFILE: return "too many open files: raise `ulimit -n`";
    case ENOMEM: return "there is too little memory: run fewer tasks at once";
    case ENOLCK: return "the file system does not lock files: use a cache on a local disk";
    default: return "check the disk and the system log, then run again";
  }
}

std::string describe_error(std::string_view doing, const std::filesystem::path& path, int error) {
  std::string text(doing);
  text += ' ';
  text += path.string();
  text += ": ";
  text += std::generic_category().message(error);
  text += "; ";
  text += advice(error);
  return text;
}

void throw_cache_error(std::string_view doing, const std::filesystem::path& path, int error) {
  throw CacheError(describe_error(doing, path, error));
}

}  // namespace stook::detail
