#include "runtime/task_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "src/mutant.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCutNote = "\n[stook: the rest is not kept, the limit is %llu bytes]\n";

void flush_streams() {
  std::cout.flush();
  std::cerr.flush();
  std::clog.flush();
  std::fflush(nullptr);
}

// Cut, with a note at its end; or gone, where it is empty.
bool settle(int fd, const fs::path& file, const fs::path& to, std::uint64_t limit, bool cut) {
  const std::int64_t size = os_file_size(fd);
  if (size <= 0) return false;
  if (cut || (limit > 0 && !STOOK_MUTANT("log-cap") && static_cast<std::uint64_t>(size) > limit)) {
    char note[128];
    const int length =
        std::snprintf(note, sizeof note, kCutNote, static_cast<unsigned long long>(limit));
    const auto at = std::min(static_cast<std::uint64_t>(size), limit);
    if (::ftruncate(fd, static_cast<off_t>(at)) == 0) {
      (void)os_pwrite(fd, note, static_cast<std::size_t>(length), at);
    }
  }
  return move_log(file, to);
}

}  // namespace

bool move_log(const fs::path& file, const fs::path& to) {
  std::error_code error;
  const bool link = fs::is_symlink(to.parent_path(), error);
  if (link && !STOOK_MUTANT("log-links")) return false;
  fs::create_directories(to.parent_path(), error);
  fs::rename(file, to, error);
  return !error;
}

fs::path TaskOutput::out_file(const fs::path& stem) { return stem.native() + ".stdout"; }
fs::path TaskOutput::err_file(const fs::path& stem) { return stem.native() + ".stderr"; }

TaskOutput::TaskOutput(const fs::path& stem)
    : out_{STDOUT_FILENO, out_file(stem), {}, false}, err_{STDERR_FILENO,
                                                           err_file(stem),
                                                           {},
                                                           false} {
  open(out_);
  open(err_);
}

TaskOutput::~TaskOutput() {
  flush_streams();
  const Fd null = os_open("/dev/null", O_WRONLY);
  for (Stream* stream : {&out_, &err_}) {
    if (null) ::dup2(null.get(), stream->target);
    ::unlink(stream->file.c_str());
  }
}

void TaskOutput::open(Stream& stream) {
  // Appending: children of the task write to the same end.
  stream.fd = os_open(stream.file, O_CREAT | O_TRUNC | O_RDWR | O_APPEND);
  if (!stream.fd || ::dup2(stream.fd.get(), stream.target) < 0) {
    throw CacheError("cannot write the output of tasks to " + stream.file.string());
  }
}

void TaskOutput::begin(std::uint64_t limit) {
  const std::lock_guard lock(mutex_);
  limit_ = limit;
  out_.cut = err_.cut = false;
}

bool TaskOutput::finish(Stream& stream, const Directory& directory, const char* name,
                        bool may_exist) {
  // Asked for each task: this is the cheapest way. Writes go to the end wherever it stands.
  if (::lseek(stream.fd.get(), 0, SEEK_END) <= 0) {
    if (may_exist) ::unlink((directory() / name).c_str());
    return false;
  }
  if (!settle(stream.fd.get(), stream.file, directory() / name, limit_, stream.cut)) {
    if (::ftruncate(stream.fd.get(), 0) != 0) {}  // what stays would be in the next task's
    return false;
  }
  open(stream);
  return true;
}

TaskOutput::Written TaskOutput::end(const Directory& directory, bool failed, bool may_exist) {
  flush_streams();
  const std::lock_guard lock(mutex_);
  if (failed) {
    return {finish(out_, directory, "stdout.failed", true),
            finish(err_, directory, "stderr.failed", true)};
  }
  if (may_exist) {
    ::unlink((directory() / "stdout.failed").c_str());
    ::unlink((directory() / "stderr.failed").c_str());
  }
  return {finish(out_, directory, "stdout", may_exist),
          finish(err_, directory, "stderr", may_exist)};
}

void TaskOutput::cut_at_limit(Stream& stream) {
  if (limit_ == 0 || STOOK_MUTANT("log-cap-meanwhile") ||
      os_file_size(stream.fd.get()) <= static_cast<std::int64_t>(limit_))
    return;
  if (::ftruncate(stream.fd.get(), static_cast<off_t>(limit_)) == 0) stream.cut = true;
}

void TaskOutput::watch() {
  const std::lock_guard lock(mutex_);
  cut_at_limit(out_);
  cut_at_limit(err_);
}

TaskOutput::Written collect_output(const fs::path& stem, const fs::path& directory,
                                   std::uint64_t limit) {
  const auto collect = [&](const fs::path& file, const fs::path& to) {
    const Fd fd = os_open(file, O_RDWR);
    const bool any = fd && settle(fd.get(), file, to, limit, false);
    std::error_code ignored;
    if (!any) fs::remove(file, ignored);
    return any;
  };
  return {collect(TaskOutput::out_file(stem), directory / "stdout.failed"),
          collect(TaskOutput::err_file(stem), directory / "stderr.failed")};
}

std::string last_lines(const fs::path& file, int lines) {
  constexpr std::int64_t most = 8192;
  const Fd fd = os_open(file, O_RDONLY);
  if (!fd) return {};
  const std::int64_t size = os_file_size(fd.get());
  const std::int64_t from = std::max<std::int64_t>(0, size - most);
  std::string text(static_cast<std::size_t>(std::max<std::int64_t>(0, size - from)), '\0');
  const ssize_t got =
      os_pread(fd.get(), text.data(), text.size(), static_cast<std::uint64_t>(from));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::size_t at = text.size();
  for (int i = 0; i < lines && at != std::string::npos && at > 0; ++i) {
    at = text.rfind('\n', at - 1);
    if (at == std::string::npos) break;
    if (i + 1 == lines) return text.substr(at + 1);
  }
  return text;
}

std::string quoted_lines(const std::string& text) {
  std::string result = "    | ";
  for (std::size_t i = 0; i < text.size(); ++i) {
    result += text[i];
    if (text[i] == '\n' && i + 1 < text.size()) result += "    | ";
  }
  return result;
}

}  // namespace stook::detail
