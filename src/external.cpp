#include "src/external.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>
#include <memory>
#include <vector>

#include "src/hash.h"
#include "src/mutant.h"
#include "src/os.h"
#include "src/shown.h"

#include <stook/canonical.hpp>
#include <stook/codec.hpp>
#include <stook/errors.hpp>
#include <stook/external.hpp>
#include <stook/json.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t second_ns = 1'000'000'000;
// A file changed less than this ago may change again without its times showing it.
constexpr std::int64_t racy_window_ns = 2 * second_ns;

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * second_ns + time.tv_nsec; }

// Appends what stat says; false where the file is too young for its times to be trusted.
bool append_stamp(std::string& out, const FileStamp& stamp) {
  if (!stamp.exists()) return false;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  if (stamp.latest_change_ns() > nanoseconds(now) - racy_window_ns) return false;
  out += stamp.fingerprint();
  return true;
}

// `info`: of lstat. Another file system may begin at it, or be where a link leads to.
FileStamp stamp_of_entry(const struct stat& info, const fs::path& entry) {
  return stamp_from(info, S_ISLNK(info.st_mode) ? entry.parent_path() : entry);
}

// 0, or the error that kept it from being read.
int hash_file(Hasher& hasher, const fs::path& path) {
  const Fd file = os_open_input(path);
  if (!file) return errno;
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return errno;
  if (!S_ISREG(info.st_mode)) return EISDIR;
  constexpr std::size_t chunk = 1 << 18;
  const auto buffer = std::make_unique_for_overwrite<char[]>(chunk);
  std::uint64_t total = 0;
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer.get(), chunk);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    if (count == 0) break;
    hasher.update(buffer.get(), static_cast<std::size_t>(count));
    total += static_cast<std::uint64_t>(count);
  }
  hasher.update(&total, sizeof total);
  return 0;
}

void hash_text(Hasher& hasher, std::string_view text) {
  const std::uint64_t size = text.size();
  hasher.update(&size, sizeof size);
  hasher.update(text);
}

bool hash_content(DirectoryHasher& hasher, const Fd& file) {
  constexpr std::size_t chunk = 1 << 18;
  const auto buffer = std::make_unique_for_overwrite<char[]>(chunk);
  for (std::uint64_t at = 0;;) {
    const ssize_t count = os_pread(file.get(), buffer.get(), chunk, at);
    if (count < 0) return false;
    if (count == 0) break;
    hasher.content(buffer.get(), static_cast<std::size_t>(count));
    at += static_cast<std::uint64_t>(count);
  }
  hasher.end_file();
  return true;
}

// It is no such thing any more.
int gone_or(int error) { return error == ENOTDIR || error == ELOOP ? ENOENT : error; }

bool is_of_kind(const Fd& file, mode_t kind) {
  struct stat info {};
  return ::fstat(file.get(), &info) == 0 && (info.st_mode & S_IFMT) == kind;
}

// 0, or the error that kept it from being read. ENOENT, and nothing hashed: it has gone, or is
// another thing by now.
int hash_entry(DirectoryHasher& hasher, const fs::path& entry, std::string_view name) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(entry, error);
  if (fs::is_symlink(status)) {
    const fs::path target = fs::read_symlink(entry, error);
    if (error) return error.value() == EINVAL ? ENOENT : error.value();
    hasher.link(name, target.native());
  } else if (fs::is_directory(status)) {
    hasher.directory(name);
  } else if (fs::is_regular_file(status)) {
    const Fd file = os_open(entry, O_RDONLY);
    if (!file) return gone_or(errno);
    if (!is_of_kind(file, S_IFREG)) return ENOENT;
    hasher.file(name, (status.permissions() & fs::perms::owner_exec) != fs::perms::none);
    return hash_content(hasher, file) ? 0 : errno;
  } else if (fs::exists(status)) {
    hasher.special(name);
  } else {
    return error ? gone_or(error.value()) : ENOENT;
  }
  return 0;
}

