// The bytes of jobs, results and messages. Version 5, kProtocol in job.h. Integers and floating
// point numbers little-endian, no padding; text = length:u64 bytes; hash = high:u64 low:u64. BNF:
//
//   message  = length:u32 kind:u8 body                 ; length: of the body, at most 2^30
//   spooled  = message                                 ; a file of the spool: a job or a result
//   job      = number:u64 key:hash id:u64 class:text version:u32 arguments:text
//              made-of:hash level:i32 flags:u8 memory:u64 log-limit:u64 count:u64 *input
//              ; flags: 1 its directory holds a result, 2 other builds may execute it
//   input    = key:hash digest:hash place:u8 (value | pack:u32 offset:u64 | value)
//              ; place: 0 here, 1 in a pack, 2 an object
//   value    = raw:u64 stored:u64 flags:u8 object:hash bytes:text
//              ; flags: 1 compressed, 2 in an object, then no bytes
//   result   = number:u64 key:hash flags:u8 damaged-input:hash cause:text host:text
//              signature:text digest:hash directory:hash started-ns:i64 duration-ns:i64
//              count:u64 *found value
//              ; flags: 1 failed, 2 out of memory, 4 directory moved, 8 stdout, 16 stderr written
//   found    = path:text digest:hash fingerprint:text certain:u8
//   hello    = protocol:u32 build:text host:text process:u64 kernel:text
//   welcome  = protocol:u32 root:text build:text directory:text alive:text flags:u8
//              ; flags: 1 hold after a failure
//   progress = number:u64 fraction:f64 text
//   started  = number:u64
//   stop     =
//   end      =
//   beat     =
//   hold     =
//   returned = number:u64
//   check    = hash
//
// Binary and not JSON, as section 2.4 of the design has it: arguments are canonical bytes anyway,
// values are bytes, and a JSON document costs more than executing a small task does.
#include "src/job.h"

#include <algorithm>

#include "src/mutant.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

void put_hash(Writer& writer, const Hash128& hash) {
  writer.put(hash.high);
  writer.put(hash.low);
}

template <class Hash> Hash take_hash(Reader& reader) {
  Hash hash;
  hash.high = reader.take<std::uint64_t>();
  hash.low = reader.take<std::uint64_t>();
  return hash;
}

std::string take_text(Reader& reader) { return std::string(reader.read_text()); }

std::uint8_t flag(bool set, int bit) { return static_cast<std::uint8_t>(set ? 1 << bit : 0); }
bool has(std::uint8_t flags, int bit) { return (flags >> bit & 1) != 0; }

void put_value(Writer& writer, const StoredValue& value) {
  writer.put(value.raw_bytes);
  writer.put(value.stored_bytes);
  writer.put(static_cast<std::uint8_t>(flag(value.compressed, 0) | flag(value.in_object, 1)));
  put_hash(writer, value.object);
  writer.write_count(value.bytes.size());
  writer.write_array(value.bytes.data(), value.bytes.size());
}

StoredValue take_value(Reader& reader) {
  StoredValue value;
  value.raw_bytes = reader.take<std::uint64_t>();
  value.stored_bytes = reader.take<std::uint64_t>();
  const auto flags = reader.take<std::uint8_t>();
  value.compressed = has(flags, 0);
  value.in_object = has(flags, 1);
  value.object = take_hash<Hash128>(reader);
  const auto bytes = reader.read(reader.read_count());
  value.bytes.assign(bytes.begin(), bytes.end());
  if (!STOOK_MUTANT("value-size") && !value.in_object && value.bytes.size() != value.stored_bytes) {
    Reader::throw_malformed("a value of another size than it says");
  }
  return value;
}

void put_input(Writer& writer, const JobInput& input) {
  put_hash(writer, input.key);
  put_hash(writer, input.digest);
  writer.put(static_cast<std::uint8_t>(input.place));
  if (input.place != JobInput::Place::pack) return put_value(writer, input.stored);
  writer.put(input.pack);
  writer.put(input.offset);
}

