#include "cache/objects.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "cache/compress.h"
#include "cache/fault.h"
#include "cache/frame.h"
#include "src/hash.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

// A stretch is hashed while it is still in the processor's cache.
constexpr std::size_t kStretch = std::size_t{256} << 10;

// Writes to a file and hashes what it wrote.
struct HashedFile {
  int fd;
  Hasher hasher;
  std::uint64_t size = 0;

  bool write(ByteSpan piece) {
    for (std::size_t at = 0; at < piece.size(); at += kStretch) {
      const ByteSpan part = piece.subspan(at, std::min(kStretch, piece.size() - at));
      hasher.update(part.data(), part.size());
      if (!os_write(fd, part.data(), part.size())) return false;
      size += part.size();
    }
    return true;
  }
};

// Whether the start of the value shrinks by a fifth: if not, compressing the rest is wasted.
bool shrinks(std::span<const ByteSpan> pieces, int level) {
  if (level <= 0) return false;
  const auto largest =
      std::max_element(pieces.begin(), pieces.end(),
                       [](const ByteSpan& a, const ByteSpan& b) { return a.size() < b.size(); });
  const ByteSpan sample = largest->first(std::min<std::size_t>(largest->size(), 64 << 10));
  std::vector<std::byte> out;
  return compress({&sample, 1}, sample.size(), 1, out) && out.size() < sample.size() / 5 * 4;
}

// As os_pread; a disk that fails is asked twice.
ssize_t read_again(int fd, std::span<std::byte> to, std::uint64_t offset) {
  const ssize_t n = os_pread(fd, to.data(), to.size(), offset);
  return n >= 0 ? n : os_pread(fd, to.data(), to.size(), offset);
}

bool read_hashed(int fd, std::span<std::byte> to, Hash128& hash) {
  Hasher hasher;
  for (std::size_t at = 0; at < to.size(); at += kStretch) {
    const std::size_t size = std::min(kStretch, to.size() - at);
    if (read_again(fd, to.subspan(at, size), at) != static_cast<ssize_t>(size)) return false;
    hasher.update(to.data() + at, size);
  }
  hash = hasher.finish();
  return true;
}

}  // namespace

std::filesystem::path Objects::path_of(const Hash128& name) const {
  const std::string hex = to_hex(name);
  return directory_ / hex.substr(0, 2) / hex.substr(2);
}

std::vector<std::filesystem::path> Objects::list() const {
  std::vector<std::filesystem::path> files;
  std::vector<std::string> names, inner;
  if (!os_list(directory_, names)) throw_cache_error("list", directory_);
  for (const std::string& name : names) {
    const std::filesystem::path path = directory_ / name;
    if (os_list(path, inner)) {
      for (const std::string& rest : inner) files.push_back(path / rest);
    } else if (errno == ENOTDIR) {
      files.push_back(path);
    } else if (errno != ENOENT) {  // another process may have removed it
      throw_cache_error("list", path);
    }
  }
  return files;
}

bool Objects::is_whole(const Hash128& name, std::uint64_t stored_bytes,
                       const std::function<bool(ByteSpan)>& also) const {
  const std::filesystem::path path = path_of(name);
  const Fd fd = os_open(path, O_RDONLY);
  if (!fd && is_no_file(errno)) return false;
  const std::int64_t size = fd ? os_file_size(fd.get()) : -1;
  if (size < 0) throw_cache_error("read", path);  // for want of a descriptor, say: no damage
  if (size != static_cast<std::int64_t>(stored_bytes)) return false;
  Hasher hasher;
  std::vector<std::byte> stretch(kStretch);
  for (std::uint64_t at = 0; at < stored_bytes;) {
    const ssize_t n = read_again(fd.get(), stretch, at);
    if (n <= 0) return false;
    const ByteSpan piece = ByteSpan(stretch).first(static_cast<std::size_t>(n));
    hasher.update(piece.data(), piece.size());
    if (also && !also(piece)) return false;
    at += piece.size();
  }
  return hasher.finish() == name;
}