// Everything below it, by the bytes of their names. `without_gone`: directories that are gone when
// their turn comes are empty.
std::vector<fs::path> listed_below(const fs::path& directory, bool without_gone) {
  std::vector<fs::path> entries;
  std::vector<fs::path> unlisted{directory};
  while (!unlisted.empty()) {
    const fs::path at = std::move(unlisted.back());
    unlisted.pop_back();
    std::error_code error;
    if (at != directory && !fs::is_directory(fs::symlink_status(at, error)) && !error) {
      error = std::make_error_code(std::errc::not_a_directory);  // a link would be followed
    }
    fs::directory_iterator entry;
    if (!error) entry = fs::directory_iterator(at, error);
    if (error && without_gone && at != directory && gone_or(error.value()) == ENOENT) continue;
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      std::error_code ignored;
      entries.push_back(entry->path());
      if (!entry->is_symlink(ignored) && entry->is_directory(ignored)) {
        unlisted.push_back(entry->path());
      }
    }
    if (error) throw fs::filesystem_error("cannot list a directory", at, error);
  }
  std::sort(entries.begin(), entries.end(),
            [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  return entries;
}

// `without_gone`: what is gone by now is left out.
Digest digest_entries(const fs::path& directory, bool without_gone) {
  DirectoryHasher hasher;
  try {
    for (const fs::path& entry : listed_below(directory, without_gone)) {
      const int error = hash_entry(hasher, entry, entry.lexically_relative(directory).native());
      if (error == 0 || (error == ENOENT && without_gone)) continue;
      throw UnreadableDirectory("cannot read " + entry.string() + ": " + std::strerror(error),
                                error);
    }
  } catch (const fs::filesystem_error& error) {
    throw UnreadableDirectory(
        "cannot read the directory " + directory.string() + ": " + error.what(),
        gone_or(error.code().value()));
  }
  return hasher.finish();
}

Digest absent_digest() { return Digest{hash_bytes("stook external: not there")}; }

// It is the file that is not to be read, or no file at all, whenever one asks.
bool is_of_the_file(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
    case EINVAL:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO:
    case ENODEV:
    case ENOKEY:
    case EOPNOTSUPP: return true;
    default: return false;
  }
}

// What nobody could read just now is neither gone nor another one: it has no digest.
Digest digest_without_content(const std::string& name, int error) {
  if (error == ENOENT || error == ENOTDIR) return absent_digest();
  if (is_of_the_file(error) || STOOK_MUTANT("input-not-gone")) return unreadable_digest();
  throw UnreadableInput("cannot read the input " + name + ": " + std::strerror(error), error);
}

// The next try may tell: a disk fails now and then, a server has forgotten the file, another
// thread gives a descriptor back.
bool is_worth_another_try(int error) {
  return error != 0 && error != ENOENT && error != ENOTDIR && !is_of_the_file(error);
}

// `read` gives 0 or the error.
template <class Read> int ask_twice(const Read& read) {
  const int error = read();
  return is_worth_another_try(error) ? read() : error;
}

Digest digest_of_file_content(const std::string& name) {
  Digest digest;
  const int error = ask_twice([&] {
    Hasher hasher;
    hash_text(hasher, "stook external 1");
    const int failed = hash_file(hasher, name);
    digest = Digest{hasher.finish()};
    return failed;
  });
  return error == 0 ? digest : digest_without_content(name, error);
}

Digest digest_of_directory(const std::string& name) {
  struct stat info {};
  const int error = ask_twice([&] { return ::stat(name.c_str(), &info) == 0 ? 0 : errno; });
  if (error != 0) return digest_without_content(name, error);
  if (!S_ISDIR(info.st_mode)) return absent_digest();
  return digest_directory(name);
}

std::string canonical_arguments(const std::string& name, const std::string* otherwise) {
  CanonicalWriter writer;
  writer.begin_array(otherwise != nullptr ? 2 : 1);
  Argument<std::string>::encode(writer, name);
  if (otherwise != nullptr) Argument<std::string>::encode(writer, *otherwise);
  writer.end_array();
  return std::string(writer.bytes());
}

constexpr std::string_view class_names[] = {"stook::File", "stook::Directory",
                                            "stook::EnvironmentVariable"};

Key external_key(ExternalSpec::What what, std::string_view arguments) {
  Hasher hasher;
  hash_text(hasher, "stook key 1 external");
  hash_text(hasher, class_names[static_cast<int>(what)]);
  hash_text(hasher, arguments);
  return Key{hasher.finish()};
}

}  // namespace

