// A job and its result as files: begun once, whole or not at all, of this version.
#include "runtime/executors/spool.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <optional>

#include "cache/execution_lock.h"
#include "runtime/file_job.h"
#include "src/build_id.h"
#include "tests/support/temp_cache.h"

namespace stook::detail {
namespace {

class SpoolTest : public testing::Test {
 protected:
  void write_job(const Welcome& welcome) const {
    Writer body;
    encode_job(Job{}, body);
    std::vector<std::byte> message;
    append_message(MessageKind::job, body, message);
    files.write_job(welcome, message);
  }
  [[nodiscard]] std::string read(const char* name) const {
    std::ifstream in(directory / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const char* name, const std::string& bytes) const {
    std::ofstream(directory / name, std::ios::binary) << bytes;
  }
  // The result that the task left, with a cause that is told.
  void execute(const std::string& cause) const {
    write_job({});
    ASSERT_TRUE(files.take());
    JobResult result;
    result.number = 5;
    result.cause = cause;
    files.write_result(result);
  }

  test::TempDirectory directory;
  const SpoolFiles files{directory / "one"};
};

TEST_F(SpoolTest, AJobIsBegunOnce) {
  write_job({});
  EXPECT_TRUE(files.take());
  EXPECT_FALSE(files.take());
}

TEST_F(SpoolTest, AJobOfAnotherVersionIsRefused) {
  Welcome welcome;
  welcome.protocol = kProtocol + 1;
  write_job(welcome);
  const auto order = files.take();
  ASSERT_FALSE(order);
  EXPECT_NE(order.reason().find("version"), std::string::npos) << order.reason();
}

TEST_F(SpoolTest, EveryFlippedByteOfAJobIsSeenOrOfNoMatter) {
  write_job({});
  const std::string good = read("one.job");
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    write("one.job", bad);
    const auto order = files.take();
    Writer sent, got;
    encode_job(Job{}, sent);
    if (order) encode_job((*order)->job, got);
    if (order) { EXPECT_EQ(digest_of(sent), digest_of(got)) << at; }
  }
}

TEST_F(SpoolTest, EveryFlippedByteOfAResultIsSeen) {
  execute("a cause");
  const std::string good = read("one.result");
  const std::size_t cause = good.find("a cause");
  ASSERT_NE(cause, std::string::npos);
  for (std::size_t at = cause - 54; at < good.size(); ++at) {  // from its head
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    write("one.result", bad);
    const auto result = files.read_result(5);
    EXPECT_TRUE(result && !*result) << at;
  }
}

TEST_F(SpoolTest, AResultIsOfItsOwnJob) {
  execute("a cause");
  EXPECT_TRUE(*files.read_result(5));
  EXPECT_FALSE(*files.read_result(6));
}

TEST_F(SpoolTest, AnotherBuildExecutesNothing) {
  Welcome welcome;
  welcome.build = "build of last week";
  write_job(welcome);
  const pid_t worker = fork();
  if (worker == 0) _exit(execute_file(files.job()));
  int status = 0;
  waitpid(worker, &status, 0);
  const auto result = files.read_result(0);
  ASSERT_TRUE(result && *result);
  EXPECT_TRUE((**result)->failed);
  EXPECT_NE((**result)->cause.find("build of last week"), std::string::npos) << (**result)->cause;
}

// Who has begun it and comes to execute it late, when it has been given up, does not.
TEST_F(SpoolTest, WhatWasGivenUpMeanwhileIsNotExecuted) {
  Welcome welcome;
  welcome.root = directory.path().string();
  welcome.build = build_id();
  write_job(welcome);
  ASSERT_TRUE(os_open(directory.path() / ".claims", O_CREAT | O_RDWR));
  std::optional<ExecutionLock> lock(directory.path());
  lock->lock(Key{}, std::chrono::milliseconds(0));
  const pid_t worker = fork();
  if (worker == 0) {
    lock.reset();
    ::setpgid(0, 0);
    _exit(execute_file(files.job()));
  }
  while (files.begun_on().empty()) ::usleep(1000);
  EXPECT_EQ(files.withdraw().kernel, os_kernel_name());
  lock->unlock();
  int status = 0;
  waitpid(worker, &status, 0);
  const bool withdrawn = WIFEXITED(status) && WEXITSTATUS(status) == 0;  // before it was read
  EXPECT_TRUE(withdrawn || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) << status;
}

// By this workers see that nobody waits for them any more.
TEST_F(SpoolTest, TheDriverHoldsALockWhileItLives) {
  std::filesystem::path path;
  Fd seen;
  {
    AliveFile alive(directory.path());
    path = alive.path();
    seen = os_open(path, O_RDWR);
    ASSERT_TRUE(seen);
    EXPECT_TRUE(os_is_locked(seen.get(), 0));
  }
  EXPECT_FALSE(os_is_locked(seen.get(), 0));
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace stook::detail
