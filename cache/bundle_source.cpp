#include "cache/bundle_source.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "src/shown.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

constexpr std::size_t kPiece = std::size_t{128} << 10;
constexpr std::uint64_t kFreeBytes = std::uint64_t{64} << 20;  // may come out of any bundle
constexpr std::uint64_t kMostRatio = 1000;                     // ... and of each byte that is read
constexpr int kWindowLog = 23;                                 // 8 MiB
constexpr int kTrustedWindowLog = 27;                          // what zstd itself takes
constexpr std::size_t kMostName = 4096;
constexpr std::size_t kNameShown = 200;

const char* const kTrust = "; if it is your own, import it with --trust (ImportOptions::trusted)";

// Why a bundle cannot have this name; null: it can.
const char* fault_of_name(std::string_view name) {
  if (name.empty() || name.size() > kMostName) return "an entry's name is empty or too long";
  if (name.front() == '/') return "an absolute name";
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find('/', at), name.size());
    const std::string_view part = name.substr(at, end - at);
    if (part == "..") return "a name with '..' in it";
    if (part.empty() || part == ".") return "a name with an empty part or '.' in it";
    at = end + 1;
  }
  return nullptr;
}

}  // namespace

bool bundle_grows_too_much(std::uint64_t bytes, std::uint64_t size) {
  return bytes > kFreeBytes && (bytes - kFreeBytes) / kMostRatio > size;
}

// The zstd stream, read by libarchive through callbacks: what goes wrong is kept for fail().
struct BundleSource::Stream {
  Stream(int given, bool trust) : fd(given), trusted(trust), context(ZSTD_createDCtx()) {
    if (context == nullptr) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, trusted ? kTrustedWindowLog : kWindowLog);
    in.resize(kPiece);
    out.resize(kPiece);
  }
  ~Stream() { ZSTD_freeDCtx(context); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool fill() {
    ssize_t n = -1;
    do n = ::read(fd, in.data(), in.size());
    while (n < 0 && errno == EINTR);
    if (n < 0) {
      fault = std::string("it cannot be read: ") + std::strerror(errno);
      return false;
    }
    input = {in.data(), static_cast<std::size_t>(n), 0};
    total_in += static_cast<std::uint64_t>(n);
    ended = n == 0;
    return true;
  }

  // The next piece; 0: the end, -1: fault.
  ssize_t next(const void** piece) {
    for (;;) {
      if (input.pos == input.size && !ended && !fill()) return -1;
      if (input.pos == input.size && ended && !pending) {
        if (unfinished) fault = "it is cut short";
        return unfinished ? -1 : 0;
      }
      ZSTD_outBuffer to = {out.data(), out.size(), 0};
      const std::size_t hint = ZSTD_decompressStream(context, &to, &input);
      if (ZSTD_isError(hint)) return take_error(hint);
      unfinished = hint != 0;
      pending = to.pos == to.size;
      total_out += to.pos;
      if (!trusted && bundle_grows_too_much(total_out, total_in)) {
        fault = std::to_string(total_out) + " bytes came out of " + std::to_string(total_in) +
                ": no bundle that is wanted grows so much (a zstd bomb?)" + kTrust;
        return -1;
      }
      *piece = out.data();
      if (to.pos > 0) return static_cast<ssize_t>(to.pos);
    }
  }

  ssize_t take_error(std::size_t code) {
    if (total_in < 4 || total_out == 0) fault = "it is no bundle: ";
    fault += std::string("zstd says: ") + ZSTD_getErrorName(code);
    if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge) {
      fault = "to decompress it takes more memory than a bundle may ask for (8 MiB)";
      if (!trusted) fault += kTrust;
    }
    return -1;
  }

  const int fd;
  const bool trusted;
  ZSTD_DCtx* const context;
  std::vector<char> in, out;
  ZSTD_inBuffer input = {nullptr, 0, 0};
  std::uint64_t total_in = 0;
  std::uint64_t total_out = 0;
  bool ended = false;
  bool pending = false;     // zstd may hold more than fitted into `out`
  bool unfinished = false;  // in the middle of a zstd frame
  std::string fault;
};