DirectoryHasher::DirectoryHasher() { hash_text(hasher_, "stook directory 1"); }

void DirectoryHasher::directory(std::string_view name) {
  hash_text(hasher_, name);
  hash_text(hasher_, "directory");
}

void DirectoryHasher::file(std::string_view name, bool executable) {
  hash_text(hasher_, name);
  hash_text(hasher_, executable ? "program" : "file");
  size_ = 0;
}

void DirectoryHasher::content(const void* data, std::size_t size) {
  hasher_.update(data, size);
  size_ += size;
}

void DirectoryHasher::end_file() { hasher_.update(&size_, sizeof size_); }

void DirectoryHasher::link(std::string_view name, std::string_view target) {
  hash_text(hasher_, name);
  hash_text(hasher_, "link");
  hash_text(hasher_, target);
}

void DirectoryHasher::special(std::string_view name) {
  hash_text(hasher_, name);
  hash_text(hasher_, "special");
}

std::vector<fs::path> entries_below(const fs::path& directory) {
  return listed_below(directory, false);
}

Digest digest_directory(const fs::path& directory) {
  // An entry has gone since it was listed: an editor's, for a moment.
  constexpr int most_gone = 5;
  for (int gone = 0, failed = 0;;) {
    try {
      return digest_entries(directory, gone == most_gone - 1);
    } catch (const UnreadableDirectory& failure) {
      const bool again = failure.error == ENOENT
                             ? ++gone < most_gone
                             : is_worth_another_try(failure.error) && ++failed < 2;
      if (!again) throw;
    }
  }
}

ExternalSpec::ExternalSpec(What kind_of, std::string input_name, const std::string* otherwise)
    : Spec(SpecKind::external, external_key(kind_of, canonical_arguments(input_name, otherwise)),
           kind_of == What::variable ? value_type_of<std::string>() : value_type_of<fs::path>()),
      what(kind_of), name(std::move(input_name)), arguments(canonical_arguments(name, otherwise)),
      has_otherwise_(otherwise != nullptr), otherwise_(otherwise != nullptr ? *otherwise : "") {}

std::string_view ExternalSpec::class_name() const { return class_names[static_cast<int>(what)]; }

std::string ExternalSpec::text() const {
  constexpr std::string_view words[] = {"file ", "directory ", "environment variable "};
  return std::string(words[static_cast<int>(what)]) + name;
}

bool ExternalSpec::exists() const {
  if (what == What::variable) return has_otherwise_ || std::getenv(name.c_str()) != nullptr;
  std::error_code ignored;
  const fs::file_status status = fs::status(name, ignored);
  return what == What::file ? fs::is_regular_file(status) : fs::is_directory(status);
}

bool ExternalSpec::may_be_read() const {
  if (what != What::directory) return true;
  try {
    const std::vector<fs::path> entries = entries_below(name);
    return std::all_of(entries.begin(), entries.end(), [](const fs::path& entry) {
      return !fs::is_regular_file(fs::symlink_status(entry)) ||
             ::faccessat(AT_FDCWD, entry.c_str(), R_OK, AT_EACCESS) == 0 || errno != EACCES;
    });
  } catch (const fs::filesystem_error&) { return false; }
}

std::string ExternalSpec::fingerprint() const {
  std::string print;
  if (what == What::variable) return to_hex(digest());
  if (!append_stamp(print, stamp_of(name))) return {};
  if (what == What::file) return print;
  try {
    Hasher hasher;
    for (const fs::path& entry : entries_below(name)) {
      std::string one;
      struct stat info {};  // of a link itself, which is all that the digest has of it
      if (::lstat(entry.c_str(), &info) != 0) return {};
      if (!append_stamp(one, stamp_of_entry(info, entry))) return {};
      hash_text(hasher, entry.native());
      hash_text(hasher, one);
    }
    return print + to_hex(hasher.finish());
  } catch (const fs::filesystem_error&) { return {}; }
}

