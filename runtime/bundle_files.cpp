// Cache::export_to and Cache::import_from: the files that bundles are in.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cache/bundle.h"
#include "cache/bundle_export.h"
#include "cache/bundle_source.h"
#include "runtime/bundle_import.h"
#include "src/os.h"

#include <stook/cache.hpp>
#include <stook/errors.hpp>

namespace stook {
namespace {

[[noreturn]] void fail(const char* doing, const std::filesystem::path& path) {
  throw CacheError(std::string(doing) + " the bundle " + path.string() + ": " +
                   std::strerror(errno));
}

// Has its name when it is whole. What is no file (a pipe, a link to something) is written as it is.
class BundleFile {
 public:
  explicit BundleFile(const std::filesystem::path& path) : path_(path) {
    std::error_code error;
    const auto status = std::filesystem::symlink_status(path, error);
    if (path == "-") {
      fd_ = detail::Fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    } else if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
      fd_ = detail::Fd(::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    } else {
      temporary_ = path.string() + ".new-" + detail::os_unique_name().substr(0, 8);
      fd_ = detail::os_open(temporary_, O_CREAT | O_EXCL | O_WRONLY, 0666);
    }
    if (!fd_) fail("create", path);
  }
  ~BundleFile() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }
  BundleFile(const BundleFile&) = delete;
  BundleFile& operator=(const BundleFile&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  // From its beginning again. False: what was written cannot be taken back.
  [[nodiscard]] bool restart() {
    return !temporary_.empty() && ::ftruncate(fd_.get(), 0) == 0 &&
           ::lseek(fd_.get(), 0, SEEK_SET) == 0;
  }
  void finish() {
    if (temporary_.empty()) return;
    if (!detail::os_sync_data(fd_.get()) || !detail::os_rename(temporary_, path_)) {
      fail("write", path_);
    }
    temporary_.clear();
  }

 private:
  const std::filesystem::path path_;
  std::filesystem::path temporary_;
  detail::Fd fd_;
};

// More than an import takes of a bundle that it does not trust.
bool grows_too_much(int fd, std::uint64_t bytes) {
  const std::int64_t size = detail::os_file_size(fd);
  return size > 0 && detail::bundle_grows_too_much(bytes, static_cast<std::uint64_t>(size));
}

// In a cache that others use: what they clear or execute meanwhile is gone when its turn comes.
detail::ExportedBundle export_whole(detail::Store& store, BundleFile& out, const std::string& name,
                                    const std::vector<std::string>& patterns) {
  constexpr int kMostTries = 10;
  for (int i = 1;; ++i) {
    try {
      return detail::export_bundle(store, out.fd(), name, patterns);
    } catch (const detail::SourceChanged&) {
      if (i == kMostTries || !out.restart()) throw;
    }
  }
}

}  // namespace

ExportReport Cache::export_to(const std::filesystem::path& file, const ExportOptions& options) {
  BundleFile out(file);
  detail::ExportedBundle done = export_whole(store(), out, file.string(), options.patterns);
  if (grows_too_much(out.fd(), done.bytes)) {
    done.messages.push_back("the bundle grows more than a thousand times: import with --trust");
  }
  out.finish();
  return {done.results, done.records, done.bytes, done.left_out, std::move(done.messages)};
}

ImportReport Cache::import_from(const std::filesystem::path& file, const ImportOptions& options) {
  const detail::Fd in(file == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                  : ::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in) fail("read", file);
  detail::ImportedBundle done =
      detail::import_bundle(store(), in.get(), file.string(), options.trusted);
  return {done.imported, done.present,  done.different,
          done.left_out, done.unproven, std::move(done.messages)};
}

}  // namespace stook
