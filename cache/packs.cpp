#include "cache/packs.h"

#include <fcntl.h>

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "cache/fault.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

constexpr std::size_t kMostOpen = 128;
constexpr std::size_t kFirstRead = 4096;  // holds most records whole
constexpr std::size_t kMostAhead = std::size_t{256} << 10;
constexpr std::size_t kMany = 4;  // records of a first read that make it worth to read further
constexpr std::size_t kWindow = std::size_t{1} << 20;
constexpr std::size_t kPage = 4096;

// As os_pread. A disk that fails is asked again; what it still does not give back is zeros, which
// no checksum takes for a frame.
std::size_t read_what_can_be(int fd, std::span<std::byte> to, std::uint64_t offset) {
  if (const ssize_t n = os_pread(fd, to.data(), to.size(), offset); n >= 0) {
    return static_cast<std::size_t>(n);
  }
  std::size_t done = 0;
  while (done < to.size()) {
    const std::span<std::byte> page = to.subspan(done, std::min(kPage, to.size() - done));
    const ssize_t n = os_pread(fd, page.data(), page.size(), offset + done);
    if (n == 0) break;
    if (n < 0) std::fill(page.begin(), page.end(), std::byte{0});
    done += n < 0 ? page.size() : static_cast<std::size_t>(n);
  }
  return done;
}

// A stretch of a file in memory that moves forward.
class Window {
 public:
  Window(int fd, std::uint64_t limit) : fd_(fd), limit_(limit) {}

  // The bytes from `offset`: at least `size`, or all there are up to the limit.
  ByteSpan at(std::uint64_t offset, std::uint64_t size) {
    if (offset < start_ || offset + size > start_ + bytes_.size()) load(offset, size);
    return ByteSpan(bytes_).subspan(offset - start_);
  }

 private:
  void load(std::uint64_t offset, std::uint64_t size) {
    const std::uint64_t there = limit_ > offset ? limit_ - offset : 0;
    bytes_.resize(std::min<std::uint64_t>(std::max<std::uint64_t>(size, kWindow), there));
    bytes_.resize(read_what_can_be(fd_, bytes_, offset));
    start_ = offset;
  }

  const int fd_;
  const std::uint64_t limit_;
  std::uint64_t start_ = 0;
  std::vector<std::byte> bytes_;
};

// The whole frame at `offset` before `to`, its length in `length`.
std::optional<Frame> frame_at(Window& window, std::uint64_t offset, std::uint64_t to,
                              std::uint64_t salt, std::uint64_t& length) {
  const ByteSpan fixed = window.at(offset, std::min<std::uint64_t>(kFixedBytes, to - offset));
  if (fixed.size() < kFixedBytes) return std::nullopt;
  const auto said = frame_length(fixed);
  if (!said || *said > to - offset) return std::nullopt;
  length = *said;
  const ByteSpan bytes = window.at(offset, length);
  if (bytes.size() < length) return std::nullopt;
  return decode_frame(bytes.first(length), salt);
}

// Where the next good frame begins, after `from`; `to` if nowhere.
std::uint64_t next_good(Window& window, std::uint64_t from, std::uint64_t to, std::uint64_t salt) {
  std::uint64_t at = from + 1;
  while (at < to) {
    const ByteSpan bytes = window.at(at, std::min<std::uint64_t>(kFixedBytes, to - at));
    if (bytes.empty()) return to;
    const std::size_t magic = find_frame_magic(bytes, 0);
    if (magic == bytes.size()) {
      // The magic may straddle the end of the window.
      at += std::max<std::size_t>(bytes.size(), 4) - 3;
      continue;
    }
    at += magic;
    std::uint64_t length = 0;
    if (at < to && frame_at(window, at, to, salt, length)) return at;
    ++at;
  }
  return to;
}

Failed failed(const std::filesystem::path& path, std::uint64_t offset, const std::string& why) {
  return {"pack " + path.string() + " at " + std::to_string(offset) + ": " + why};
}

std::string why_no_header(ByteSpan bytes) {
  const std::uint32_t version = other_pack_version(bytes);
  if (version == 0) return "its file header is damaged";
  return "its format has version " + std::to_string(version) + ", this program reads version " +
         std::to_string(kPackVersion) + "; it is left as it is";
}

}  // namespace