std::int64_t ExternalSpec::latest_change_ns() const {
  constexpr std::int64_t unknown = std::numeric_limits<std::int64_t>::max();
  const FileStamp top = stamp_of(name);
  std::int64_t latest = top.exists() ? top.latest_change_ns() : unknown;
  try {
    for (const fs::path& entry : entries_below(name)) {
      struct stat info {};
      if (::lstat(entry.c_str(), &info) != 0) return unknown;
      latest = std::max(latest, stamp_of_entry(info, entry).latest_change_ns());
    }
  } catch (const fs::filesystem_error&) { return unknown; }
  return latest;
}

bool ExternalSpec::looks_like(std::string_view recorded, FileStamp* stamp) const {
  if (what != What::file) return !recorded.empty() && fingerprint() == recorded;
  const FileStamp now = stamp_of(name);
  if (stamp != nullptr) *stamp = now;
  return !recorded.empty() && now.fingerprint() == recorded;
}

Digest ExternalSpec::digest() const {
  if (what == What::directory) return digest_of_directory(name);
  if (what == What::file) return digest_of_file_content(name);
  const char* set = std::getenv(name.c_str());
  if (set == nullptr && !has_otherwise_) return absent_digest();
  Hasher hasher;
  hash_text(hasher, "stook external 1");
  hash_text(hasher, set != nullptr ? std::string_view(set) : std::string_view(otherwise_));
  return Digest{hasher.finish()};
}

Value ExternalSpec::value() const {
  if (what != What::variable) return std::make_shared<const fs::path>(name);
  const char* set = std::getenv(name.c_str());
  return std::make_shared<const std::string>(set != nullptr ? set : otherwise_);
}

std::string normal_path(const fs::path& path) {
  if (std::find(path.begin(), path.end(), "..") == path.end() || STOOK_MUTANT("normal-path")) {
    return path.lexically_normal().string();
  }
  fs::path normal;
  for (const fs::path& part : path) {
    if (part != "." && !part.empty()) normal /= part;
  }
  return normal.string();
}

Digest unreadable_digest() { return Digest{hash_bytes("stook external: cannot be read")}; }

Digest unknown_digest() { return Digest{hash_bytes("stook external: cannot be read just now")}; }

SeenInput see(const ExternalSpec& external) {
  SeenInput seen;
  if (external.what == ExternalSpec::What::file) seen.stamp = stamp_of(external.name);
  seen.digest = external.digest();
  return seen;
}

const SeenInput* find_seen(const SeenInputs* seen, const Key& external) {
  if (seen == nullptr) return nullptr;
  const auto at = seen->find(external);
  return at == seen->end() ? nullptr : &at->second;
}

SpecPtr external_from(std::string_view class_name, std::string_view arguments) {
  for (int i = 0; i < 3; ++i) {
    if (class_names[i] != class_name) continue;
    const Json json = canonical_to_json(arguments);
    if (!json.is_array() || json.empty() || json.size() > 2) return {};
    const auto name = json.at(0).get<std::string>();
    const std::string otherwise = json.size() == 2 ? json.at(1).get<std::string>() : "";
    return SpecPtr(new ExternalSpec(static_cast<ExternalSpec::What>(i), name,
                                    json.size() == 2 ? &otherwise : nullptr));
  }
  return {};
}

}  // namespace stook::detail

namespace stook {

using detail::ExternalSpec;
using detail::SpecPtr;

namespace {
std::string normal(const std::filesystem::path& path, const char* type) {
  if (path.empty()) throw InvalidArgument(std::string("stook::") + type + " needs a path");
  detail::refuse_zero_byte(path.native(), std::string("the path of a stook::") + type);
  return detail::normal_path(path);
}
}  // namespace

File::File(const std::filesystem::path& path)
    : Future(SpecPtr(new ExternalSpec(ExternalSpec::What::file, normal(path, "File"), nullptr))) {}

Directory::Directory(const std::filesystem::path& path)
    : Future(SpecPtr(
          new ExternalSpec(ExternalSpec::What::directory, normal(path, "Directory"), nullptr))) {}

EnvironmentVariable::EnvironmentVariable(const std::string& name,
                                         const std::optional<std::string>& otherwise)
    : Future(SpecPtr(new ExternalSpec(ExternalSpec::What::variable, name,
                                      otherwise ? &*otherwise : nullptr))) {
  detail::refuse_zero_byte(name, "the name of a stook::EnvironmentVariable");
}

}  // namespace stook