JobInput take_input(Reader& reader) {
  JobInput input;
  input.key = take_hash<Key>(reader);
  input.digest = take_hash<Digest>(reader);
  const auto place = reader.take<std::uint8_t>();
  if (!STOOK_MUTANT("input-place") && place > 2)
    Reader::throw_malformed("an input at an unknown place");
  input.place = static_cast<JobInput::Place>(place);
  if (input.place == JobInput::Place::pack) {
    input.pack = reader.take<std::uint32_t>();
    input.offset = reader.take<std::uint64_t>();
  } else {
    input.stored = take_value(reader);
  }
  return input;
}

}  // namespace

void encode_job(const Job& job, Writer& writer) {
  writer.put(job.number);
  put_hash(writer, job.key);
  writer.put(job.id);
  writer.write_text(job.class_name);
  writer.put(job.version);
  writer.write_text(job.arguments);
  put_hash(writer, job.made_of);
  writer.put(static_cast<std::int32_t>(job.compress_level));
  writer.put(static_cast<std::uint8_t>(flag(job.has_result, 0) | flag(job.allow_other_build, 1)));
  writer.put(job.memory);
  writer.put(job.log_limit);
  writer.write_count(job.inputs.size());
  for (const JobInput& input : job.inputs) put_input(writer, input);
}

Job decode_job(Reader& reader) {
  Job job;
  job.number = reader.take<std::uint64_t>();
  job.key = take_hash<Key>(reader);
  job.id = reader.take<std::uint64_t>();
  job.class_name = take_text(reader);
  job.version = reader.take<std::uint32_t>();
  job.arguments = take_text(reader);
  job.made_of = take_hash<Digest>(reader);
  job.compress_level = reader.take<std::int32_t>();
  const auto flags = reader.take<std::uint8_t>();
  job.has_result = has(flags, 0);
  job.allow_other_build = has(flags, 1);
  job.memory = reader.take<std::uint64_t>();
  job.log_limit = reader.take<std::uint64_t>();
  const std::size_t count = reader.read_count(32 + 1 + 12);  // the shortest input
  job.inputs.reserve(count);
  for (std::size_t i = 0; i < count; ++i) job.inputs.push_back(take_input(reader));
  return job;
}

void encode_result(const JobResult& result, Writer& writer) {
  writer.put(result.number);
  put_hash(writer, result.key);
  writer.put(static_cast<std::uint8_t>(
      flag(result.failed, 0) | flag(result.out_of_memory, 1) | flag(result.moved_directory, 2) |
      flag(result.wrote_stdout, 3) | flag(result.wrote_stderr, 4) | flag(result.cache_failed, 5)));
  put_hash(writer, result.damaged_input);
  writer.write_text(result.cause);
  writer.write_text(result.host);
  writer.write_text(result.signature);
  put_hash(writer, result.digest);
  put_hash(writer, result.directory);
  writer.put(result.started_ns);
  writer.put(result.duration_ns);
  writer.write_count(result.found.size());
  for (const JobFound& found : result.found) {
    writer.write_text(found.path);
    put_hash(writer, found.digest);
    writer.write_text(found.fingerprint);
    writer.put(static_cast<std::uint8_t>(found.certain ? 1 : 0));
  }
  put_value(writer, result.value);
}

JobResult decode_result(Reader& reader) {
  JobResult result;
  result.number = reader.take<std::uint64_t>();
  result.key = take_hash<Key>(reader);
  const auto flags = reader.take<std::uint8_t>();
  result.failed = has(flags, 0);
  result.out_of_memory = has(flags, 1);
  result.moved_directory = has(flags, 2);
  result.wrote_stdout = has(flags, 3);
  result.wrote_stderr = has(flags, 4);
  result.cache_failed = has(flags, 5);
  result.damaged_input = take_hash<Key>(reader);
  result.cause = take_text(reader);
  result.host = take_text(reader);
  result.signature = take_text(reader);
  result.digest = take_hash<Digest>(reader);
  result.directory = take_hash<Digest>(reader);
  result.started_ns = reader.take<std::int64_t>();
  result.duration_ns = reader.take<std::int64_t>();
  const std::size_t count = reader.read_count(8 + 16 + 8 + 1);  // the shortest one
  result.found.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    JobFound& found = result.found.emplace_back();
    found.path = take_text(reader);
    found.digest = take_hash<Digest>(reader);
    found.fingerprint = take_text(reader);
    found.certain = reader.take<std::uint8_t>() != 0;
  }
  result.value = take_value(reader);
  return result;
}

