#include "runtime/command_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string_view>

#include "runtime/command_attempt.h"
#include "src/depfile.h"
#include "src/hash.h"
#include "src/mutant.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

// A name beside `path` that keeps its extension: programs look at it.
std::string name_beside(const std::string& path, const std::string& mark, std::string_view kind) {
  constexpr std::size_t longest = 255;
  const fs::path whole(path);
  const std::string prefix = ".stook-" + mark + std::string(kind);
  std::string name = prefix + whole.filename().string();
  if (name.size() > longest) {
    name = prefix + to_hex(hash_bytes(path)) + whole.extension().string();
  }
  return (whole.parent_path() / name).string();
}

void rename_or_throw(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    throw Error("cannot rename " + from + " to " + to + ": " + std::strerror(errno));
  }
}

// In the names of an attempt.
std::string attempt_kind(std::uint32_t attempt) {
  if (attempt == 0) return "-";
  char text[12];
  std::snprintf(text, sizeof text, ".%x-", static_cast<unsigned>(attempt));
  return text;
}

// What an earlier attempt left, which must not be taken for what the command makes.
void remove_or_throw(const std::string& path) {
  if (path.empty() || ::unlink(path.c_str()) == 0 || errno == ENOENT) return;
  throw Error("cannot remove " + path + ": " + std::strerror(errno));
}

bool is_regular(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// The kernel stamps files by a clock that moves in ticks, or exactly when it was asked meanwhile. A
// time set to the exact nanosecond of now is one that no later change of the file will have.
// 0: it could not be set.
std::int64_t set_exact_time(const std::string& path) {
  timespec times[2] = {};
  times[0].tv_nsec = UTIME_OMIT;
  ::clock_gettime(CLOCK_REALTIME, &times[1]);
  if (::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0 || times[1].tv_nsec % 1000 == 0) return 0;
  return times[1].tv_sec * std::int64_t{1'000'000'000} + times[1].tv_nsec;
}

// A file whose time was set before its content was looked at: what is changed, or replaced, after
// that is not taken for it.
struct Digested {
  std::int64_t exact_time = 0;
  std::int64_t inode = 0;
  Digest digest;
};

// Is it a file that the command has made, and nobody else has under another name?
bool is_own(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink <= 1;
}

Digested digested(const std::string& path) {
  Digested file;
  if (is_own(path) || STOOK_MUTANT("own-output")) file.exact_time = set_exact_time(path);
  file.inode = stamp_of(path).inode;
  file.digest = digest_of_file(path);
  return file;
}

MadeFile settled_file(const std::string& path, const Digested& file) {
  MadeFile made{file.digest, stamp_of(path), false};
  made.settled = file.exact_time != 0 && made.stamp.modified_ns == file.exact_time &&
                 made.stamp.inode == file.inode;
  return made;
}

// A hard link, else a copy; `to` is replaced.
void link_or_copy(const fs::path& from, const fs::path& to) {
  std::error_code linked;
  fs::remove(to, linked);
  fs::create_hard_link(from, to, linked);
  if (linked) fs::copy_file(from, to, fs::copy_options::overwrite_existing);
}

void make_read_only(const fs::path& path) {
  constexpr auto writers =
      fs::perms::owner_write | fs::perms::group_write | fs::perms::others_write;
  fs::permissions(path, writers, fs::perm_options::remove);
}

}  // namespace

Digest digest_of_file(const std::string& path) {
  const SpecPtr spec(new ExternalSpec(ExternalSpec::What::file, path, nullptr));
  return static_cast<const ExternalSpec&>(*spec).digest();
}

CommandFiles::CommandFiles(const std::vector<std::string>& outputs, std::string depfile,
                           const CommandMark& mark)
    : outputs_(outputs), depfile_(std::move(depfile)), mark_(mark) {
  temporary_ = names_of(mark.attempt);
  temporary_depfile_ = temporary_.back();
  temporary_.pop_back();
  for (const std::string& output : outputs) { aside_.push_back(name_beside(output, "was", "-")); }
}

// Of the outputs, then of the depfile.
std::vector<std::string> CommandFiles::names_of(std::uint32_t attempt) const {
  const std::string kind = attempt_kind(attempt);
  std::vector<std::string> names;
  for (const std::string& output : outputs_) {
    names.push_back(name_beside(output, mark_.command, kind));
  }
  const std::string base = !depfile_.empty()   ? depfile_
                           : !outputs_.empty() ? outputs_[0]
                                               : "depfile";
  names.push_back(name_beside(base, mark_.command, kind) + ".d");
  return names;
}

// What those have made who were cut off; they may have done it after this was last called.
void CommandFiles::remove_of_earlier_attempts() const {
  constexpr std::uint32_t most = 16;
  if (mark_.attempt >= first_random_attempt) return;
  const std::uint32_t first = mark_.attempt > most ? mark_.attempt - most : 0;
  for (std::uint32_t attempt = first; attempt < mark_.attempt; ++attempt) {
    for (const std::string& name : names_of(attempt)) ::unlink(name.c_str());
  }
}

CommandFiles::~CommandFiles() {
  if (published_) return;
  for (std::size_t i = 0; i < use_.out.size(); ++i) {
    if (use_.out[i]) {
      ::unlink(temporary_[i].c_str());
    } else {
      ::unlink(outputs_[i].c_str());
      if (!STOOK_MUTANT("rename-output-back")) { ::rename(aside_[i].c_str(), outputs_[i].c_str()); }
    }
  }
  if (use_.depfile) ::unlink(temporary_depfile_.c_str());
}

const std::string& CommandFiles::made_at(std::size_t output) const {
  return use_.out[output] ? temporary_[output] : outputs_[output];
}

void CommandFiles::prepare(const CommandUse& use) {
  for (const std::string& output : outputs_) {
    const fs::path parent = fs::path(output).parent_path();
    std::error_code error;
    if (!parent.empty()) fs::create_directories(parent, error);
    if (error) throw Error("cannot make the directory of " + output + ": " + error.message());
    if (fs::is_directory(output, error)) {
      throw Error("the output " + output + " is a directory; a command makes files only");
    }
  }
  remove_of_earlier_attempts();
  use_.depfile = use.depfile;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    remove_or_throw(temporary_[i]);
    if (!use.out[i]) move_aside(i);
    use_.out.push_back(use.out[i]);
  }
  remove_or_throw(use_.depfile ? temporary_depfile_ : depfile_);
}

