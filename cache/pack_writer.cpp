#include "cache/pack_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "cache/packs.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

constexpr std::size_t kWriteAt = 64 << 10;
constexpr std::size_t kMostObjects = 64;  // as many again are in the sync that is under way
constexpr std::chrono::milliseconds kWriteAfter{5};
constexpr std::chrono::seconds kWriteAgain{1};  // after a failure that nobody has asked about

// Their bytes, their names, and the names of the directories they are in.
bool sync_objects(std::span<const PackWriter::Object> objects) {
  bool good = true;
  std::set<std::filesystem::path> directories;
  for (const PackWriter::Object& object : objects) {
    good = (STOOK_MUTANT("sync-object") || os_sync_data(object.file.get())) && good;
    if (!STOOK_MUTANT("sync-object-name")) directories.insert(object.path.parent_path());
    if (!STOOK_MUTANT("sync-object-directory")) {
      directories.insert(object.path.parent_path().parent_path());
    }
  }
  for (const auto& directory : directories) good = os_sync_directory(directory) && good;
  return good;
}

}  // namespace

PackWriter::PackWriter(std::filesystem::path directory, PackHeader identity, Shared& shared,
                       std::chrono::milliseconds window, Warn warn)
    : directory_(std::move(directory)), identity_(std::move(identity)), shared_(shared),
      window_(window), warn_(std::move(warn)) {}