BundleSource::BundleSource(int fd, std::string name, bool trusted)
    : name_(std::move(name)), stream_(std::make_unique<Stream>(fd, trusted)),
      archive_(archive_read_new()) {
  if (archive_ == nullptr) throw std::bad_alloc();
  archive_read_support_format_tar(archive_);
  const auto read = [](archive*, void* data, const void** piece) -> la_ssize_t {
    return static_cast<Stream*>(data)->next(piece);
  };
  if (archive_read_open2(archive_, stream_.get(), nullptr, read, nullptr, nullptr) != ARCHIVE_OK) {
    try {
      fail();
    } catch (...) {
      archive_read_free(archive_);
      throw;
    }
  }
}

BundleSource::~BundleSource() { archive_read_free(archive_); }

void BundleSource::refuse(const std::string& why) const {
  std::string text = "bundle " + name_ + ": ";
  if (!entry_.name.empty()) text += "at '" + shortened(shown(entry_.name), kNameShown) + "': ";
  throw CacheError(text + why);
}

void BundleSource::fail() const {
  if (!stream_->fault.empty()) refuse(stream_->fault);
  const char* why = archive_error_string(archive_);
  refuse(std::string("it is no tar file, or a damaged one: ") + (why != nullptr ? why : "?"));
}

void BundleSource::advance() {
  archive_entry* entry = nullptr;
  const int code = archive_read_next_header(archive_, &entry);
  if (code == ARCHIVE_EOF && stream_->fault.empty()) {
    at_end_ = true;
    entry_ = {};
    return;
  }
  if (code != ARCHIVE_OK) fail();
  check_entry(entry);
}

void BundleSource::check_entry(archive_entry* entry) {
  const char* const name = archive_entry_pathname(entry);
  entry_ = {};
  entry_.name = name != nullptr ? name : "";
  const auto type = archive_entry_filetype(entry);
  if (type == AE_IFDIR && entry_.name.size() > 1 && entry_.name.back() == '/') {
    entry_.name.pop_back();
  }
  if (const char* fault = fault_of_name(entry_.name)) refuse(fault);
  if (archive_entry_hardlink(entry) != nullptr) refuse("a hard link");
  if (type == AE_IFLNK) refuse("a symbolic link");
  if (type != AE_IFREG && type != AE_IFDIR) refuse("neither a file nor a directory");
  if (archive_entry_sparse_count(entry) > 0) refuse("a file with holes");
  entry_.directory = type == AE_IFDIR;
  entry_.executable = (archive_entry_perm(entry) & S_IXUSR) != 0;
  if (entry_.directory) return;
  if (archive_entry_size_is_set(entry) == 0 || archive_entry_size(entry) < 0) {
    refuse("its size is not said");
  }
  entry_.size = static_cast<std::uint64_t>(archive_entry_size(entry));
  if (!bounded_) return;
  if (entry_.size > left_) {
    refuse("it has " + std::to_string(entry_.size) + " bytes, more than the bundle says it holds");
  }
  left_ -= entry_.size;
}

void BundleSource::read(const std::function<void(ByteSpan)>& sink) {
  std::uint64_t at = 0;
  for (;;) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int code = archive_read_data_block(archive_, &data, &size, &offset);
    if (code == ARCHIVE_EOF) break;
    if (code != ARCHIVE_OK) fail();
    if (static_cast<std::uint64_t>(offset) != at || size > entry_.size - at) fail();
    sink({static_cast<const std::byte*>(data), size});
    at += size;
  }
  if (!stream_->fault.empty()) fail();
  if (at != entry_.size) refuse("it is cut short");
}

void BundleSource::expect(std::uint64_t bytes) {
  bounded_ = true;
  left_ = bytes;
  struct stat status = {};
  if (stream_->trusted || fstat(stream_->fd, &status) != 0 || !S_ISREG(status.st_mode)) return;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (!bundle_grows_too_much(bytes, size)) return;
  refuse("it has " + std::to_string(size) + " bytes and says that it holds " +
         std::to_string(bytes) + ": no bundle that is wanted grows so much (a zstd bomb?)" +
         kTrust);
}

}  // namespace stook::detail
