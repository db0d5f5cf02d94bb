// Line 3: each system call that can fail does, once, in each way it can: no space, no quota, an I/O
// error, no descriptor, an interruption, half of the bytes. The operation succeeds or fails with
// one clear error; it neither crashes nor hangs; the cache opens and shows what it may; and with
// the trouble gone the operation succeeds. Then the same on a file system that is really full.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cstring>
#include <fstream>

#include "src/os.h"
#include "tests/torture/failing.h"
#include "tests/torture/line.h"
#include "tests/torture/operation.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

class FailingCalls {
 public:
  FailingCalls(Line& line, const Operation& operation, fs::path cache)
      : line_(line), operation_(operation), cache_(std::move(cache)) {}

  // The n-th way to fail, counted over all calls. False: there are not so many.
  bool fail(std::uint64_t n) {
    copy_cache(operation_.prepared, cache_);
    steps_.reset();
    const auto [ending, where] = fail_once(
        n, [this] { return perform(operation_, cache_, steps_, error_file()); },
        [this](const Call&) { return is_of_interest(); });
    if (where.empty()) return false;
    if (const auto fault = check(ending); !fault.empty()) {
      line_.violation(operation_.name + ", " + where + ": " + fault);
    }
    return true;
  }

  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  [[nodiscard]] fs::path error_file() const { return cache_.string() + ".error"; }

  // Opening is disturbed once, and each time at night.
  [[nodiscard]] bool is_of_interest() const {
    return operation_.opens_only || steps_.is_open() || line_.nightly();
  }

  std::string check(const Ending& ending) {
    if (auto fault = fault_of(ending, read_text(error_file())); !fault.empty()) return fault;
    if (ending.status == 1) {
      ++refused_;
    } else if (steps_.count() + 1 < operation_.pictures.size()) {
      return "it succeeds without having done its steps";
    }
    if (auto fault = judge(operation_, cache_, steps_.count(), Leftovers::allowed); !fault.empty())
      return fault;
    return complete(operation_, cache_, false);
  }

  Line& line_;
  const Operation& operation_;
  const fs::path cache_;
  Steps steps_;
  std::uint64_t refused_ = 0;
};

// --- A file system that is full ----------------------------------------------------------------

class SmallDisk {
 public:
  SmallDisk(fs::path place, std::size_t bytes) : place_(std::move(place)) {
    fs::create_directory(place_);
    const std::string size = "size=" + std::to_string(bytes);
    if (mount("tmpfs", place_.c_str(), "tmpfs", 0, size.c_str()) == 0) return;
    why_not_ = std::string("a file system cannot be mounted: ") + std::strerror(errno);
  }
  ~SmallDisk() {
    if (why_not_.empty()) umount2(place_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  [[nodiscard]] const std::string& why_not() const { return why_not_; }

  // Leaves this much free; false: there is less.
  bool leave(std::size_t bytes) const {
    fs::remove(place_ / "filler");
    struct statvfs status = {};
    statvfs(place_.c_str(), &status);
    const std::size_t free = status.f_bavail * status.f_bsize;
    if (free < bytes) return false;
    const detail::Fd filler = detail::os_open(place_ / "filler", O_CREAT | O_WRONLY);
    return fallocate(filler.get(), 0, 0, static_cast<off_t>(free - bytes)) == 0 || free == bytes;
  }
  void make_room() const { fs::remove(place_ / "filler"); }

 private:
  const fs::path place_;
  std::string why_not_;
};

// With no page free, one, two, ... until the operation succeeds.
std::uint64_t fill_disk(Line& line, const Operation& operation, const SmallDisk& disk,
                        const fs::path& cache) {
  Steps steps;
  const fs::path error_file = line.directory() / "full.error";
  bool succeeded = false;
  std::uint64_t trials = 0;
  for (std::size_t pages = 0; !succeeded; pages += 1 + pages / (line.nightly() ? 64 : 8)) {
    disk.make_room();
    fs::remove_all(cache);
    fs::copy(operation.prepared, cache, fs::copy_options::recursive);
    fs::remove(cache / ".claims");
    if (!disk.leave(pages * 4096)) break;
    steps.reset();
    const Ending ending = run_child([&] { return perform(operation, cache, steps, error_file); });
    disk.make_room();
    const std::string head = operation.name + " with " + std::to_string(pages) + " pages free: ";
    succeeded = ending.exited && ending.status == 0;
    if (!ending.exited || ending.status > 1) {
      line.violation(head + "signal " + std::to_string(ending.signal) + " " +
                     read_text(error_file));
    } else if (auto fault = judge(operation, cache, steps.count(), Leftovers::allowed);
               !fault.empty()) {
      line.violation(head + fault);
    } else if (fault = complete(operation, cache, false); !fault.empty()) {
      line.violation(head + "with space again, " + fault);
    }
    ++trials;
  }
  return trials;
}

std::string full_disk(Line& line, const std::vector<Operation>& operations) {
  const SmallDisk disk(line.directory() / "small", std::size_t{24} << 20);
  if (!disk.why_not().empty()) return "full disk skipped, " + disk.why_not();
  std::uint64_t trials = 0;
  for (const Operation& operation : operations) {
    trials += fill_disk(line, operation, disk, line.directory() / "small" / "cache");
  }
  return "full disk " + std::to_string(trials) + " times";
}

int run(Line& line) {
  if (const std::string why = why_no_tracing(); !why.empty()) line.skip(why);
  const auto operations = all_operations(line.directory());
  std::string figure;
  const int rounds = line.nightly() ? 2 : 1;
  for (const Operation& operation : operations) {
    if (!line.wants(operation.name)) continue;
    const std::uint64_t step = line.nightly() ? 1 : operation.quick_step;
    const std::uint64_t first = line.seed() % step;
    const std::uint64_t trials = line.in_slices(kSlices, [&](int slice) {
      FailingCalls calls(line, operation, line.directory() / ("cache" + std::to_string(slice)));
      std::uint64_t done = 0;
      for (int round = 0; round < rounds; ++round) {
        for (auto n = first + slice * step; calls.fail(n); n += kSlices * step) ++done;
      }
      return done;
    });
    figure += operation.name + " " + std::to_string(trials) + ", ";
  }
  return line.finish("each system call failing in each way: " + figure +
                     (line.wants("full disk") ? full_disk(line, operations) : ""));
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
