// recording.h - what a process does to the files of a directory, in order, as the system sees it.
// Memory-mapped writes are not seen: what relies on them (.claims, SQLite's -shm) means nothing
// after a power failure. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/torture/operation.h"

namespace stook::torture {

// One change. Files are numbers, since names come and go; names are relative to the directory.
struct Change {
  enum class Kind : std::uint8_t {
    create,      // `name` is `file`, empty
    directory,   // `name` is one
    write,       // `data` at `offset` of `file`
    truncate,    // `file` to `offset` bytes
    rename,      // `name` to `target`
    link,        // `name` is `target` as well
    remove,      // `name`
    sync,        // `file`: what was changed before `covers` is on the disk
    sync_names,  // of the directory `name`
    sync_all     // of all files and directories
  };
  Kind kind = Kind::write;
  std::size_t file = 0;
  std::string name, target;
  std::uint64_t offset = 0;
  std::string data;
  std::size_t covers = 0;  // an index of Recording::changes
  std::size_t steps = 0;   // of the operation, done when this began
};

struct Recording {
  std::vector<std::string> known;  // files that were there before, by number; others follow
  std::vector<Change> changes;
  std::size_t steps = 0;  // at the end
  bool good = false;      // it ended as it should
};

[[nodiscard]] Recording record(const std::filesystem::path& directory, Steps& steps,
                               const std::function<int()>& body);

}  // namespace stook::torture
