// Jobs, results and messages: what is refused whatever sent it.
#include "src/job.h"

#include <sys/mman.h>

#include <stook/errors.hpp>

#include <gtest/gtest.h>

namespace stook::detail {
namespace {

std::vector<std::byte> bytes_of(const Writer& writer) {
  std::vector<std::byte> bytes;
  for (const auto& piece : writer.pieces()) bytes.insert(bytes.end(), piece.begin(), piece.end());
  return bytes;
}

JobResult decoded_result(const JobResult& result) {
  Writer writer;
  encode_result(result, writer);
  const auto bytes = bytes_of(writer);
  Reader reader(bytes);
  return decode_result(reader);
}

TEST(Jobs, AValueIsAsLongAsItSays) {
  JobResult result;
  result.value.bytes.resize(3);
  result.value.stored_bytes = 3;
  EXPECT_EQ(decoded_result(result).value.bytes.size(), 3u);
  result.value.stored_bytes = 4;
  EXPECT_THROW((void)decoded_result(result), CacheError);
}

TEST(Jobs, AnInputIsAtAKnownPlace) {
  Job job;
  job.inputs.resize(1);
  job.inputs[0].place = static_cast<JobInput::Place>(3);
  Writer writer;
  encode_job(job, writer);
  const auto bytes = bytes_of(writer);
  Reader reader(bytes);
  EXPECT_THROW((void)decode_job(reader), CacheError);
}

MessageBuffer buffer_of(std::uint32_t length, std::uint8_t kind) {
  MessageBuffer buffer;
  const auto room = buffer.prepare(kMessageHead);
  std::memcpy(room.data(), &length, sizeof length);
  room[sizeof length] = static_cast<std::byte>(kind);
  buffer.commit(kMessageHead);
  return buffer;
}

TEST(Jobs, AMessageHasAKnownKindAndALength) {
  MessageBuffer::Message message;
  EXPECT_TRUE(buffer_of(0, 7).next(message));
  EXPECT_FALSE(buffer_of(kMostMessage, 7).next(message)) << "the rest may come";
  MessageBuffer too_long = buffer_of(kMostMessage + 1, 7);
  EXPECT_THROW((void)too_long.next(message), CacheError);
  for (const std::uint8_t kind : {0, 13, 255}) {
    MessageBuffer unknown = buffer_of(0, kind);
    EXPECT_THROW((void)unknown.next(message), CacheError) << int{kind};
  }
}

TEST(Jobs, AMessageThatIsTooLongIsNotSent) {
  const std::size_t size = std::size_t{kMostMessage} + 1;
  void* const zeros =
      mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(zeros, MAP_FAILED);
  Writer writer;
  writer.write_array(static_cast<const std::byte*>(zeros), size);
  std::vector<std::byte> out;
  EXPECT_THROW(append_message(MessageKind::job, writer, out), CacheError);
  munmap(zeros, size);
}

}  // namespace
}  // namespace stook::detail
