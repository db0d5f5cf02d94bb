// Any bytes as what a worker, or a file of the spool, says: refused, or messages that encode to the
// same bytes. They come in pieces, as from a socket.
#include <cstring>
#include <vector>

#include "src/job.h"
#include "tests/fuzz/fuzz.h"

#include <stook/errors.hpp>

using namespace stook::detail;

namespace {

template <class T>
void look(std::span<const std::byte> body, T (*decode)(stook::Reader&),
          void (*encode)(const T&, stook::Writer&)) {
  stook::Reader reader(body);
  const T value = decode(reader);
  stook::Writer writer;
  encode(value, writer);
  std::vector<std::byte> first;
  append_message(MessageKind::job, writer, first);
  stook::Reader again(std::span<const std::byte>(first).subspan(first.size() - writer.size()));
  const T copy = decode(again);
  stook::Writer second_writer;
  encode(copy, second_writer);
  std::vector<std::byte> second;
  append_message(MessageKind::job, second_writer, second);
  stook::fuzz::require(first == second, "decoding is the inverse of encoding");
}

void look(const MessageBuffer::Message& message) {
  switch (message.kind) {
    case MessageKind::hello: return look<Hello>(message.body, decode_hello, encode_hello);
    case MessageKind::welcome: return look<Welcome>(message.body, decode_welcome, encode_welcome);
    case MessageKind::job: return look<Job>(message.body, decode_job, encode_job);
    case MessageKind::result: return look<JobResult>(message.body, decode_result, encode_result);
    case MessageKind::progress:
      return look<JobProgress>(message.body, decode_progress, encode_progress);
    default: return;
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // The first byte says how large the pieces are.
  const std::size_t piece = std::size_t{1} + data[0];
  auto rest = stook::fuzz::bytes(data + 1, size - 1);
  MessageBuffer buffer;
  try {
    while (!rest.empty()) {
      const std::size_t count = std::min(piece, rest.size());
      std::memcpy(buffer.prepare(count).data(), rest.data(), count);
      buffer.commit(count);
      rest = rest.subspan(count);
      for (MessageBuffer::Message message; buffer.next(message);) {
        try {
          look(message);
        } catch (const stook::Error&) {}  // refused; the next one may be good
      }
    }
  } catch (const stook::Error&) {}
  return 0;
}
