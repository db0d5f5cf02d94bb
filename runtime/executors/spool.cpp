#include "runtime/executors/spool.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/alive.h"
#include "src/build_id.h"
#include "src/hash.h"
#include "src/mutant.h"
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

// `message`: whole.
void append_check(std::span<const std::byte> message, std::vector<std::byte>& bytes) {
  const auto body = message.subspan(kMessageHead);
  const Hash128 hash = hash_bytes(body.data(), body.size());
  Writer writer;
  writer.put(hash.high);
  writer.put(hash.low);
  append_message(MessageKind::check, writer, bytes);
}

void require_check(std::span<const std::byte> body, MessageBuffer& buffer) {
  const Hash128 hash = hash_bytes(body.data(), body.size());
  MessageBuffer::Message message;
  if (buffer.next(message) && message.kind == MessageKind::check) {
    Reader reader(message.body);
    const auto high = reader.take<std::uint64_t>();
    if (high == hash.high && reader.take<std::uint64_t>() == hash.low) return;
    if (STOOK_MUTANT("check-message")) return;
  }
  Reader::throw_malformed("its checksum is wrong, or missing");
}

bool is_checked(MessageKind kind) {
  return kind == MessageKind::job || kind == MessageKind::result;
}

// Hands the first message of a kind to `take`. False: there is none. Throws CacheError on bytes
// that are no messages, and where its check does not follow.
template <class Take>
bool find_message(const std::string& bytes, MessageKind kind, const Take& take) {
  MessageBuffer buffer;
  const auto room = buffer.prepare(bytes.size());
  if (!bytes.empty()) std::memcpy(room.data(), bytes.data(), bytes.size());
  buffer.commit(bytes.size());
  for (MessageBuffer::Message message; buffer.next(message);) {
    if (message.kind != kind) continue;
    if (is_checked(kind)) require_check(message.body, buffer);
    Reader reader(message.body);
    take(reader);
    return true;
  }
  return false;
}

}  // namespace

AliveFile::AliveFile(const fs::path& spool) : path_(spool / ("driver-" + os_unique_name())) {}

AliveFile::~AliveFile() {
  if (lock_) ::unlink(path_.c_str());
}

const fs::path& AliveFile::path() {
  if (!lock_) lock_ = hold_alive(path_);
  return path_;
}

SpoolFiles SpoolFiles::of_job(const fs::path& job) {
  fs::path stem = job;
  return SpoolFiles(stem.replace_extension());
}

void SpoolFiles::write_job(const Welcome& welcome, const std::vector<std::byte>& message) const {
  Writer head;
  encode_welcome(welcome, head);
  std::vector<std::byte> bytes;
  append_message(MessageKind::welcome, head, bytes);
  bytes.insert(bytes.end(), message.begin(), message.end());
  append_check(message, bytes);
  fs::path temporary = job();
  if (!STOOK_MUTANT("rename-job")) temporary += "." + std::to_string(::getpid());
  const Fd fd = os_open(temporary, O_CREAT | O_TRUNC | O_WRONLY);
  if (!fd || !os_write(fd.get(), bytes.data(), bytes.size()) || !os_rename(temporary, job())) {
    const int error = errno;
    ::unlink(temporary.c_str());
    throw CacheError("write " + job().string() + ": " + std::strerror(error));
  }
}

std::optional<Result<std::unique_ptr<JobResult>>> SpoolFiles::read_result(
    std::uint64_t number) const {
  using Read = Result<std::unique_ptr<JobResult>>;
  bool there = false;
  const std::string bytes = read_whole(with(".result"), there);
  if (!there) return std::nullopt;
  try {
    auto result = std::make_unique<JobResult>();
    if (!find_message(bytes, MessageKind::result,
                      [&](Reader& reader) { *result = decode_result(reader); })) {
      return Read(Failed{"what the task left as its result is none"});
    }
    if (!STOOK_MUTANT("result-number") && result->number != number)
      return Read(Failed{"it left the result of another task"});
    return Read(std::move(result));
  } catch (const Error& error) {
    return Read(
        Failed{std::string("what the task left as its result is damaged: ") + error.what()});
  }
}

