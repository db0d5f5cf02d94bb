// found_inputs.h - external inputs that a task finds while it runs: a compiler's headers, its own
// outputs. They follow the declared ones in the task's record, each with the digest that was seen.
// Unaware of commands and of the order of tasks.
// InputFinder belongs to one execution; DigestCache is thread-safe. Design: runtime/README.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "runtime/path_history.h"
#include "src/external.h"
#include "src/store.h"

namespace stook::detail {

// Digests of files by their stamps, whatever they are called: a header of a hundred sources is read
// once in a run.
class DigestCache {
 public:
  [[nodiscard]] bool find(const std::string& path, const FileStamp& stamp, Digest& digest);
  // REQUIRES: the stamp is of a file that cannot change without its stamp doing so.
  void put(const std::string& path, const FileStamp& stamp, const Digest& digest);
  // The path leads to this file, which may be too young for that.
  void see(const std::string& path, const FileStamp& stamp);
  // Was it known before this moment that `path` leads to the file as it is now?
  [[nodiscard]] bool knew_name(const std::string& path, const FileStamp& stamp,
                               std::int64_t exact_ns);
  // Has it led to several files, or to one that has changed?
  [[nodiscard]] bool has_moved(const std::string& path);
  // A name that the file as it is now had some time before this moment; empty: none is known.
  [[nodiscard]] std::string earlier_name(const FileStamp& stamp, std::int64_t exact_ns);

 private:
  struct FileHash {
    std::size_t operator()(const std::pair<std::int64_t, std::int64_t>& device_and_inode) const;
  };
  struct Known {
    FileStamp stamp;
    Digest digest;
    std::int64_t since_ns = 0;
    std::string path;  // the first name
  };
  struct Named {
    FileStamp stamp;  // of what it led to last
    std::int64_t since_ns = 0;
    bool settled = false;  // since then no change goes without another stamp
    bool moved = false;
  };
  void add_name(const std::string& path, const FileStamp& stamp, bool settled, std::int64_t now_ns);

  std::mutex mutex_;
  std::unordered_map<std::pair<std::int64_t, std::int64_t>, Known, FileHash> files_;
  std::unordered_map<std::string, Named> names_;
};

// The moment before something began that reads files: on the clock that stamps files, which moves
// in ticks, and on the exact one. A file stamped before `tick_ns` was changed before it, one
// stamped after `exact_ns` after it; between the two nobody knows.
struct Moment {
  std::int64_t tick_ns = 0;
  std::int64_t exact_ns = 0;
  [[nodiscard]] static Moment now();
};

// What InputFinder has to know about the beginning of something that reads files.
struct Reading {
  explicit Reading(const Moment& moment) : start(moment), paths(moment.tick_ns) {}
  Moment start;
  PathHistory paths;
};

struct FoundInput {
  SpecPtr spec;
  Digest digest;            // of the content it has now
  std::string fingerprint;  // empty: too young, it has to be read again
  bool certain = true;      // this content, and no other, was there since the moment asked for
  bool made = false;        // by this execution: the store is told even where it knows the content
  bool is_file = true;      // not a directory
  bool in_place = true;     // false: whether its name led to it all the time is to be asked yet
};

[[nodiscard]] SpecPtr file_spec(const std::string& path);
// For add_input(), which takes files: throws InvalidArgument.
void refuse_directory(const std::filesystem::path& file);
// A file as it is now, which will be read after this.
[[nodiscard]] FoundInput look_at_file(const std::string& path, DigestCache& digests);
// A file that has been read since `looked`, when it had `digest`: what was read may be another
// content, which is not known then. `fingerprint`: how it looked then; empty: nobody knows.
[[nodiscard]] UpstreamSeen recheck_file(const ExternalSpec& file, const Digest& digest,
                                        std::string_view fingerprint, const Moment& looked,
                                        DigestCache& digests);
// Brings the store up to date with what was found, and appends it to a record's upstream. What was
// not certain gets a digest that nothing has, so that the record is suspect from the beginning.
void enter_found(Store& store, std::span<const FoundInput> found,
                 std::vector<UpstreamSeen>& upstream);

// Stands in a record between the declared upstream and what was found; a constant to the store.
[[nodiscard]] UpstreamSeen found_mark();
[[nodiscard]] bool is_found_mark(const UpstreamSeen& seen);

class InputFinder {
 public:
  // `looked`: before the run looked at its declared inputs. `seen`: what it saw then; null:
  // unknown.
  InputFinder(Store& store, const SeenInputs* seen, DigestCache& digests, const Moment& looked)
      : store_(store), seen_(seen), digests_(digests), looked_(looked) {}

  // Now, but not in the tick in which the run began: whatever was changed before the run has an
  // older stamp. Waits for the end of that tick, a few milliseconds, at the beginning of a run.
  [[nodiscard]] Reading begin_reading() const;
  // Of files that something has read: each one as it is now, and whether it was so all the time
  // since the reading began. When all have been looked at they are concluded.
  [[nodiscard]] FoundInput look(const std::string& path, const Reading& reading);
  static void conclude(FoundInput& found, Reading& reading);
  [[nodiscard]] FoundInput look(const std::string& path) { return look_at_file(path, digests_); }
  // A file this execution has just made.
  [[nodiscard]] FoundInput made(const std::string& path, const FileStamp& stamp, bool settled,
                                const Digest& digest);
  // Enters an input into the task's record; one that is declared too is only compared.
  void add(FoundInput input);
  void clear();
  // A declared input that has been read: is it the file that the run saw, unchanged?
  [[nodiscard]] bool is_as_seen(const std::string& path) const;

  // Looks once more at all that was added: by a task that reads what it finds.
  void recheck_all();

  // For the execution: enter_found().
  void append_to(std::vector<UpstreamSeen>& upstream) { enter_found(store_, found_, upstream); }

 private:
  [[nodiscard]] FoundInput look_at_directory(const std::string& path, const Moment& start) const;
  enum class Knowledge { none, of_file, of_name };  // of_name: and that the name led to it
  [[nodiscard]] Knowledge knew(const FoundInput& found, const FileStamp& stamp,
                               const Moment& start);

  Store& store_;
  const SeenInputs* const seen_;
  DigestCache& digests_;
  const Moment looked_;
  std::mutex mutex_;  // a task may find files in several threads
  std::vector<FoundInput> found_;
  std::unordered_set<Key> keys_;
};

}  // namespace stook::detail