// Where something lies aside already an attempt was cut off: what is in its place is a half.
void CommandFiles::move_aside(std::size_t output) {
  const std::string& path = outputs_[output];
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(aside_[output], ignored)) && !STOOK_MUTANT("half-output")) {
    remove_or_throw(path);
  } else if (::rename(path.c_str(), aside_[output].c_str()) != 0 && errno != ENOENT) {
    throw Error("cannot move " + path + " aside: " + std::strerror(errno));
  }
}

std::vector<std::string> CommandFiles::take_depfile() {
  const std::string& path = use_.depfile ? temporary_depfile_ : depfile_;
  if (path.empty()) return {};
  const std::string shown = use_.depfile ? "{depfile}" : path;
  std::string text;
  {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
      throw Error("the command did not make its depfile " + shown +
                  "; gcc and clang make it with -MD -MF {depfile}");
    }
    std::error_code ignored;
    if (!STOOK_MUTANT("depfile-cap") && fs::file_size(path, ignored) > most_depfile_bytes) {
      throw Error("the depfile " + shown + " is larger than 64 MiB");
    }
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  ::unlink(path.c_str());
  try {
    return parse_depfile(text);
  } catch (const Error& error) {
    throw Error("the depfile " + shown + " is not in Makefile syntax: " + error.what());
  }
}

std::vector<MadeFile> CommandFiles::publish(const fs::path& keep) {
  std::vector<Digested> files;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (is_regular(made_at(i))) {
      files.push_back(digested(made_at(i)));
      continue;
    }
    throw Error("the command succeeded and did not make its output " + outputs_[i] +
                (use_.out[i] ? " (by the name that {out} stood for)" : ""));
  }
  std::vector<MadeFile> made;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (!keep.empty()) {
      kept_all_ = kept_all_ && is_own(made_at(i));
      if (kept_all_) {
        make_read_only(made_at(i));
        link_or_copy(made_at(i), keep / std::to_string(i));
      }
    }
    if (use_.out[i] && !STOOK_MUTANT("rename-output")) {
      rename_or_throw(temporary_[i], outputs_[i]);
    }
    made.push_back(settled_file(outputs_[i], files[i]));
  }
  published_ = true;
  for (const std::string& earlier : aside_) ::unlink(earlier.c_str());
  return made;
}

MadeFile restore_kept(const fs::path& kept, const std::string& output, const CommandMark& mark,
                      const Digest& digest) {
  const fs::path parent = fs::path(output).parent_path();
  if (!parent.empty()) fs::create_directories(parent);
  const std::string temporary = name_beside(output, mark.command, attempt_kind(mark.attempt));
  link_or_copy(kept, temporary);
  const Digested file{set_exact_time(temporary), stamp_of(temporary).inode, digest};
  // Where the two are one file already, rename() would leave the temporary name.
  fs::rename(temporary, output);
  ::unlink(temporary.c_str());
  return settled_file(output, file);
}

}  // namespace stook::detail
