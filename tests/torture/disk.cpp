#include "tests/torture/disk.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

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
    case Loss::newest: return "unsynced data of all but the newest file dropped";
    case Loss::newest_zeroed: return "unsynced data of all but the newest file zeroed";
    default: return "some of what is unsynced dropped";
  }
}

Disk::Disk(fs::path before, const Recording& recording)
    : before_(std::move(before)), recording_(recording) {
  const auto enter = [&](const std::string& path, Node node) {
    now_[place_of(path).value()] = node;
  };
  for (const auto& entry : fs::recursive_directory_iterator(before_)) {  // from the top down
    if (entry.is_directory()) {
      enter(fs::relative(entry.path(), before_), {true, next_directory_++});
    }
  }
  for (std::size_t i = 0; i < recording.known.size(); ++i) {
    enter(recording.known[i], {false, i});
    files_[i].known = recording.known[i];
  }
  synced_ = now_;
}

std::optional<Disk::Node> Disk::find(const std::string& path) const {
  if (path.empty()) return Node{true, kRoot};
  const auto place = place_of(path);
  const auto at = place ? now_.find(*place) : now_.end();
  if (at == now_.end()) return {};
  return at->second;
}

std::optional<Disk::Place> Disk::place_of(const std::string& path) const {
  const auto parent = find(fs::path(path).parent_path().string());
  if (!parent || !parent->is_directory) return {};
  return Place{parent->number, fs::path(path).filename().string()};
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

Disk::Move Disk::move_of(std::size_t number) {
  const Change& change = recording_.changes[number];
  Move move;
  move.change = number;
  switch (change.kind) {
    case Change::Kind::create: move.node = {false, change.file}; break;
    case Change::Kind::directory: move.node = {true, next_directory_++}; break;
    default: move.node = find(change.name).value_or(Node{});
  }
  const bool two = change.kind == Change::Kind::rename || change.kind == Change::Kind::link;
  const bool leaves = change.kind == Change::Kind::rename || change.kind == Change::Kind::remove;
  if (leaves) move.from = place_of(change.name);
  if (change.kind != Change::Kind::remove) move.to = place_of(two ? change.target : change.name);
  return move;
}

void Disk::apply_move(Names& names, const Move& move) {
  if (move.from) names.erase(*move.from);
  if (move.to) names[*move.to] = move.node;
}

// A name that is moved or linked is where it came to; where only the directory that it has left was
// synced it is nowhere.
void Disk::sync_names(const std::string& path, std::size_t covers) {
  const auto directory = find(path);
  if (!directory) return;
  std::vector<Move> left;
  for (Move& move : unsynced_) {
    const auto is_here = [&](const std::optional<Place>& place) {
      return place && place->first == directory->number;
    };
    if (move.change < covers && is_here(move.to ? move.to : move.from)) {
      apply_move(synced_, move);
      continue;
    }
    if (move.change < covers && is_here(move.from)) {
      synced_.erase(*move.from);
      move.from.reset();
    }
    left.push_back(move);
  }
  unsynced_ = left;
}

void Disk::sync_data(File& file, std::size_t covers) const {
  std::vector<std::size_t> left;
  for (const std::size_t one : file.unsynced) {
    const Change& data = recording_.changes[one];
    one < covers ? apply_data(file.synced, data, data.data.size()) : left.push_back(one);
  }
  file.unsynced = left;
}

void Disk::sync_all(std::size_t covers) {
  for (auto& [number, file] : files_) sync_data(file, covers);
  std::vector<Move> left;
  for (const Move& move : unsynced_) {
    move.change < covers ? apply_move(synced_, move) : left.push_back(move);
  }
  unsynced_ = left;
}

void Disk::apply(std::size_t at) {
  const Change& change = recording_.changes[at];
  if (is_of_names(change)) {
    if (change.kind == Change::Kind::create) files_[change.file] = File();
    unsynced_.push_back(move_of(at));
    apply_move(now_, unsynced_.back());
  } else if (change.kind == Change::Kind::sync_names) {
    sync_names(change.name, change.covers);
  } else if (change.kind == Change::Kind::sync_all) {
    sync_all(change.covers);
  } else if (change.kind == Change::Kind::sync) {
    sync_data(touched(change.file), change.covers);
  } else {
    File& file = touched(change.file);
    newest_ = change.file;
    apply_data(file.now, change, change.data.size());
    file.unsynced.push_back(at);
  }
}

std::string Disk::content(const File& file, Loss loss, std::mt19937_64& random) const {
  if (loss == Loss::unnamed) return file.now;
  std::string content = file.synced;
  if (loss == Loss::zeroed || loss == Loss::newest_zeroed) {
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
  const bool named = loss == Loss::dropped || loss == Loss::zeroed || loss == Loss::newest ||
                     loss == Loss::newest_zeroed;
  Names names = named ? now_ : synced_;
  if (loss == Loss::random && random() % 2 == 0) {  // a journal keeps the order of names
    const std::size_t kept = unsynced_.empty() ? 0 : random() % (unsynced_.size() + 1);
    for (std::size_t i = 0; i < kept; ++i) apply_move(names, unsynced_[i]);
  } else if (loss == Loss::random) {  // or that of each directory
    std::map<std::size_t, std::size_t> moves, kept;
    const auto within = [](const Move& move) {
      return move.from && move.to && move.from->first == move.to->first;
    };
    for (const Move& move : unsynced_) {
      if (move.from) ++moves[move.from->first];
      if (move.to && !within(move)) ++moves[move.to->first];
    }
    for (const auto& [number, count] : moves) kept[number] = random() % (count + 1);
    const auto stays = [&](const Place& place) {
      std::size_t& left = kept[place.first];
      return left > 0 && left-- > 0;
    };
    for (const Move& move : unsynced_) {
      const bool leaves = move.from && stays(*move.from);
      const bool comes = move.to && (within(move) ? leaves : stays(*move.to));
      if (leaves) names.erase(*move.from);
      if (comes) names[*move.to] = move.node;
    }
  }
  fs::remove_all(directory);
  write(directory, names, kRoot, loss, random);
}

// What no name leads to is not there.
void Disk::write(const fs::path& directory, const Names& names, std::size_t of, Loss loss,
                 std::mt19937_64& random) const {
  fs::create_directory(directory);
  for (auto at = names.lower_bound({of, ""}); at != names.end() && at->first.first == of; ++at) {
    const fs::path path = directory / at->first.second;
    const Node& node = at->second;
    if (node.is_directory) {
      write(path, names, node.number, loss, random);
      continue;
    }
    const File& file = files_.at(node.number);
    if (!file.known.empty()) {
      fs::copy_file(before_ / file.known, path);
    } else {
      const bool newest =
          (loss == Loss::newest || loss == Loss::newest_zeroed) && node.number == newest_;
      std::ofstream(path, std::ios::binary) << content(file, newest ? Loss::unnamed : loss, random);
    }
  }
}

}  // namespace stook::torture
