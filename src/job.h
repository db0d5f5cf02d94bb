// job.h - one task as work for another process: what is to be executed, and what became of it.
// Unaware of how it gets there. Values. The bytes: head of src/job.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/store.h"

#include <stook/codec_base.hpp>

namespace stook::detail {

// Where the value of an input is to be found.
struct JobInput {
  enum class Place : std::uint8_t {
    here,    // the encoded value is in `stored.bytes`, not compressed
    pack,    // in the record at `pack`, `offset`
    object,  // `stored` names an object of the cache
  };
  Key key;  // what a future in the task names: a task, or an element, list, dictionary passed on
  Digest digest;
  Place place = Place::pack;
  std::uint32_t pack = 0;
  std::uint64_t offset = 0;
  StoredValue stored;
};

// Everything a process needs to execute one task, and no more.
struct Job {
  std::uint64_t number = 0;  // the driver's, to tell results apart
  Key key;
  std::uint64_t id = 0;
  std::string class_name;
  std::uint32_t version = 0;
  std::string arguments;  // canonical bytes
  Digest made_of;         // the digests of all its inputs, and its version
  std::vector<JobInput> inputs;
  int compress_level = 3;
  bool has_result = false;  // its directory holds a result that a failure must leave alone
  bool allow_other_build = false;
  std::uint64_t memory = 0;     // bytes it may allocate; 0: unlimited
  std::uint64_t log_limit = 0;  // bytes of stdout, and of stderr
};

// A file that the task found and was going to read, as it was then.
struct JobFound {
  std::string path;  // as the task named it
  Digest digest;
  std::string fingerprint;  // of its stamp; empty: it was too young
  bool certain = true;      // it held still while its digest was made
};

struct JobResult {
  std::uint64_t number = 0;
  Key key;
  bool failed = false;
  bool out_of_memory = false;
  bool cache_failed = false;  // outside of run_task(): a full disk, say, which is nobody's fault
  Key damaged_input;  // not zero: the stored value of this input cannot be read; `cause` says why
  std::string cause;  // where it failed
  std::string host;   // the same
  int attempt = 1;    // how often it was begun, as its driver counts; not sent
  std::string signature;  // of the value's encoding
  Digest digest;
  Digest directory;              // zero: the task did not use its directory
  bool moved_directory = false;  // the last result's directory was moved aside
  std::int64_t started_ns = 0;   // Unix time
  std::int64_t duration_ns = 0;
  bool wrote_stdout = false;
  bool wrote_stderr = false;
  std::vector<JobFound> found;
  StoredValue value;
};

void encode_job(const Job& job, Writer& writer);
// Throws CacheError on bytes that encode_job() does not write.
[[nodiscard]] Job decode_job(Reader& reader);

void encode_result(const JobResult& result, Writer& writer);
[[nodiscard]] JobResult decode_result(Reader& reader);

// --- Messages between a driver and its workers, and what a file of the spool holds.
inline constexpr std::uint32_t kProtocol = 5;
inline constexpr std::size_t kMessageHead = 5;  // bytes of a message before its body
// A root above a million tasks is some 60 MB.
inline constexpr std::uint32_t kMostMessage = std::uint32_t{1} << 30;

enum class MessageKind : std::uint8_t {
  hello = 1,      // worker: protocol:u32, build id, host, process id, kernel
  welcome = 2,    // driver: protocol:u32, cache root, what else is the same for all jobs
  job = 3,        // driver
  started = 4,    // worker: the number of the job it has begun
  result = 5,     // worker
  progress = 6,   // worker: number, fraction, text
  stop = 7,       // driver: stop_requested() is true from now on
  end = 8,        // driver: no more will come
  beat = 9,       // driver: it lives; over files only
  hold = 10,      // driver: begin nothing more, give back what has not begun
  returned = 11,  // worker: the number of a job that it has not begun and will not
  check = 12,     // in files: the hash of the body before it
};

struct Hello {
  std::uint32_t protocol = kProtocol;
  std::string build;
  std::string host;
  std::uint64_t process = 0;
  std::string kernel;  // os_kernel_name()
};

struct Welcome {
  std::uint32_t protocol = kProtocol;
  std::string root;  // of the cache
  std::string build;
  std::string directory;  // to work in; empty: where it is
  std::string alive;      // a file whose first byte is locked while the driver lives; empty: none
  bool hold_after_failure = false;  // as if `hold` came with the first task that fails
};

struct JobProgress {
  std::uint64_t number = 0;
  double fraction = 0;
  std::string text;
};

void encode_hello(const Hello& hello, Writer& writer);
[[nodiscard]] Hello decode_hello(Reader& reader);
void encode_welcome(const Welcome& welcome, Writer& writer);
[[nodiscard]] Welcome decode_welcome(Reader& reader);
void encode_progress(const JobProgress& progress, Writer& writer);
[[nodiscard]] JobProgress decode_progress(Reader& reader);

// Appends a whole message to `out`.
void append_message(MessageKind kind, const Writer& body, std::vector<std::byte>& out);

// Takes messages out of bytes as they arrive.
class MessageBuffer {
 public:
  struct Message {
    MessageKind kind;
    std::span<const std::byte> body;  // until the next call of anything
  };
  // Room for at least `size` more bytes; commit() says how many came.
  [[nodiscard]] std::span<std::byte> prepare(std::size_t size);
  void commit(std::size_t size) { filled_ += size; }
  // The next whole message. Throws CacheError where the bytes are none.
  [[nodiscard]] bool next(Message& message);

 private:
  std::vector<std::byte> bytes_;
  std::size_t taken_ = 0;
  std::size_t filled_ = 0;
};

}  // namespace stook::detail