std::filesystem::path pack_path(const std::filesystem::path& directory, std::uint32_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "%04u.pack", number);
  return directory / name;
}

std::filesystem::path Packs::path_of(std::uint32_t number) const {
  return pack_path(directory_, number);
}

void Packs::drop_ahead() {
  const std::lock_guard lock(mutex_);
  ahead_.reset();
}

Result<std::shared_ptr<const OpenPack>> Packs::open(std::uint32_t number) {
  return open_unless(number, [](int error) { return error == ENOENT; });
}

Result<std::shared_ptr<const OpenPack>> Packs::open_unless(std::uint32_t number,
                                                           bool (*is_gone)(int error)) {
  const std::lock_guard lock(mutex_);
  if (const auto found = open_.find(number); found != open_.end()) return found->second;
  const std::filesystem::path path = path_of(number);
  auto pack = std::make_shared<OpenPack>();
  pack->fd = os_open(path, O_RDONLY);
  if (!pack->fd && is_gone(errno)) return failed(path, 0, "it is gone");
  if (!pack->fd) throw_cache_error("read", path);
  struct stat status = {};
  if (fstat(pack->fd.get(), &status) != 0) throw_cache_error("look at", path);
  if (!S_ISREG(status.st_mode)) return failed(path, 0, "it is not a file");
  std::vector<std::byte> bytes(kFirstRead);
  bytes.resize(read_what_can_be(pack->fd.get(), bytes, 0));
  const auto header = decode_pack_header(bytes);
  if (!header) return failed(path, 0, why_no_header(bytes));
  pack->header = *header;
  if (open_.size() >= kMostOpen) open_.clear();  // those in use live on through their pointers
  return open_.emplace(number, std::move(pack)).first->second;
}

std::string Packs::about_unknown(std::uint32_t number, std::uint64_t offset) const {
  return failed(path_of(number), offset,
                "records of a later version's kind, this program knows version " +
                    std::to_string(kPackVersion) + "; they are left as they are")
      .reason;
}

bool Packs::is_foreign(std::uint32_t number) const {
  const Fd fd = os_open(path_of(number), O_RDONLY);
  std::vector<std::byte> bytes(kFirstRead);
  bytes.resize(fd ? read_what_can_be(fd.get(), bytes, 0) : 0);
  return other_pack_version(bytes) != 0;
}

void Packs::forget(std::uint32_t number) {
  const std::lock_guard lock(mutex_);
  open_.erase(number);
  if (ahead_ && ahead_->number == number) ahead_.reset();
}

// What was read when another record was wanted, if this one is there as a whole.
std::shared_ptr<const Packs::Stretch> Packs::find_ahead(std::uint32_t number, std::uint64_t offset,
                                                        Part part) {
  const std::lock_guard lock(mutex_);
  if (!ahead_ || ahead_->number != number || offset < ahead_->start) return nullptr;
  const std::uint64_t skipped = offset - ahead_->start;
  if (ahead_->bytes.size() < skipped + kFixedBytes) return nullptr;
  const ByteSpan there = ByteSpan(ahead_->bytes).subspan(skipped);
  const auto length = frame_length(there);
  if (!length || (part == Part::whole ? *length : front_length(there)) > there.size()) {
    return nullptr;
  }
  ++ahead_served_;
  return ahead_;
}

// As far ahead as it was of use up to now: twice as far after some records, half where there were
// few. So who reads in no order pays for no more than a first read. Who comes from behind a stretch
// gets the one before it.
std::shared_ptr<const Packs::Stretch> Packs::read_ahead(std::uint32_t number, std::uint64_t offset,
                                                        int fd) {
  auto stretch = std::make_shared<Stretch>();
  stretch->number = number;
  stretch->start = offset;
  {
    const std::lock_guard lock(mutex_);
    ahead_bytes_ = ahead_served_ >= kMany ? ahead_bytes_ * 2 : ahead_bytes_ / 2;
    ahead_bytes_ = std::clamp(ahead_bytes_, kFirstRead, kMostAhead);
    ahead_served_ = 0;
    std::size_t size = ahead_bytes_;
    if (ahead_ && ahead_->number == number && offset < ahead_->start &&
        ahead_->start - offset < size) {
      size = std::min<std::uint64_t>(std::max(size, 2 * kFirstRead), offset + kFirstRead);
      stretch->start = offset + kFirstRead - size;
    }
    stretch->bytes.resize(size);
  }
  stretch->bytes.resize(read_what_can_be(fd, stretch->bytes, stretch->start));
  const std::lock_guard lock(mutex_);
  ahead_ = stretch;
  return stretch;
}

