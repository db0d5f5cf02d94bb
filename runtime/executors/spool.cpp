#include "runtime/executors/spool.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

std::string read_whole(const fs::path& file, bool& there) {
  const Fd fd = os_open(file, O_RDONLY);
  there = static_cast<bool>(fd);
  if (!fd) return {};
  std::string bytes(static_cast<std::size_t>(std::max<std::int64_t>(0, os_file_size(fd.get()))), 0);
  const ssize_t got = os_pread(fd.get(), bytes.data(), bytes.size(), 0);
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return bytes;
}

MessageBuffer buffer_of(const std::string& bytes) {
  MessageBuffer buffer;
  const auto room = buffer.prepare(bytes.size());
  if (!bytes.empty()) std::memcpy(room.data(), bytes.data(), bytes.size());
  buffer.commit(bytes.size());
  return buffer;
}

std::string this_process() {
  return "process " + std::to_string(::getpid()) + " on " + os_host_name();
}

}  // namespace

AliveFile::AliveFile(const fs::path& spool) : path_(spool / ("driver-" + os_unique_name())) {}

AliveFile::~AliveFile() {
  if (lock_) ::unlink(path_.c_str());
}

const fs::path& AliveFile::path() {
  if (!lock_) {
    lock_ = os_open(path_, O_CREAT | O_RDWR);
    // Where the file system has no locks the workers cannot tell, and go on.
    if (lock_) (void)os_try_lock(lock_.get(), 0, LockMode::exclusive);
  }
  return path_;
}

SpoolFiles SpoolFiles::of_job(const fs::path& job) {
  fs::path stem = job;
  return SpoolFiles(stem.replace_extension());
}

void SpoolFiles::write(const fs::path& to, const std::vector<std::byte>& bytes) const {
  const fs::path temporary = to.native() + "." + std::to_string(::getpid());
  const Fd fd = os_open(temporary, O_CREAT | O_TRUNC | O_WRONLY);
  if (!fd || !os_write(fd.get(), bytes.data(), bytes.size()) || !os_rename(temporary, to)) {
    const int error = errno;
    ::unlink(temporary.c_str());
    throw CacheError("write " + to.string() + ": " + std::strerror(error));
  }
}

void SpoolFiles::write_job(const Welcome& welcome, const std::vector<std::byte>& message) const {
  Writer head;
  encode_welcome(welcome, head);
  std::vector<std::byte> bytes;
  append_message(MessageKind::welcome, head, bytes);
  bytes.insert(bytes.end(), message.begin(), message.end());
  write(job(), bytes);
}

std::optional<Result<std::unique_ptr<JobResult>>> SpoolFiles::read_result(
    std::uint64_t number) const {
  using Read = Result<std::unique_ptr<JobResult>>;
  bool there = false;
  const std::string bytes = read_whole(with(".result"), there);
  if (!there) return std::nullopt;
  try {
    MessageBuffer buffer = buffer_of(bytes);
    MessageBuffer::Message message;
    if (!buffer.next(message) || message.kind != MessageKind::result) {
      return Read(Failed{"what the task left as its result is none"});
    }
    Reader reader(message.body);
    auto result = std::make_unique<JobResult>(decode_result(reader));
    if (result->number != number) return Read(Failed{"it left the result of another task"});
    return Read(std::move(result));
  } catch (const Error& error) {
    return Read(
        Failed{std::string("what the task left as its result is damaged: ") + error.what()});
  }
}

void SpoolFiles::withdraw() const { ::unlink(job().c_str()); }

void SpoolFiles::remove() const {
  for (const char* suffix : {".job", ".claim", ".result", ".stdout", ".stderr"}) {
    ::unlink(with(suffix).c_str());
  }
}

Result<std::unique_ptr<SpoolFiles::Order>> SpoolFiles::take() const {
  const Fd claim = os_open(with(".claim"), O_CREAT | O_EXCL | O_WRONLY);
  if (!claim) {
    const int error = errno;
    bool there = false;
    const std::string holder = read_whole(with(".claim"), there);
    if (there) return Failed{"the job has been begun already, by " + holder};
    return Failed{"cannot claim " + job().string() + ": " + std::strerror(error)};
  }
  const std::string me = this_process();
  (void)os_write(claim.get(), me.data(), me.size());
  bool there = false;
  const std::string bytes = read_whole(job(), there);
  if (!there) return Failed{"there is no job " + job().string() + " (any more)"};
  try {
    MessageBuffer buffer = buffer_of(bytes);
    MessageBuffer::Message message;
    auto order = std::make_unique<Order>();
    if (!buffer.next(message) || message.kind != MessageKind::welcome) {
      return Failed{job().string() + " is no job"};
    }
    Reader head(message.body);
    order->welcome = decode_welcome(head);
    if (order->welcome.protocol != kProtocol) {
      return Failed{job().string() + " is of another version of stook"};
    }
    if (!buffer.next(message) || message.kind != MessageKind::job) {
      return Failed{job().string() + " is cut short"};
    }
    Reader body(message.body);
    order->job = decode_job(body);
    return order;
  } catch (const Error& error) { return Failed{job().string() + ": " + error.what()}; }
}

bool SpoolFiles::given_up() const {
  return ::access(with(".claim").c_str(), F_OK) != 0 && errno == ENOENT;
}

void SpoolFiles::write_result(const JobResult& result) const {
  Writer body;
  encode_result(result, body);
  std::vector<std::byte> bytes;
  append_message(MessageKind::result, body, bytes);
  write(with(".result"), bytes);
}

}  // namespace stook::detail
