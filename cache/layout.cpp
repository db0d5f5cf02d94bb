#include "cache/layout.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "cache/fault.h"
#include "src/hash.h"
#include "src/mutant.h"
#include "src/os.h"

namespace stook::detail {
namespace {

constexpr std::string_view kFormat = "stook cache 1";
constexpr std::string_view kNumber = ", number ";  // 8 hexadecimal digits; not in older ones

// File systems whose files live on another machine or in another process: their memory mappings
// and locks are not to be relied on between processes. From linux/magic.h and the kernel's source.
constexpr std::array<std::uint32_t, 14> kRemote = {
    0x6969,      // NFS
    0xFF534D42,  // CIFS
    0xFE534D42,  // SMB2
    0x517B,      // SMB
    0x65735546,  // FUSE
    0x0BD00BD0,  // Lustre
    0x01021997,  // 9p
    0x00C36400,  // Ceph
    0x5346414F,  // AFS
    0x6B414653,  // kAFS
    0x47504653,  // GPFS
    0x7461636F,  // OCFS2
    0x01161970,  // GFS2
    0x19830326,  // BeeGFS
};

Medium medium_of(const std::filesystem::path& directory) {
  struct statfs status = {};
  if (statfs(directory.c_str(), &status) != 0) throw_cache_error("look at", directory);
  const auto type = static_cast<std::uint32_t>(status.f_type);
  const bool remote = std::find(kRemote.begin(), kRemote.end(), type) != kRemote.end();
  return remote ? Medium::remote : Medium::local;
}

void make_directory(const std::filesystem::path& directory) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    throw_cache_error("create", directory);
  }
}

void check_directory(const std::filesystem::path& directory) {
  struct stat status = {};
  if (lstat(directory.c_str(), &status) != 0) throw_cache_error("look at", directory);
  if (!STOOK_MUTANT("cache-is-link") && S_ISLNK(status.st_mode))
    throw_cache_error("open the cache at", directory, ELOOP);
  if (!S_ISDIR(status.st_mode)) throw_cache_error("open the cache at", directory, ENOTDIR);
  if (status.st_uid != geteuid()) {
    throw CacheError("open the cache at " + directory.string() + ": it belongs to user " +
                     std::to_string(status.st_uid) +
                     "; a cache is used by its owner only: name another directory with --cache");
  }
  if (access(directory.c_str(), R_OK | W_OK | X_OK) != 0) {
    throw_cache_error("open the cache at", directory);
  }
}

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& why) {
  throw CacheError("open the cache at " + path.parent_path().string() + ": " + path.string() + " " +
                   why);
}

// Who else may write here may have put anything here.
void check_private(const std::filesystem::path& directory, bool is_cache) {
  struct stat status = {};
  if (lstat(directory.c_str(), &status) != 0) throw_cache_error("look at", directory);
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) == 0) return;
  std::vector<std::string> names;
  if (!os_list(directory, names)) throw_cache_error("list", directory);
  if (!is_cache && names.empty()) return;  // it is about to be made private
  const std::string what = "open the cache at " + directory.string() + ": others may write into it";
  if (!is_cache) {
    throw CacheError(what +
                     ", and it holds other things; name a directory of your own with --cache");
  }
  throw CacheError(what + ", and so into its results; if you trust what is in it: chmod 700 '" +
                   directory.string() + "'");
}

// Nothing in a cache is reached through a link, and nothing but files and directories is opened.
// What is not there will be made, or is missed later.
void check_kind(const std::filesystem::path& path, mode_t kind) {
  struct stat status = {};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return;
    throw_cache_error("look at", path);
  }
  if (S_ISLNK(status.st_mode)) refuse(path, "is a symbolic link, which is not followed");
  if ((status.st_mode & S_IFMT) != kind) {
    refuse(path, kind == S_IFDIR ? "is not a directory" : "is not a file");
  }
  if (status.st_uid != geteuid()) {
    refuse(path, "belongs to user " + std::to_string(status.st_uid));
  }
  if ((status.st_mode & S_IWOTH) != 0 && kind == S_IFREG)
    refuse(path, "may be written by everybody");
}

// These are written in place: so would be the other file of the same content.
void check_own(const std::filesystem::path& path) {
  check_kind(path, S_IFREG);
  struct stat status = {};
  if (lstat(path.c_str(), &status) == 0 && status.st_nlink > 1) {
    refuse(path, "has a second name (a hard link), and what is written to it would be there, too; "
                 "make a copy of the cache with `cp -r`");
  }
}

void check_content(const Layout& layout) {
  for (const auto& directory : {layout.packs, layout.objects, layout.tasks, layout.root / "spool",
                                layout.trash, layout.root / "runs"}) {
    check_kind(directory, S_IFDIR);
  }
  check_kind(layout.root / "FORMAT", S_IFREG);
  check_kind(layout.rebuild, S_IFREG);
  check_own(layout.claims);
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    check_own(layout.index.string() + suffix);
  }
}

void sync_names(const std::filesystem::path& directory) {
  if (!os_sync_directory(directory)) throw_cache_error("sync", directory);
}

std::string read_format(const std::filesystem::path& file) {
  const Fd fd = os_open(file, O_RDONLY);
  if (!fd) return {};
  char text[256];
  const ssize_t n = os_pread(fd.get(), text, sizeof text, 0);
  if (n > 0 && text[0] == '\0') return {};  // its size survived a power failure, its bytes did not
  return std::string(text, n > 0 ? static_cast<std::size_t>(n) : 0);
}