Result<OwnedFrame> Packs::take_frame(const std::shared_ptr<const OpenPack>& pack,
                                     const Stretch& from, std::uint64_t offset, Part part) const {
  const auto fails = [&](const char* why) { return failed(path_of(from.number), offset, why); };
  const int fd = pack->fd.get();
  const ByteSpan there =
      ByteSpan(from.bytes).subspan(std::min(offset - from.start, from.bytes.size()));
  if (there.size() < kFixedBytes) return fails("nothing is there");
  const auto length = frame_length(there);
  if (!length || (!STOOK_MUTANT("record-in-file") && *length > there.size() &&
                  offset + *length > static_cast<std::uint64_t>(os_file_size(fd)))) {
    return fails("no record is there");
  }
  const std::uint64_t wanted = part == Part::whole ? *length : front_length(there);
  OwnedFrame result;
  result.pack = pack;
  result.bytes.reserve(wanted);
  const std::size_t have = std::min<std::uint64_t>(wanted, there.size());
  result.bytes.assign(there.begin(), there.begin() + static_cast<std::ptrdiff_t>(have));
  result.bytes.resize(wanted);
  if (wanted > have &&
      read_what_can_be(fd, std::span(result.bytes).subspan(have), offset + have) != wanted - have) {
    return fails("the record is cut short");
  }
  const std::uint64_t salt = pack->header.salt;
  const auto frame =
      part == Part::whole ? decode_frame(result.bytes, salt) : decode_front(result.bytes, salt);
  if (!frame) return fails("the record's checksum does not hold");
  if (!frame->known) return fails("the record is of a later version's kind");
  result.frame = *frame;
  return result;
}

Result<OwnedFrame> Packs::read(std::uint32_t number, std::uint64_t offset, Part part) {
  const auto pack = open_unless(number, is_no_file);  // a link makes a miss
  if (!pack) return Failed{pack.reason()};
  if (const auto ahead = find_ahead(number, offset, part)) {
    // It may have been read while the record was being written.
    if (auto frame = take_frame(*pack, *ahead, offset, part)) return frame;
  }
  return take_frame(*pack, *read_ahead(number, offset, (*pack)->fd.get()), offset, part);
}

Result<OwnedFrame> Packs::try_read(std::uint32_t number, std::uint64_t offset) {
  try {
    return read(number, offset);
  } catch (const CacheError& error) { return Failed{error.what()}; }
}

Result<std::shared_ptr<const OpenPack>> Packs::scan(std::uint32_t number, std::uint64_t from,
                                                    std::uint64_t to, const Visitor& visitor) {
  auto pack = open(number);
  if (!pack) return pack;
  const PackHeader& header = (*pack)->header;
  Window window((*pack)->fd.get(), to);
  for (std::uint64_t at = std::max(from, header.length); at < to;) {
    std::uint64_t length = 0;
    if (const auto frame = frame_at(window, at, to, header.salt, length)) {
      frame->known ? visitor.frame(*frame, at, length) : visitor.unknown(at);
    } else {
      length = next_good(window, at, to, header.salt) - at;
      visitor.damage(at, length);
    }
    at += length;
  }
  return pack;
}

std::vector<std::uint32_t> Packs::list() const {
  std::vector<std::string> names;
  if (!os_list(directory_, names)) throw_cache_error("list", directory_);
  std::vector<std::uint32_t> numbers;
  for (const std::string& name : names) {
    std::uint32_t number = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
    if (parsed.ec == std::errc() && std::string_view(parsed.ptr) == ".pack") {
      numbers.push_back(number);
    }
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::uint64_t Packs::size_of(std::uint32_t number) const {
  struct stat status = {};
  const std::filesystem::path path = path_of(number);
  if (lstat(path.c_str(), &status) == 0) return static_cast<std::uint64_t>(status.st_size);
  if (errno != ENOENT) throw_cache_error("look at", path);
  return 0;
}

}  // namespace stook::detail