Result<bool> Objects::check(const Hash128& name, std::uint64_t stored_bytes,
                            std::uint64_t raw_bytes, bool compressed) const {
  Inflater inflater(compressed, raw_bytes, [](ByteSpan) {});
  const bool whole =
      is_whole(name, stored_bytes, [&](ByteSpan piece) { return inflater.take(piece); });
  if (whole && inflater.complete()) return true;
  return Failed{"object " + path_of(name).string() +
                (whole ? " does not decompress" : " is damaged or gone")};
}

Fd Objects::create_temporary(std::filesystem::path& path) const {
  path = directory_ / ("new-" + os_unique_name());
  Fd fd = os_open(path, O_CREAT | O_EXCL | O_WRONLY);
  if (!fd) throw_cache_error("create", path);
  return fd;
}

// Nothing that a synced record may rely on goes before what takes its place is synced. Another
// process may be writing the same object: whoever comes second finds that.
void Objects::move_into_place(const std::filesystem::path& from, const Hash128& name) const {
  const std::filesystem::path to = path_of(name);
  bool moved = STOOK_MUTANT("rename-object") || os_rename_new(from, to);
  if (!moved && errno == ENOENT) {
    std::error_code ignored;  // another process may create it first
    std::filesystem::create_directory(to.parent_path(), ignored);
    moved = os_rename_new(from, to);
  }
  if (!moved && (errno == EEXIST || errno == EINVAL)) {
    const Fd fd = os_open(from, O_RDONLY);
    const bool synced = STOOK_MUTANT("sync-before-replacing") || (fd && os_sync_data(fd.get()));
    moved = synced && os_rename(from, to);
  }
  if (moved) return;
  const int error = errno;
  unlink(from.c_str());
  throw_cache_error("move a result into place at", to, error);
}

StoredObject Objects::write(std::span<const ByteSpan> pieces, std::uint64_t raw_bytes,
                            int level) const {
  if (!STOOK_MUTANT("object-cap") && raw_bytes > kMostRaw) {
    throw CacheError("store a result of " + std::to_string(raw_bytes) +
                     " bytes: a value may have at most 1 TiB; keep it in task_directory()");
  }
  StoredObject object;
  std::filesystem::path temporary;
  object.file = create_temporary(temporary);
  object.compressed = shrinks(pieces, level);
  HashedFile out{object.file.get(), {}, 0};
  const auto sink = [&](ByteSpan piece) { return out.write(piece); };
  const bool written = object.compressed ? compress_stream(pieces, level, sink)
                                         : std::all_of(pieces.begin(), pieces.end(), sink);
  if (!written) {
    const int error = errno;
    unlink(temporary.c_str());
    throw_cache_error("write a result to", temporary, error);
  }
  object.name = out.hasher.finish();
  object.stored_bytes = out.size;
  move_into_place(temporary, object.name);
  return object;
}

Result<std::unique_ptr<Payload>> Objects::read(const Hash128& name, std::uint64_t stored_bytes,
                                               std::uint64_t raw_bytes, bool compressed) const {
  const std::filesystem::path path = path_of(name);
  const auto fail = [&](const char* why) { return Failed{"object " + path.string() + why}; };
  const Fd fd = os_open(path, O_RDONLY);
  if (!fd && is_no_file(errno)) return fail(" is gone");
  const std::int64_t size = fd ? os_file_size(fd.get()) : -1;
  if (size < 0) throw_cache_error("read", path);  // for want of a descriptor, say: no damage
  if (!STOOK_MUTANT("object-size") && size != static_cast<std::int64_t>(stored_bytes)) {
    return fail(" has another size than recorded");
  }
  if (!STOOK_MUTANT("object-sizes") && !compressed && stored_bytes != raw_bytes)
    return fail(": its recorded sizes differ");
  auto stored = std::make_unique<Block>(stored_bytes);
  Hash128 hash;
  if (!read_hashed(fd.get(), stored->memory(), hash)) return fail(" cannot be read");
  if (!STOOK_MUTANT("check-object") && hash != name) return fail(" has damaged bytes");
  if (!compressed) return std::unique_ptr<Payload>(std::move(stored));
  if (!may_hold(stored->bytes(), raw_bytes)) return fail(" is not as large as recorded");
  auto raw = std::make_unique<Block>(raw_bytes);
  if (!decompress(stored->bytes(), raw->memory())) return fail(" does not decompress");
  return std::unique_ptr<Payload>(std::move(raw));
}

}  // namespace stook::detail