// Of several processes that make a cache at once the first one's line counts. One that is empty is
// what a power failure left of one, and is replaced; so it is where files have one name only.
void give_name(const std::filesystem::path& temporary, const std::filesystem::path& format) {
  if (!STOOK_MUTANT("link-format") && (link(temporary.c_str(), format.c_str()) == 0 ||
                                       (errno == EEXIST && !read_format(format).empty()))) {
    unlink(temporary.c_str());
  } else if (!os_rename(temporary, format)) {
    throw_cache_error("write", format);
  }
}

// Synced before it gets its name, which is synced too: with its name and without its line, the
// directory would be refused for ever.
void write_format(const Layout& layout, std::string_view creator) {
  const auto temporary = layout.root / ("FORMAT." + os_unique_name());
  const std::string line = std::string(kFormat) + ", created by " + std::string(creator) +
                           std::string(kNumber) + os_unique_name().substr(0, 8) + "\n";
  const Fd fd = os_open(temporary, O_CREAT | O_TRUNC | O_WRONLY);
  if (!fd || !os_write(fd.get(), line.data(), line.size()) ||
      (!STOOK_MUTANT("sync-format") && !os_sync_data(fd.get()))) {
    throw_cache_error("write", temporary);
  }
  if (!STOOK_MUTANT("sync-before-format")) sync_names(layout.root);
  give_name(temporary, layout.root / "FORMAT");
  if (!STOOK_MUTANT("sync-format-name")) sync_names(layout.root);
  // A parent that may be entered and not read cannot be synced: then its owner looks after it.
  if (!STOOK_MUTANT("sync-cache-name")) (void)os_sync_directory(layout.root.parent_path());
}

void create(const Layout& layout, std::string_view creator) {
  if (chmod(layout.root.c_str(), 0700) != 0) throw_cache_error("make private", layout.root);
  for (const auto& directory : {layout.packs, layout.objects, layout.tasks, layout.root / "spool",
                                layout.trash, layout.root / "runs"}) {
    make_directory(directory);
  }
  write_format(layout, creator);  // last: its presence says that the rest is there
}

std::uint32_t number_in(const std::string& format) {
  const std::size_t at = format.rfind(kNumber);
  if (at == std::string::npos) return 0;
  return static_cast<std::uint32_t>(
      std::strtoul(format.c_str() + at + kNumber.size(), nullptr, 16));
}

bool is_ours(std::string_view format) {
  return format.starts_with(kFormat) &&
         (format.size() == kFormat.size() || format[kFormat.size()] == ',');
}

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

}  // namespace

Layout open_layout(const std::filesystem::path& directory, std::string_view creator) {
  Layout layout;
  layout.root = std::filesystem::absolute(directory).lexically_normal();
  if (!layout.root.has_filename()) layout.root = layout.root.parent_path();
  std::error_code ignored;  // what stands in the way is told by mkdir below
  std::filesystem::create_directories(layout.root.parent_path(), ignored);
  make_directory(layout.root);
  check_directory(layout.root);
  layout.index = layout.root / "index.sqlite";
  layout.packs = layout.root / "packs";
  layout.objects = layout.root / "objects";
  layout.tasks = layout.root / "tasks";
  layout.trash = layout.root / "spool" / "trash";
  layout.claims = layout.root / ".claims";
  layout.rebuild = layout.root / ".rebuild";
  check_content(layout);
  std::string format = read_format(layout.root / "FORMAT");
  check_private(layout.root, !format.empty());
  if (format.empty()) {
    create(layout, creator);
    format = read_format(layout.root / "FORMAT");  // another process may have been quicker
  }
  if (!STOOK_MUTANT("format-line") && !is_ours(format)) {
    throw CacheError("open the cache at " + layout.root.string() + ": its format is \"" +
                     format.substr(0, format.find('\n')) + "\", this program reads \"" +
                     std::string(kFormat) +
                     "\"; use the program that made it, or name another directory with --cache");
  }
  layout.number = number_in(format);
  layout.medium = medium_of(layout.root);
  return layout;
}

void check_names(const Layout& layout) {
  for (const auto& directory :
       {layout.packs, layout.objects, layout.tasks, layout.trash.parent_path()}) {
    std::error_code error;
    std::filesystem::directory_iterator at(directory, error);
    for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
      const bool link = at->is_symlink(error);
      if (!error && link) refuse(at->path(), "is a symbolic link, which is not followed");
    }
    if (error && error != std::errc::no_such_file_or_directory) {
      throw_cache_error("list", directory, error.value());
    }
  }
}

std::string safe_name(std::string_view class_name) {
  constexpr std::size_t kLongest = 180;
  constexpr char digits[] = "0123456789ABCDEF";
  const bool dots = class_name == "." || class_name == "..";
  std::string name;
  for (const char c : class_name) {
    if (is_plain(c) && !dots) {
      name += c;
    } else {
      name += '%';
      name += digits[static_cast<unsigned char>(c) >> 4];
      name += digits[static_cast<unsigned char>(c) & 15];
    }
  }
  if (name.size() <= kLongest) return name.empty() ? "%" : name;
  return name.substr(0, kLongest) + "%" + to_hex(hash_bytes(class_name));
}

std::string class_name_of(std::string_view safe) {
  std::string name;
  for (std::size_t i = 0; i < safe.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(safe[i]);
    if (c == '%') {
      const char* const digits = safe.data() + i + 1;
      if (i + 2 >= safe.size() || std::from_chars(digits, digits + 2, c, 16).ec != std::errc()) {
        return {};
      }
      i += 2;
    }
    name += static_cast<char>(c);
  }
  return safe_name(name) == safe ? name : std::string();
}

}  // namespace stook::detail
