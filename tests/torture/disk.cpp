#include "tests/torture/disk.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

std::string parent_of(const std::string& name) { return fs::path(name).parent_path().string(); }

bool is_of_names(const Change& change) {
  switch (change.kind) {
    case Change::Kind::create:
    case Change::Kind::directory:
    case Change::Kind::rename:
    case Change::Kind::link:
    case Change::Kind::remove: return true;
    default: return false;
  }
}

std::string read_file(const fs::path& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace

const char* name_of(Loss loss) {
  switch (loss) {
    case Loss::dropped: return "unsynced data dropped";
    case Loss::zeroed: return "unsynced data zeroed";
    case Loss::unnamed: return "unsynced names dropped";
    case Loss::strict: return "all that is unsynced dropped";
    default: return "some of what is unsynced dropped";
  }
}

Disk::Disk(fs::path before, const Recording& recording)
    : before_(std::move(before)), recording_(recording) {
  for (const auto& entry : fs::recursive_directory_iterator(before_)) {
    if (entry.is_directory()) now_[fs::relative(entry.path(), before_)] = kDirectory;
  }
  for (std::size_t i = 0; i < recording.known.size(); ++i) {
    now_[recording.known[i]] = i;
    files_[i].known = recording.known[i];
  }
  synced_ = now_;
}

Disk::File& Disk::touched(std::size_t number) {
  File& file = files_[number];
  if (!file.known.empty()) {
    file.synced = file.now = read_file(before_ / file.known);
    file.known.clear();
  }
  return file;
}

void Disk::apply_data(std::string& content, const Change& change, std::size_t size) {
  if (change.kind == Change::Kind::truncate) return content.resize(change.offset);
  if (content.size() < change.offset + size) content.resize(change.offset + size);
  content.replace(change.offset, size, change.data, 0, size);
}

void Disk::apply_name(Names& names, const Change& change) const {
  switch (change.kind) {
    case Change::Kind::create: names[change.name] = change.file; return;
    case Change::Kind::directory: names[change.name] = kDirectory; return;
    case Change::Kind::remove: names.erase(change.name); return;
    case Change::Kind::link:
      if (names.contains(change.name)) names[change.target] = names[change.name];
      return;
    default: break;
  }
  // What is below a directory moves with it.
  Names moved;
  for (auto at = names.begin(); at != names.end();) {
    const bool is_it = at->first == change.name || at->first.starts_with(change.name + "/");
    if (is_it) moved[change.target + at->first.substr(change.name.size())] = at->second;
    at = is_it ? names.erase(at) : std::next(at);
  }
  for (const auto& [name, file] : moved) names[name] = file;
}

void Disk::sync_names(const std::string& directory, std::size_t covers) {
  std::vector<std::size_t> left;
  for (const std::size_t at : unsynced_) {
    const Change& change = recording_.changes[at];
    // A name that is moved or linked is where it came to.
    const bool two = change.kind == Change::Kind::rename || change.kind == Change::Kind::link;
    const bool here = parent_of(two ? change.target : change.name) == directory;
    if (here && at < covers) {
      apply_name(synced_, change);
    } else {
      left.push_back(at);
    }
  }
  unsynced_ = left;
}

void Disk::apply(std::size_t at) {
  const Change& change = recording_.changes[at];
  if (is_of_names(change)) {
    if (change.kind == Change::Kind::create) files_[change.file] = File();
    apply_name(now_, change);
    unsynced_.push_back(at);
  } else if (change.kind == Change::Kind::sync_names) {
    sync_names(change.name, change.covers);
  } else if (change.kind == Change::Kind::sync) {
    File& file = touched(change.file);
    std::vector<std::size_t> left;
    for (const std::size_t one : file.unsynced) {
      const Change& data = recording_.changes[one];
      one < change.covers ? apply_data(file.synced, data, data.data.size()) : left.push_back(one);
    }
    file.unsynced = left;
  } else {
    File& file = touched(change.file);
    apply_data(file.now, change, change.data.size());
    file.unsynced.push_back(at);
  }
}

std::string Disk::content(const File& file, Loss loss, std::mt19937_64& random) const {
  if (loss == Loss::unnamed) return file.now;
  std::string content = file.synced;
  if (loss == Loss::zeroed) {
    content.resize(file.now.size());
  } else if (loss == Loss::random) {
    constexpr std::size_t kSector = 512;
    for (const std::size_t at : file.unsynced) {
      const Change& change = recording_.changes[at];
      const std::uint64_t fate = random() % 4;
      if (fate == 0) continue;
      const std::size_t sectors = change.data.size() / kSector;
      const bool torn = fate == 1 && sectors > 0;
      apply_data(content, change, torn ? random() % sectors * kSector : change.data.size());
    }
  }
  return content;
}

void Disk::fail(const fs::path& directory, Loss loss, std::mt19937_64& random) const {
  Names names = loss == Loss::dropped || loss == Loss::zeroed ? now_ : synced_;
  if (loss == Loss::random) {  // a journal keeps the order of names
    const std::size_t kept = unsynced_.empty() ? 0 : random() % (unsynced_.size() + 1);
    for (std::size_t i = 0; i < kept; ++i) apply_name(names, recording_.changes[unsynced_[i]]);
  }
  fs::remove_all(directory);
  fs::create_directory(directory);
  for (const auto& [name, number] : names) {  // directories come before what is in them
    const fs::path path = directory / name;
    if (!fs::exists(path.parent_path())) continue;
    if (number == kDirectory) {
      fs::create_directory(path);
      continue;
    }
    const File& file = files_.at(number);
    if (!file.known.empty()) {
      fs::copy_file(before_ / file.known, path);
    } else {
      std::ofstream(path, std::ios::binary) << content(file, loss, random);
    }
  }
}

}  // namespace stook::torture
