#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "cache/bundle.h"
#include "cache/fault.h"
#include "src/external.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

constexpr std::size_t kPackBytes = std::size_t{1} << 20;  // a pack is closed when it has so many
constexpr std::size_t kPiece = std::size_t{256} << 10;

}  // namespace

struct BundleWriter::Tar {
  Tar(int fd, std::string given) : name(std::move(given)), out(archive_write_new()) {
    if (out == nullptr) throw std::bad_alloc();
    check(archive_write_set_format_gnutar(out));
    check(archive_write_add_filter_zstd(out));
    check(archive_write_set_bytes_in_last_block(out, 1));
    check(archive_write_open_fd(out, fd));
  }
  ~Tar() { archive_write_free(out); }
  Tar(const Tar&) = delete;
  Tar& operator=(const Tar&) = delete;

  void check(la_ssize_t code) const {
    if (code >= 0) return;
    const int error = archive_errno(out);
    const char* const why = archive_error_string(out);
    if (error > 0) throw_cache_error("write the bundle", name, error);
    throw CacheError("write the bundle " + name + ": " + (why != nullptr ? why : "it failed"));
  }

  void begin(const std::string& path, unsigned type, unsigned mode, std::uint64_t size) const {
    archive_entry* const entry = archive_entry_new();
    if (entry == nullptr) throw std::bad_alloc();
    archive_entry_copy_pathname(entry, path.c_str());
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, static_cast<mode_t>(mode));
    archive_entry_set_size(entry, static_cast<la_int64_t>(size));
    archive_entry_set_mtime(entry, 0, 0);  // equal results, equal bundles
    const int code = archive_write_header(out, entry);
    archive_entry_free(entry);
    check(code);
  }

  void put(const void* data, std::size_t size) const {
    if (size > 0) check(archive_write_data(out, data, size));
  }

  // A file, which must have `size` bytes; `seen` is given them too.
  void file(const std::string& path, const std::filesystem::path& from, unsigned mode,
            std::uint64_t size, DirectoryHasher* seen = nullptr) const {
    const Fd fd = os_open(from, O_RDONLY);
    if (!fd && errno == ENOENT) throw SourceChanged(from.string() + " is gone; export again");
    if (!fd) throw_cache_error("read", from);
    begin(path, AE_IFREG, mode, size);
    std::vector<char> piece(kPiece);
    for (std::uint64_t at = 0; at < size;) {
      const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, size - at));
      const ssize_t n = os_pread(fd.get(), piece.data(), wanted, at);
      if (n < 0) throw_cache_error("read", from);
      if (n == 0) throw SourceChanged(from.string() + " became shorter meanwhile; export again");
      put(piece.data(), static_cast<std::size_t>(n));
      if (seen != nullptr) seen->content(piece.data(), static_cast<std::size_t>(n));
      at += static_cast<std::uint64_t>(n);
    }
  }

  const std::string name;
  archive* const out;
};

BundleWriter::BundleWriter(int fd, std::string name, const BundleHead& head)
    : text_(to_text(head)), tar_(std::make_unique<Tar>(fd, std::move(name))) {
  tar_->begin(bundle_names::kHead, AE_IFREG, 0600, text_.size());
  tar_->put(text_.data(), text_.size());
}

BundleWriter::~BundleWriter() = default;

// The bytes of the frame as they are: its checksum holds under the header of its pack.
void BundleWriter::add(const OwnedFrame& record) {
  const bool last = record.frame.in_object ||
                    (record.frame.kind == FrameKind::result && !record.frame.directory.is_zero());
  if (source_ != record.pack || pack_.size() >= kPackBytes) close_pack();
  if (pack_.empty()) {
    source_ = record.pack;
    encode_pack_header(source_->header, pack_);
  }
  pack_.insert(pack_.end(), record.bytes.begin(), record.bytes.end());
  if (last) close_pack();
}

void BundleWriter::close_pack() {
  source_.reset();
  if (pack_.empty()) return;
  tar_->begin(bundle_names::pack(++packs_), AE_IFREG, 0600, pack_.size());
  tar_->put(pack_.data(), pack_.size());
  pack_.clear();
}

void BundleWriter::add_object(const std::filesystem::path& file, const Hash128& name) {
  struct stat status = {};
  if (lstat(file.c_str(), &status) != 0) throw_cache_error("look at", file);
  tar_->file(bundle_names::object(name), file, 0600, static_cast<std::uint64_t>(status.st_size));
}

// Nobody keeps others from clearing or executing the task meanwhile.
void BundleWriter::add_directory(const std::filesystem::path& data, const Frame& record) {
  const std::string name = bundle_names::data(record.class_name, record.id);
  const auto changed = [&] {
    return SourceChanged("task #" + std::to_string(record.id) + " (" +
                         std::string(record.class_name) +
                         ") was cleared or executed meanwhile; export again");
  };
  tar_->begin(name, AE_IFDIR, 0700, 0);
  DirectoryHasher hasher;
  try {
    for (const std::filesystem::path& path : entries_below(data)) {
      const std::string inside = path.lexically_relative(data).native(),
                        below = name + "/" + inside;
      struct stat status = {};
      if (lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) throw changed();
        throw_cache_error("look at", path);
      }
      if (S_ISDIR(status.st_mode)) {
        tar_->begin(below, AE_IFDIR, 0700, 0);
        hasher.directory(inside);
      } else if (S_ISREG(status.st_mode)) {
        const bool executable = (status.st_mode & S_IXUSR) != 0;
        hasher.file(inside, executable);
        tar_->file(below, path, executable ? 0700 : 0600,
                   static_cast<std::uint64_t>(status.st_size), &hasher);
        hasher.end_file();
      } else {
        throw changed();
      }
    }
  } catch (const std::filesystem::filesystem_error& error) {
    if (error.code() == std::errc::no_such_file_or_directory) throw changed();
    throw CacheError(std::string("export: ") + error.what());
  }
  if (hasher.finish() != record.directory && !STOOK_MUTANT("check-exported")) throw changed();
}

void BundleWriter::finish() {
  close_pack();
  tar_->begin(bundle_names::kTail, AE_IFREG, 0600, text_.size());
  tar_->put(text_.data(), text_.size());
  tar_->check(archive_write_close(tar_->out));
}

}  // namespace stook::detail