Hello SpoolFiles::who_has_begun() const {
  for (const char* suffix : {".claim", ".result"}) {
    bool there = false;
    const std::string bytes = read_whole(with(suffix), there);
    Hello hello;
    try {
      if (find_message(bytes, MessageKind::hello,
                       [&](Reader& reader) { hello = decode_hello(reader); })) {
        return hello;
      }
    } catch (const Error&) {}  // whoever reads its result will say so
  }
  return {};
}

// Who begins it just now has no claim to say hello in, or finds it gone before he executes.
Hello SpoolFiles::withdraw() const {
  ::unlink(job().c_str());
  const Hello begun = who_has_begun();
  ::unlink(with(".claim").c_str());
  return begun;
}

void SpoolFiles::remove() const {
  for (const char* suffix : {".job", ".claim", ".result"}) ::unlink(with(suffix).c_str());
}

void SpoolFiles::remove_output() const {
  for (const char* suffix : {".stdout", ".stderr"}) ::unlink(with(suffix).c_str());
}

// Of all who try to rename the job one succeeds.
Result<std::unique_ptr<SpoolFiles::Order>> SpoolFiles::take() const {
  if (!os_rename(job(), with(".claim")) && !STOOK_MUTANT("rename-claims")) {
    const int error = errno;
    const std::string host = begun_on();
    if (!host.empty()) return Failed{"the job has been begun already, on " + host};
    if (error == ENOENT) return Failed{"there is no job " + job().string() + " (any more)"};
    return Failed{"cannot claim " + job().string() + ": " + std::strerror(error)};
  }
  Writer hello;
  encode_hello({kProtocol, build_id(), os_host_name(), static_cast<std::uint64_t>(::getpid()),
                os_kernel_name()},
               hello);
  append(MessageKind::hello, hello);
  bool there = false;
  const std::string bytes = read_whole(with(".claim"), there);
  auto order = std::make_unique<Order>();
  try {
    if (!find_message(bytes, MessageKind::welcome,
                      [&](Reader& head) { order->welcome = decode_welcome(head); })) {
      return Failed{job().string() + " is no job"};
    }
    if (!STOOK_MUTANT("job-protocol") && order->welcome.protocol != kProtocol) {
      return Failed{job().string() + " is of another version of stook"};
    }
    if (!find_message(bytes, MessageKind::job,
                      [&](Reader& body) { order->job = decode_job(body); })) {
      return Failed{job().string() + " is cut short"};
    }
    return order;
  } catch (const Error& error) { return Failed{job().string() + ": " + error.what()}; }
}

// By opening it: of a name alone NFS may tell what was so half a minute ago.
bool SpoolFiles::given_up() const { return !os_open(with(".claim"), O_RDONLY) && errno == ENOENT; }

void SpoolFiles::append(MessageKind kind, const Writer& body) const {
  std::vector<std::byte> bytes;
  append_message(kind, body, bytes);
  if (is_checked(kind)) append_check(std::vector(bytes), bytes);
  const fs::path claim = with(".claim");
  const Fd fd = os_open(claim, O_WRONLY | O_APPEND);
  if (!fd || !os_write(fd.get(), bytes.data(), bytes.size())) {
    throw CacheError("write " + claim.string() + ": " + std::strerror(errno));
  }
}

void SpoolFiles::write_result(const JobResult& result) const {
  Writer body;
  encode_result(result, body);
  append(MessageKind::result, body);
  if (!os_rename(with(".claim"), with(".result"))) {
    throw CacheError("rename " + with(".claim").string() + ": " + std::strerror(errno));
  }
}

}  // namespace stook::detail