void encode_hello(const Hello& hello, Writer& writer) {
  writer.put(hello.protocol);
  writer.write_text(hello.build);
  writer.write_text(hello.host);
  writer.put(hello.process);
  writer.write_text(hello.kernel);
}

Hello decode_hello(Reader& reader) {
  Hello hello;
  hello.protocol = reader.take<std::uint32_t>();
  hello.build = take_text(reader);
  hello.host = take_text(reader);
  hello.process = reader.take<std::uint64_t>();
  hello.kernel = take_text(reader);
  return hello;
}

void encode_welcome(const Welcome& welcome, Writer& writer) {
  writer.put(welcome.protocol);
  writer.write_text(welcome.root);
  writer.write_text(welcome.build);
  writer.write_text(welcome.directory);
  writer.write_text(welcome.alive);
  writer.put(flag(welcome.hold_after_failure, 0));
}

Welcome decode_welcome(Reader& reader) {
  Welcome welcome;
  welcome.protocol = reader.take<std::uint32_t>();
  welcome.root = take_text(reader);
  welcome.build = take_text(reader);
  welcome.directory = take_text(reader);
  welcome.alive = take_text(reader);
  welcome.hold_after_failure = has(reader.take<std::uint8_t>(), 0);
  return welcome;
}

void encode_progress(const JobProgress& progress, Writer& writer) {
  writer.put(progress.number);
  writer.put(progress.fraction);
  writer.write_text(progress.text);
}

JobProgress decode_progress(Reader& reader) {
  JobProgress progress;
  progress.number = reader.take<std::uint64_t>();
  progress.fraction = reader.take<double>();
  progress.text = take_text(reader);
  return progress;
}

void append_message(MessageKind kind, const Writer& body, std::vector<std::byte>& out) {
  if (!STOOK_MUTANT("message-cap") && body.size() > kMostMessage) {
    throw CacheError("a message of " + std::to_string(body.size()) +
                     " bytes to or from a worker is too long: pass large values as results of "
                     "tasks, not as arguments");
  }
  const auto length = static_cast<std::uint32_t>(body.size());
  const std::size_t at = out.size();
  out.resize(at + kMessageHead + length);
  std::memcpy(out.data() + at, &length, sizeof length);
  out[at + sizeof length] = static_cast<std::byte>(kind);
  std::byte* to = out.data() + at + kMessageHead;
  for (const auto& piece : body.pieces()) {
    if (!piece.empty()) std::memcpy(to, piece.data(), piece.size());
    to += piece.size();
  }
}

std::span<std::byte> MessageBuffer::prepare(std::size_t size) {
  if (taken_ == filled_) {
    taken_ = filled_ = 0;
  } else if (taken_ > bytes_.size() / 2) {
    std::copy(bytes_.begin() + static_cast<std::ptrdiff_t>(taken_),
              bytes_.begin() + static_cast<std::ptrdiff_t>(filled_), bytes_.begin());
    filled_ -= taken_;
    taken_ = 0;
  }
  if (bytes_.size() < filled_ + size) bytes_.resize(std::max(filled_ + size, bytes_.size() * 2));
  return std::span(bytes_).subspan(filled_);
}

bool MessageBuffer::next(Message& message) {
  if (filled_ - taken_ < kMessageHead) return false;
  std::uint32_t length = 0;
  std::memcpy(&length, bytes_.data() + taken_, sizeof length);
  const auto kind = static_cast<std::uint8_t>(bytes_[taken_ + sizeof length]);
  if (!STOOK_MUTANT("message-head") &&
      (length > kMostMessage || kind < 1 || kind > static_cast<std::uint8_t>(MessageKind::check))) {
    Reader::throw_malformed("a message that is none");
  }
  if (filled_ - taken_ < kMessageHead + length) return false;
  message.kind = static_cast<MessageKind>(kind);
  message.body = std::span(bytes_).subspan(taken_ + kMessageHead, length);
  taken_ += kMessageHead + length;
  return true;
}

}  // namespace stook::detail
