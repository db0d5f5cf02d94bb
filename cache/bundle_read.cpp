#include <fcntl.h>
#include <sys/stat.h>

#include <charconv>
#include <cstdio>

#include "cache/bundle.h"
#include "cache/compress.h"
#include "cache/fault.h"
#include "cache/layout.h"
#include "src/hash.h"
#include "src/mutant.h"
#include "src/os.h"

namespace stook::detail {
namespace {

constexpr std::uint64_t kMostHead = 4096;
constexpr std::uint64_t kMostGathered = std::uint64_t{2} << 20;  // of a pack, beside its last frame
constexpr std::uint64_t kMostObjectsKnown = 1 << 18;  // so many names are looked at for doubles

bool take_number(std::string_view& text, std::string_view label, std::uint64_t& number) {
  if (!text.starts_with(label)) return false;
  text.remove_prefix(label.size());
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto used = static_cast<std::size_t>(end - text.data());
  if (error != std::errc() || used == text.size() || text[used] != '\n') return false;
  text.remove_prefix(used + 1);
  return true;
}

// A new file that is written to the end or not at all: whoever reads a bundle clears up.
class NewFile {
 public:
  NewFile(const std::filesystem::path* path, mode_t mode) {
    if (path == nullptr) return;
    path_ = *path;
    fd_ = os_open(path_, O_CREAT | O_EXCL | O_WRONLY, mode);
    if (!fd_) throw_cache_error("create", path_);
  }
  void write(ByteSpan piece) {
    if (fd_ && !os_write(fd_.get(), piece.data(), piece.size())) throw_cache_error("write", path_);
  }

