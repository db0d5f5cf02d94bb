#include "tests/torture/recording.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <map>

#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

class Recorder {
 public:
  Recorder(const fs::path& directory, Steps& steps) : root_(directory.string()), steps_(steps) {
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (!entry.is_regular_file()) continue;
      const std::string name = fs::relative(entry.path(), directory);
      names_[name] = recording.known.size();
      recording.known.push_back(name);
    }
    next_file_ = recording.known.size();
  }

  void see(const Call& call) {
    if (call.entering) {
      begun_[call.thread] = {recording.changes.size(), steps_.count(), path_of(call),
                             target_of(call), data_of(call)};
    } else if (call.result >= 0) {
      note(call, begun_[call.thread]);
    }
  }

  Recording recording;

 private:
  struct Begun {
    std::size_t changes = 0;
    std::size_t steps = 0;
    std::string path, target, data;
  };
  struct Open {
    std::size_t file = 0;
    std::string directory;  // its name, if it is one
    bool is_directory = false;
    std::uint64_t position = 0;
  };

  // The path a call speaks of, relative to the directory; "" is the directory itself, kElsewhere no
  // part of it.
  static constexpr const char* kElsewhere = "/";
  [[nodiscard]] std::string inside(const std::string& path) const {
    if (path == root_) return "";
    return path.starts_with(root_ + "/") ? path.substr(root_.size() + 1) : kElsewhere;
  }
  [[nodiscard]] std::string path_at(const Call& call, std::size_t argument) const {
    return inside(read_path(call.thread, call.arguments[argument]));
  }
  [[nodiscard]] std::string path_of(const Call& call) const {
    switch (call.number) {
      case SYS_open:
      case SYS_rename:
      case SYS_link:
      case SYS_unlink:
      case SYS_mkdir:
      case SYS_rmdir: return path_at(call, 0);
      case SYS_openat:
      case SYS_renameat2:
      case SYS_unlinkat: return path_at(call, 1);
      default: return kElsewhere;
    }
  }
  [[nodiscard]] std::string target_of(const Call& call) const {
    const bool two = call.number == SYS_rename || call.number == SYS_link;
    if (call.number == SYS_renameat2) return path_at(call, 3);
    return two ? path_at(call, 1) : kElsewhere;
  }
  [[nodiscard]] std::string data_of(const Call& call) const {
    if (call.number != SYS_write && call.number != SYS_pwrite64) return {};
    if (!open_.contains(static_cast<int>(call.arguments[0]))) return {};
    return read_memory(call.thread, call.arguments[1], call.arguments[2]);
  }

  Change& add(Change::Kind kind, const Begun& begun) {
    Change& change = recording.changes.emplace_back();
    change.kind = kind;
    change.steps = begun.steps;
    return change;
  }

  void note(const Call& call, const Begun& begun) {
    const auto open = open_.find(static_cast<int>(call.arguments[0]));
    switch (call.number) {
      case SYS_open: return note_open(call, begun, call.arguments[1]);
      case SYS_openat: return note_open(call, begun, call.arguments[2]);
      case SYS_mkdir: return note_name(Change::Kind::directory, begun);
      case SYS_unlink:
      case SYS_unlinkat:
      case SYS_rmdir: return note_name(Change::Kind::remove, begun);
      case SYS_renameat2:
      case SYS_rename: return note_name(Change::Kind::rename, begun);
      case SYS_link: return note_name(Change::Kind::link, begun);
      default: break;
    }
    if (open == open_.end()) return;
    Open& file = open->second;
    switch (call.number) {
      case SYS_close: open_.erase(open); return;
      case SYS_fsync:
      case SYS_fdatasync: {
        Change& change =
            add(file.is_directory ? Change::Kind::sync_names : Change::Kind::sync, begun);
        change.file = file.file;
        change.name = file.directory;
        change.covers = begun.changes;
        return;
      }
      case SYS_syncfs: add(Change::Kind::sync_all, begun).covers = begun.changes; return;
      case SYS_ftruncate:
        return note_change(Change::Kind::truncate, file, begun, call.arguments[1], {});
      case SYS_pwrite64:
      case SYS_write: {
        const std::uint64_t offset = call.number == SYS_write ? file.position : call.arguments[3];
        const auto size = static_cast<std::size_t>(call.result);
        if (call.number == SYS_write) file.position += size;
        return note_change(Change::Kind::write, file, begun, offset, begun.data.substr(0, size));
      }
      default: return;
    }
  }

  void note_change(Change::Kind kind, const Open& file, const Begun& begun, std::uint64_t offset,
                   std::string data) {
    Change& change = add(kind, begun);
    change.file = file.file;
    change.offset = offset;
    change.data = std::move(data);
  }

  void note_open(const Call& call, const Begun& begun, std::uint64_t flags) {
    const std::string& name = begun.path;
    const int fd = static_cast<int>(call.result);
    open_.erase(fd);
    if (name == kElsewhere) return;
    if (fs::is_directory(fs::path(root_) / name)) {
      open_[fd] = {0, name, true, 0};
      return;
    }
    const bool is_new = !names_.contains(name);
    if (is_new) {
      names_[name] = next_file_++;
      Change& change = add(Change::Kind::create, begun);
      change.file = names_[name];
      change.name = name;
    }
    open_[fd] = {names_[name], {}, false, 0};
    if (!is_new && (flags & O_TRUNC) != 0) {
      note_change(Change::Kind::truncate, open_[fd], begun, 0, {});
    }
  }

  void note_name(Change::Kind kind, const Begun& begun) {
    if (begun.path == kElsewhere) return;
    Change& change = add(kind, begun);
    change.name = begun.path;
    change.target = begun.target;
    const bool two = kind == Change::Kind::rename || kind == Change::Kind::link;
    if (two && names_.contains(begun.path)) names_[begun.target] = names_[begun.path];
    if (kind == Change::Kind::rename) move_below(begun.path + "/", begun.target + "/");
    const bool stays = kind == Change::Kind::directory || kind == Change::Kind::link;
    if (!stays) names_.erase(begun.path);
  }

  void move_below(const std::string& from, const std::string& to) {
    std::map<std::string, std::size_t> moved;
    for (auto at = names_.lower_bound(from); at != names_.end() && at->first.starts_with(from);) {
      moved[to + at->first.substr(from.size())] = at->second;
      at = names_.erase(at);
    }
    names_.merge(moved);
  }

  const std::string root_;
  Steps& steps_;
  std::map<std::string, std::size_t> names_;
  std::size_t next_file_ = 0;
  std::map<int, Open> open_;
  std::map<pid_t, Begun> begun_;
};

}  // namespace

Recording record(const fs::path& directory, Steps& steps, const std::function<int()>& body) {
  Recorder recorder(directory, steps);
  const Ending ending = trace(body, [&](const Call& call) {
    recorder.see(call);
    return Order{};
  });
  recorder.recording.steps = steps.count();
  recorder.recording.good = ending.exited && ending.status == 0;
  return std::move(recorder.recording);
}

}  // namespace stook::torture
