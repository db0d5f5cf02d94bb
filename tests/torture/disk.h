// disk.h - what a disk may hold when the power fails after some of the changes of a recording.
// A file system promises what was synced, and nothing else: each other change may be there or not,
// a name before its data, a size before its bytes. Not thread-safe.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/torture/recording.h"

namespace stook::torture {

enum class Loss : std::uint8_t {
  dropped,        // all names are there, unsynced data is not
  zeroed,         // all names and sizes are there, unsynced data is zeros
  unnamed,        // all data is there, names are only where their directory was synced
  strict,         // neither
  newest,         // all names are there, and unsynced data of the file that was changed last
  newest_zeroed,  // the same, and all sizes; the rest is zeros
  random,         // some names, some data, some of it torn
};
inline constexpr Loss kLosses[] = {Loss::dropped, Loss::zeroed,        Loss::unnamed, Loss::strict,
                                   Loss::newest,  Loss::newest_zeroed, Loss::random};
[[nodiscard]] const char* name_of(Loss loss);

class Disk {
 public:
  // `before`: the directory as it was, all of it on the disk.
  Disk(std::filesystem::path before, const Recording& recording);

  void apply(std::size_t at);  // the next change
  // Makes `directory` what is found after the failure.
  void fail(const std::filesystem::path& directory, Loss loss, std::mt19937_64& random) const;

 private:
  struct File {
    std::string known;  // its name in `before_`, while it is as it was there
    std::string synced, now;
    std::vector<std::size_t> unsynced;  // changes of it
  };
  // What a name stands for. Directories have numbers as files do: what is in one moves with it.
  struct Node {
    bool is_directory = false;
    std::size_t number = 0;
  };
  using Place = std::pair<std::size_t, std::string>;  // a directory's number and a name in it
  using Names = std::map<Place, Node>;
  static constexpr std::size_t kRoot = 0;
  // What a change does to names.
  struct Move {
    std::optional<Place> from, to;
    Node node;
    std::size_t change = 0;
  };

  File& touched(std::size_t file);
  [[nodiscard]] std::optional<Node> find(const std::string& path) const;  // now
  [[nodiscard]] std::optional<Place> place_of(const std::string& path) const;
  [[nodiscard]] Move move_of(std::size_t change);
  static void apply_move(Names& names, const Move& move);
  static void apply_data(std::string& content, const Change& change, std::size_t size);
  void sync_data(File& file, std::size_t covers) const;
  void sync_all(std::size_t covers);
  void sync_names(const std::string& directory, std::size_t covers);
  void write(const std::filesystem::path& directory, const Names& names, std::size_t of, Loss loss,
             std::mt19937_64& random) const;
  [[nodiscard]] std::string content(const File& file, Loss loss, std::mt19937_64& random) const;

  const std::filesystem::path before_;
  const Recording& recording_;
  std::map<std::size_t, File> files_;
  std::size_t next_directory_ = kRoot + 1;
  Names now_, synced_;
  std::vector<Move> unsynced_;
  std::size_t newest_ = ~std::size_t{0};  // the file that was changed last
};

}  // namespace stook::torture
