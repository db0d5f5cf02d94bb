#include "runtime/checkpoint.h"

#include <fcntl.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "cache/fault.h"
#include "runtime/places.h"
#include "src/external.h"
#include "src/mutant.h"
#include "src/os.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

// When it was changed, its digest, its name. Of a file whose name cannot stand in a line nothing is
// known: the next attempt begins anew.
std::string line_of(const fs::path& file, const Digest& digest) {
  std::string name = file.string();
  const bool good = name.find('\n') == std::string::npos;
  std::replace(name.begin(), name.end(), '\n', ' ');
  const std::int64_t changed = good ? stamp_of(file).changed_ns : -1;
  return std::to_string(changed) + ' ' + to_hex(digest) + ' ' + name;
}

// A file that was changed, and changed back, was another one for a while.
bool is_as_it_was(const std::string& line) {
  std::istringstream words(line);
  std::int64_t changed = 0;
  std::string digest, name;
  if (!(words >> changed >> digest).ignore() || !std::getline(words, name)) return false;
  if (changed != stamp_of(name).changed_ns) return false;
  return to_hex(ExternalSpec(ExternalSpec::What::file, name, nullptr).digest()) == digest;
}

}  // namespace

bool Checkpoint::is_of(const std::string& made_of, std::set<std::string>& files) const {
  const Fd file = os_open(owner_, O_RDONLY);
  if (!file && is_no_file(errno)) return false;
  const std::int64_t size = file ? os_file_size(file.get()) : -1;
  std::string text(static_cast<std::size_t>(std::max<std::int64_t>(size, 0)), ' ');
  if (size < 0 || os_pread(file.get(), text.data(), text.size(), 0) != size) {
    throw_cache_error("read", owner_);
  }
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || line != made_of) return false;
  while (std::getline(lines, line)) {
    if (!STOOK_MUTANT("checkpoint-files") && !is_as_it_was(line)) return false;
    files.insert(line);
  }
  return true;
}

// Durable, or the work would outlive what says what it was made of.
void Checkpoint::write(const std::string& text, int flags) const {
  const Fd file = os_open(owner_, O_CREAT | O_WRONLY | flags);
  if (!file || !os_write(file.get(), text.data(), text.size()) || !os_sync_data(file.get())) {
    throw_cache_error("write", owner_);
  }
}

// What lay there is gone before, and whose it is comes first: whatever survives a death, or a power
// failure, is no other one's.
const fs::path& Checkpoint::open(const fs::path& root, const fs::path& path,
                                 const Digest& made_of) {
  const std::lock_guard lock(mutex_);
  if (!directory_.empty()) return directory_;
  const fs::path directory = path / "checkpoint";
  owner_ = path / "checkpoint.of";
  try {
    refuse_links(root, {directory, owner_});
    const std::string name = to_hex(made_of);
    std::set<std::string> written;
    if (!is_of(name, written)) {
      written.clear();
      const bool there = is_there(directory) && !STOOK_MUTANT("checkpoint-owner");
      if (there && (!discard(root, directory) || !os_sync_directory(path))) {
        throw_cache_error("discard", directory);
      }
      fs::create_directories(path);
      write(name + '\n', O_TRUNC);
    }
    std::string lines;
    for (const std::string& line : files_) {
      if (!written.contains(line)) lines += line + '\n';
    }
    if (!lines.empty()) write(lines, O_APPEND);
    files_.merge(written);
    fs::create_directory(directory);
  } catch (const fs::filesystem_error& error) {
    throw CacheError(std::string("cannot make the task's checkpoint directory: ") + error.what());
  }
  return directory_ = directory;
}

void Checkpoint::add(const fs::path& file, const Digest& digest) {
  const std::lock_guard lock(mutex_);
  const std::string line = line_of(file, digest);
  if (files_.contains(line)) return;
  if (!directory_.empty()) write(line + '\n', O_APPEND);
  files_.insert(line);
}

}  // namespace stook::detail
