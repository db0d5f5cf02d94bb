// spool.h - one job and its result as a file, for processes that have no socket to their driver.
// The file changes its name: NAME.job until somebody begins it, NAME.claim while he executes it,
// NAME.result when it holds the result. A rename succeeds once, so a wrapper that starts a task
// twice has it executed once; and one file is made for a task, where making and removing is what
// costs.
//   file = welcome job check [ hello of whoever has begun it [ result check ] ]    as in
//   src/job.cpp
// What does not fit its check, cut short or changed by whatever carries files, is refused.
// Unaware of processes. Design: runtime/executors/README.md
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/forks.h"
#include "src/job.h"
#include "src/os.h"
#include "src/result.h"

namespace stook::detail {

// A file of which a byte is locked while this process lives: who executes its jobs looks.
class AliveFile {
 public:
  // Nothing is made before path() is asked for. `spool`: where.
  explicit AliveFile(const std::filesystem::path& spool);
  ~AliveFile();
  AliveFile(const AliveFile&) = delete;
  AliveFile& operator=(const AliveFile&) = delete;
  [[nodiscard]] const std::filesystem::path& path();

 private:
  const std::filesystem::path path_;
  Fd lock_;
  const ClosedInForks closed_in_forks_{lock_};
};

class SpoolFiles {
 public:
  // `stem`: CACHE/spool/NAME; beside the job there are stem.stdout and .stderr.
  explicit SpoolFiles(std::filesystem::path stem) : stem_(std::move(stem)) {}
  [[nodiscard]] static SpoolFiles of_job(const std::filesystem::path& job);

  [[nodiscard]] const std::filesystem::path& stem() const { return stem_; }
  [[nodiscard]] std::filesystem::path job() const { return with(".job"); }

  // --- The driver
  // Throws CacheError.
  void write_job(const Welcome& welcome, const std::vector<std::byte>& message) const;
  // Nothing: it is not there (yet). Fails where what is there is not the result of job `number`.
  [[nodiscard]] std::optional<Result<std::unique_ptr<JobResult>>> read_result(
      std::uint64_t number) const;
  // The host of whoever has begun it; empty: nobody has.
  [[nodiscard]] std::string begun_on() const { return who_has_begun().host; }
  // Nobody may begin it any more, and who has begun it ends as soon as he looks: that is returned.
  Hello withdraw() const;
  void remove() const;  // all but what its task has printed
  void remove_output() const;

  // --- Whoever executes it
  struct Order {
    Welcome welcome;
    Job job;
  };
  // Fails where it is not there any more, or somebody else has claimed it.
  [[nodiscard]] Result<std::unique_ptr<Order>> take() const;
  // True: nobody waits for the result of the job that was taken.
  [[nodiscard]] bool given_up() const;
  void write_result(const JobResult& result) const;  // throws CacheError

 private:
  [[nodiscard]] std::filesystem::path with(const char* suffix) const {
    return stem_.native() + suffix;
  }
  void append(MessageKind kind, const Writer& body) const;
  [[nodiscard]] Hello who_has_begun() const;

  std::filesystem::path stem_;
};

}  // namespace stook::detail