PackWriter::~PackWriter() {
  {
    const Lock lock(mutex_);
    stop_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  try {
    sync();
  } catch (const CacheError& error) { warn_(error.what()); }
}

void PackWriter::create_pack() {
  const std::uint32_t number = shared_.take_pack();
  const std::filesystem::path path = pack_path(directory_, number);
  Fd fd = os_open(path, O_CREAT | O_EXCL | O_RDWR);
  if (!fd) throw_cache_error("create", path);
  try {
    if (!STOOK_MUTANT("sync-pack-name") && !os_sync_directory(directory_)) {
      throw_cache_error("sync", directory_);
    }
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    handle_ = shared_.register_pack(number);
  } catch (...) {  // or each attempt would leave an empty one
    if (!STOOK_MUTANT("remove-unused-pack")) ::unlink(path.c_str());
    throw;
  }
  encode_pack_header(identity_, buffer_);
  appended_ = buffer_.size();
  fd_ = std::move(fd);
  number_ = number;
}

Place PackWriter::append(ByteSpan frame, std::span<const Key> release,
                         const std::function<void(Place)>& placed) {
  Lock lock(mutex_);
  if (!fd_) create_pack();
  // Before anything is taken: a result that was reported as an error must not become the answer.
  if (write_error_ != 0 && !STOOK_MUTANT("accept-when-written") && !write_buffer(lock)) {
    throw_write_error();
  }
  if (buffer_.empty() || idle_) first_append_ = Clock::now();
  const Place place{number_, appended_};
  buffer_.insert(buffer_.end(), frame.begin(), frame.end());
  if (STOOK_MUTANT("written-before-release")) {
    shared_.release(release);
  } else {
    release_.insert(release_.end(), release.begin(), release.end());
  }
  appended_ += frame.size();
  try {
    placed(place);
  } catch (...) {  // nobody will know of it
    buffer_.resize(buffer_.size() - frame.size());
    release_.resize(release_.size() - release.size());
    appended_ = place.offset;
    throw;
  }
  // While another thread writes, frames gather behind it, but not without end.
  const bool due = buffer_.size() >= kWriteAt && (!busy_ || buffer_.size() >= 64 * kWriteAt);
  if (due || shared_.somebody_waits()) (void)write_buffer(lock);
  if (idle_) {
    idle_ = false;
    wake_.notify_one();
  }
  return place;
}

void PackWriter::release_written(const Key& key) {
  Lock lock(mutex_);
  done_.wait(lock, [&] { return writing_.empty(); });  // not for a sync: that may take long
  if (buffer_.empty()) shared_.release({&key, 1});
  else release_.push_back(key);
}

void PackWriter::sync_with_next(Object object) {
  Lock lock(mutex_);
  const std::uint64_t since = sync_failures_;
  while (objects_.size() >= kMostObjects && !STOOK_MUTANT("most-objects")) sync_written(lock);
  meet_failures(since);
  objects_.push_back(std::move(object));
  ++objects_given_;
}

void PackWriter::throw_write_error() const {
  throw_cache_error("write results to", directory_, write_error_);
}

bool PackWriter::write_buffer(Lock& lock) {
  done_.wait(lock, [&] { return !busy_; });
  if (buffer_.empty()) return true;
  busy_ = true;
  writing_.swap(buffer_);
  releasing_.swap(release_);
  lock.unlock();
  if (STOOK_MUTANT("written-before-length")) {
    shared_.publish_length(handle_, written_ + writing_.size());
  }
  const bool good = os_pwrite(fd_.get(), writing_.data(), writing_.size(), written_);
  const int error = good ? 0 : errno;
  // What came to the disk of it was never announced: it must not come back if we die.
  if (!good && !STOOK_MUTANT("take-back-written")) {
    if (::ftruncate(fd_.get(), static_cast<off_t>(written_)) != 0) {}  // who buries us announces it
  }
  if (good) {
    shared_.publish_length(handle_, written_ + writing_.size());
    shared_.release(releasing_);
  }
  lock.lock();
  busy_ = false;
  write_error_ = error;
  if (good) {
    if (written_ == synced_) first_unsynced_ = Clock::now();
    written_ += writing_.size();
  } else {  // back in front of what came meanwhile
    writing_.insert(writing_.end(), buffer_.begin(), buffer_.end());
    writing_.swap(buffer_);
    releasing_.insert(releasing_.end(), release_.begin(), release_.end());
    releasing_.swap(release_);
  }
  writing_.clear();
  releasing_.clear();
  done_.notify_all();
  return good;
}

void PackWriter::sync_written(Lock& lock) {
  done_.wait(lock, [&] { return !busy_; });
  if (written_ == synced_ && objects_.empty()) return;
  busy_ = true;
  std::vector<Object> objects;
  objects.swap(objects_);
  const std::uint64_t given = objects_given_;
  const std::uint64_t target = written_;
  lock.unlock();
  bool good = sync_objects(objects);
  if (fd_ && !STOOK_MUTANT("sync-pack")) good = os_sync_data(fd_.get()) && good;
  const int error = errno;
  lock.lock();
  busy_ = false;
  objects_synced_ = given;
  synced_ = target;  // a failed sync is not repeated: the system has dropped the pages by then
  if (!good) {
    ++sync_failures_;
    sync_error_ = error;
  }
  if (written_ != synced_) first_unsynced_ = Clock::now();
  done_.notify_all();
}

void PackWriter::meet_failures(std::uint64_t since) {
  if (sync_failures_ == since || STOOK_MUTANT("meet-sync-failures")) return;
  told_failures_ = sync_failures_;
  throw_cache_error("sync results in", directory_, sync_error_);
}

void PackWriter::write() {
  Lock lock(mutex_);
  write_all(lock);
}

void PackWriter::write_all(Lock& lock) {
  const std::uint64_t target = appended_;
  while (written_ < target) {
    if (!write_buffer(lock)) throw_write_error();
  }
}

void PackWriter::sync() {
  Lock lock(mutex_);
  sync_all(lock, told_failures_);
}

void PackWriter::sync(std::uint64_t since) {
  Lock lock(mutex_);
  sync_all(lock, since);
}

std::uint64_t PackWriter::sync_failures() const {
  const Lock lock(mutex_);
  return sync_failures_;
}

void PackWriter::sync_all(Lock& lock, std::uint64_t since) {
  const std::uint64_t target = appended_;
  const std::uint64_t objects = STOOK_MUTANT("objects-till-now") ? ~0ull : objects_given_;
  write_all(lock);
  while (synced_ < target || objects_synced_ < std::min(objects, objects_given_)) {
    sync_written(lock);
  }
  meet_failures(since);
}

std::uint32_t PackWriter::pack() const {
  const Lock lock(mutex_);
  return number_;
}

bool PackWriter::is_written(std::uint64_t offset) const {
  const Lock lock(mutex_);
  return offset < written_;
}

void PackWriter::run() {
  Lock lock(mutex_);
  while (!stop_) background_step(lock);
}

// What fails here can only be told: who appends or writes next meets it, a sync that failed who
// syncs next.
void PackWriter::background_step(Lock& lock) {
  if (buffer_.empty() && written_ == synced_) {
    idle_ = true;
    wake_.wait(lock, [&] { return stop_ || !idle_; });
    idle_ = false;
    return;
  }
  const auto now = Clock::now();
  if (!buffer_.empty() && now >= first_append_ + kWriteAfter) {
    if (write_buffer(lock)) return;
    first_append_ = now + kWriteAgain;  // meanwhile what was written is synced
    return warn_(describe_error("write results to", directory_, write_error_));
  }
  if (written_ != synced_ && now >= first_unsynced_ + window_) {
    const std::uint64_t before = sync_failures_;
    sync_written(lock);
    if (sync_failures_ == before) return;
    return warn_(describe_error("sync results in", directory_, sync_error_));
  }
  auto until = now + window_;
  if (!buffer_.empty()) until = first_append_ + kWriteAfter;
  if (written_ != synced_) until = std::min(until, first_unsynced_ + window_);
  wake_.wait_until(lock, until, [&] { return stop_; });
}

}  // namespace stook::detail