 private:
  std::filesystem::path path_;
  Fd fd_;
};

}  // namespace

namespace bundle_names {

std::string pack(std::uint64_t number) {
  char name[48];
  std::snprintf(name, sizeof name, "records/%06llu.pack", static_cast<unsigned long long>(number));
  return name;
}

std::string object(const Hash128& name) {
  const std::string hex = to_hex(name);
  return "objects/" + hex.substr(0, 2) + "/" + hex.substr(2);
}

std::string data(std::string_view class_name, std::uint64_t id) {
  return "tasks/" + safe_name(class_name) + "/" + std::to_string(id) + "/data";
}

}  // namespace bundle_names

std::string to_text(const BundleHead& head) {
  return "stook bundle 1\nrecords " + std::to_string(head.records) + "\nlast id " +
         std::to_string(head.last_id) + "\nbytes " + std::to_string(head.bytes) + "\n";
}

std::optional<BundleHead> parse_bundle_head(std::string_view text) {
  constexpr std::string_view first = "stook bundle 1\n";
  if (!text.starts_with(first)) return std::nullopt;
  text.remove_prefix(first.size());
  BundleHead head;
  if (!take_number(text, "records ", head.records) ||
      !take_number(text, "last id ", head.last_id) || !take_number(text, "bytes ", head.bytes) ||
      !text.empty() || head.last_id > kMostId) {
    return std::nullopt;
  }
  return head;
}

BundleReader::BundleReader(int fd, std::string name, const BundleLimits& limits)
    : trusted_(limits.trusted), source_(fd, std::move(name), limits.trusted) {
  read_head();
}

std::string BundleReader::read_text() {
  if (source_.entry().directory || source_.entry().size > kMostHead) refuse("it is too large");
  std::string text;
  source_.read([&](ByteSpan piece) {
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  });
  return text;
}

void BundleReader::read_head() {
  source_.advance();
  if (source_.at_end() || source_.entry().name != bundle_names::kHead) {
    refuse("it is no stook bundle: such a file begins with 'stook-bundle'");
  }
  head_text_ = read_text();
  const auto head = parse_bundle_head(head_text_);
  if (!head) refuse("its head is damaged or of another version");
  head_ = *head;
  const std::uint64_t texts = head_text_.size();  // the tail is a file, too
  if (head_.bytes > ~std::uint64_t{0} - texts) refuse("its sizes cannot be");
  source_.expect(head_.bytes + texts);
  source_.advance();
}

bool BundleReader::next(BundleRecord& record) {
  if (object_due_) read_object(nullptr);
  if (directory_due_) read_directory(nullptr);
  if (at_ == pack_.size()) {
    if (source_.at_end()) refuse("it is cut short: its end is missing");
    if (source_.entry().name == bundle_names::kTail) {
      read_tail();
      return false;
    }
    read_pack();
  }
  const ByteSpan rest = ByteSpan(pack_).subspan(at_);
  const std::uint64_t length = rest.size() < kFixedBytes
                                   ? ~std::uint64_t{0}
                                   : frame_length(rest).value_or(~std::uint64_t{0});
  std::optional<Frame> frame;
  if (length <= rest.size()) frame = decode_frame(rest.first(length), pack_header_.salt);
  const std::string where = bundle_names::pack(packs_) + " at " + std::to_string(at_);
  if (!frame) refuse("in " + where + ": the record is damaged");
  if (!frame->known && !STOOK_MUTANT("bundle-kind")) {
    refuse("in " + where +
           ": the record is of a later version's kind, this program knows version " +
           std::to_string(kPackVersion) + ": import it with the program that exported it");
  }
  if (!trusted_ && length > kMostUntrustedFrame) {
    refuse("in " + where + ": the record has more than 4 MiB without its value; if the bundle is " +
           "your own, import it with --trust (ImportOptions::trusted)");
  }
  at_ += length;
  ++records_;
  frame_ = *frame;
  check_record();
  record.frame = frame_;
  record.has_object = object_due_;
  return true;
}

void BundleReader::read_pack() {
  if (source_.entry().directory || source_.entry().name != bundle_names::pack(packs_ + 1)) {
    refuse("the name is not known, comes twice or does not belong here: " +
           bundle_names::pack(packs_ + 1) + " is next");
  }
  const std::uint64_t size = source_.entry().size;
  if (size > kMostGathered + (trusted_ ? kMostUpstream * kUpstreamBytes + 2 * kMostArguments
                                       : kMostUntrustedFrame)) {
    refuse("it has more bytes than records in a bundle may have");
  }
  ++packs_;
  pack_.clear();
  source_.read([&](ByteSpan piece) { pack_.insert(pack_.end(), piece.begin(), piece.end()); });
  const auto header = decode_pack_header(pack_);
  if (!header) refuse("its header is damaged or of another version");
  pack_header_ = *header;
  at_ = pack_header_.length;
  if (at_ == pack_.size()) refuse("it holds no record");
  source_.advance();
}

// What the frame says must be what a record can say, and what it speaks of must follow.
void BundleReader::check_record() {
  const std::string where = "record " + std::to_string(records_) + ": ";
  if (!is_record(frame_.kind)) refuse(where + "it is no record of a result");
  if (frame_.class_name.empty() || frame_.id == 0) refuse(where + "it has no class or no id");
  const bool result = frame_.kind == FrameKind::result;
  if (!result && (frame_.in_object || frame_.stored_bytes != 0 || frame_.raw_bytes != 0)) {
    refuse(where + "it cannot have a value");
  }
  directory_due_ = result && !frame_.directory.is_zero();
  if (directory_due_ && frame_.id > head_.last_id) refuse(where + "its id is above the last");
  if ((frame_.in_object || directory_due_) && at_ != pack_.size()) {
    refuse(where + "what belongs to it cannot follow it");
  }
  value_ = {};
  if (frame_.in_object) {
    object_due_ = !source_.at_end() && source_.entry().name == bundle_names::object(frame_.object);
    return;  // its digest is looked at with the object
  }
  if (!result) return;
  Hasher hasher;
  hasher.update(kResultDomain);
  if (frame_.compressed) {
    Block raw(frame_.raw_bytes);  // at most 1 MiB, says frame_length()
    if (!decompress(frame_.value, raw.memory())) refuse(where + "its value is not what it says");
    hasher.update(raw.bytes().data(), raw.bytes().size());
  } else {
    hasher.update(frame_.value.data(), frame_.value.size());
  }
  const Digest value{hasher.finish()};
  const Digest whole = directory_due_ ? combine_digests(value, frame_.directory) : value;
  if (whole != frame_.digest) refuse(where + "its value is not what its digest says");
}

void BundleReader::take_object(const std::filesystem::path& file) { read_object(&file); }

void BundleReader::read_object(const std::filesystem::path* file) {
  object_due_ = false;
  const TarEntry& entry = source_.entry();
  if (entry.directory || entry.size != frame_.stored_bytes) {
    refuse("it has another size than its record says");
  }
  if (objects_.size() < kMostObjectsKnown && !objects_.insert(frame_.object.low).second) {
    refuse("the name comes twice");
  }
  NewFile to(file, 0600);
  Hasher stored, raw;
  raw.update(kResultDomain);
  Inflater inflater(frame_.compressed, frame_.raw_bytes,
                    [&](ByteSpan piece) { raw.update(piece.data(), piece.size()); });
  source_.read([&](ByteSpan piece) {
    stored.update(piece.data(), piece.size());
    if (!inflater.take(piece)) refuse("the value in it is not what its record says");
    to.write(piece);
  });
  if (stored.finish() != frame_.object) refuse("its content is not what its name says");
  if (!inflater.complete()) refuse("the value in it is not what its record says");
  const Digest value{raw.finish()};
  const Digest whole = directory_due_ ? combine_digests(value, frame_.directory) : value;
  if (inflater.looked() && whole != frame_.digest) refuse("it is not what its digest says");
  source_.advance();
}

void BundleReader::take_directory(const std::filesystem::path& data) { read_directory(&data); }

void BundleReader::read_directory(const std::filesystem::path* data) {
  if (object_due_) read_object(nullptr);
  directory_due_ = false;
  const std::string name = bundle_names::data(frame_.class_name, frame_.id);
  if (source_.at_end() || !source_.entry().directory || source_.entry().name != name) {
    refuse("the directory of record " + std::to_string(records_) + " is missing: " + name);
  }
  if (data != nullptr && mkdir(data->c_str(), 0700) != 0) throw_cache_error("create", *data);
  DirectoryHasher hasher;
  std::string last = name;
  for (source_.advance(); !source_.at_end() && source_.entry().name.starts_with(name + "/");
       source_.advance()) {
    if (source_.entry().name <= last) refuse("the name comes twice, or not in its order");
    last = source_.entry().name;
    read_below(data, std::string_view(last).substr(name.size() + 1), hasher);
  }
  if (hasher.finish() != frame_.directory) {
    refuse("the directory " + name + " has another content than its record says");
  }
}

void BundleReader::read_below(const std::filesystem::path* data, std::string_view name,
                              DirectoryHasher& hasher) {
  const TarEntry& entry = source_.entry();
  std::filesystem::path path;
  if (data != nullptr) path = *data / name;
  if (entry.directory) {
    hasher.directory(name);
    if (data == nullptr || mkdir(path.c_str(), 0700) == 0) return;
    if (errno == ENOENT || errno == ENOTDIR) refuse("the directory it is in is missing");
    throw_cache_error("create", path);
  }
  struct stat status = {};
  if (data != nullptr &&
      (lstat(path.parent_path().c_str(), &status) != 0 || !S_ISDIR(status.st_mode))) {
    refuse("the directory it is in is missing");
  }
  NewFile to(data != nullptr ? &path : nullptr, entry.executable ? 0700 : 0600);
  hasher.file(name, entry.executable);
  source_.read([&](ByteSpan piece) {
    hasher.content(piece.data(), piece.size());
    to.write(piece);
  });
  hasher.end_file();
}

void BundleReader::read_tail() {
  if (read_text() != head_text_) refuse("it is not the end that its beginning announced");
  if (records_ != head_.records) {
    refuse("it holds " + std::to_string(records_) + " records and says " +
           std::to_string(head_.records));
  }
  source_.advance();
  if (!source_.at_end()) refuse("something follows the end of the bundle");
}

}  // namespace stook::detail
