// The pool alone: channels that this test holds in its hand, no process and no cluster.
#include "runtime/executors/worker_pool.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "runtime/executors/backoff.h"

#include <stook/codec_base.hpp>

namespace stook::detail {
namespace {

using namespace std::chrono_literals;

// A worker that says and does what the test tells it.
class HeldChannel final : public WorkerChannel {
 public:
  explicit HeldChannel(std::vector<HeldChannel*>& all) : all_(all) { all_.push_back(this); }
  ~HeldChannel() override { std::erase(all_, this); }

  void start(Heard heard, Ended ended) override {
    heard_ = std::move(heard);
    ended_ = std::move(ended);
  }
  void write(const std::vector<std::byte>& bytes) override {
    const auto room = in_.prepare(bytes.size());
    std::copy(bytes.begin(), bytes.end(), room.begin());
    in_.commit(bytes.size());
    for (MessageBuffer::Message message; in_.next(message);) {
      if (message.kind == MessageKind::job) ++jobs;
    }
  }
  void close() override { end({"closed", Blame::infrastructure}); }
  void kill() override {
    if (!lingers) end({"killed", Blame::infrastructure});
  }
  [[nodiscard]] std::uint64_t begun() const override { return begun_; }
  [[nodiscard]] const std::filesystem::path& stem() const override { return stem_; }
  [[nodiscard]] double hello_within() const override { return 0; }

  void say_hello() {
    Writer body;
    encode_hello({}, body);
    say(MessageKind::hello, body);
  }
  void begin(std::uint64_t number) { begun_ = number; }
  void say_result(std::uint64_t number) {
    JobResult result;
    result.number = number;
    Writer body;
    encode_result(result, body);
    say(MessageKind::result, body);
  }
  void end(const WorkerEnd& end) {
    if (ended_) std::exchange(ended_, {})(end);
  }

  int jobs = 0;          // that it was given
  bool lingers = false;  // after it was killed

 private:
  void say(MessageKind kind, const Writer& body) {
    std::vector<std::byte> bytes;
    append_message(kind, body, bytes);
    heard_(bytes);
  }
  std::vector<HeldChannel*>& all_;
  Heard heard_;
  Ended ended_;
  MessageBuffer in_;
  std::uint64_t begun_ = 0;
  const std::filesystem::path stem_ = "/nowhere/worker";
};

class WorkerPoolTest : public testing::Test {
 protected:
  WorkerPoolTest() {
    options.retry_first = options.retry_most = 1ms;
    events.result = [this](JobResult&& result) { results.push_back(result.number); };
    events.lost = [this](const LostJob& job) { lost.push_back(job.cause); };
    events.progress = [](const JobProgress&) {};
    events.idle = [] {};
    events.refused = [this](std::uint64_t, const std::string& why) { refused.push_back(why); };
  }
  ~WorkerPoolTest() override {
    if (!pool) return;
    bool ended = false;
    pool->close([&] { ended = true; });
    context.restart();
    context.run();
    EXPECT_TRUE(ended);
  }
  void start() {
    pool.emplace(
        context,
        [this](std::size_t) {
          ++started;
          return std::make_unique<HeldChannel>(channels);
        },
        options, events);
  }
  void submit(std::uint64_t number) {
    PoolJob job;
    job.number = number;
    append_message(MessageKind::job, Writer(), job.message);
    std::vector<PoolJob> batch;
    batch.push_back(std::move(job));
    pool->submit(std::move(batch), false);
  }
  // A worker, as soon as there is one.
  HeldChannel& worker() {
    context.restart();
    while (channels.empty() && context.run_one_for(20s) > 0) {}
    return *channels.front();
  }
  void end(HeldChannel& channel, const WorkerEnd& how) {
    channel.end(how);
    context.restart();
    context.poll();
  }

  boost::asio::io_context context;
  PoolOptions options;
  JobEvents events;
  std::vector<HeldChannel*> channels;
  int started = 0;
  std::vector<std::uint64_t> results;
  std::vector<std::string> lost;
  std::vector<std::string> refused;
  std::optional<WorkerPool> pool;
};

TEST_F(WorkerPoolTest, WhatTheInfrastructureDoesIsNeverCountedAgainstTheTask) {
  start();
  submit(1);
  for (int i = 0; i < 20; ++i) {
    HeldChannel& channel = worker();
    channel.say_hello();
    ASSERT_EQ(channel.jobs, 1);
    channel.begin(1);
    end(channel, {"preempted", Blame::infrastructure});
  }
  HeldChannel& channel = worker();
  channel.say_hello();
  channel.say_result(1);
  EXPECT_EQ(results, std::vector<std::uint64_t>{1});
  EXPECT_TRUE(lost.empty());
  EXPECT_TRUE(refused.empty());
}

TEST_F(WorkerPoolTest, ATaskThatThreeWorkersEndWithIsLost) {
  start();
  submit(1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(lost.empty());
    HeldChannel& channel = worker();
    channel.say_hello();
    channel.begin(1);
    end(channel, {"killed by signal 9", Blame::unclear});
  }
  ASSERT_EQ(lost.size(), 1U);
  EXPECT_NE(lost[0].find("3 workers in a row, the last one: killed by signal 9"), std::string::npos)
      << lost[0];
}

TEST_F(WorkerPoolTest, ATaskIsLostAtOnceByWhatIsItsOwnDoing) {
  start();
  submit(1);
  HeldChannel& channel = worker();
  channel.say_hello();
  channel.begin(1);
  end(channel, {"killed by signal 11", Blame::task});
  EXPECT_EQ(lost, std::vector<std::string>{"killed by signal 11"});
}

TEST_F(WorkerPoolTest, AJobThatHadNotBegunIsDoneBySomebodyElse) {
  start();
  submit(1);
  HeldChannel& channel = worker();
  channel.say_hello();
  end(channel, {"killed by signal 11", Blame::task});
  HeldChannel& other = worker();
  other.say_hello();
  other.say_result(1);
  EXPECT_EQ(results, std::vector<std::uint64_t>{1});
}

TEST_F(WorkerPoolTest, TheRunEndsWhereNoWorkerComesToLife) {
  options.most_silent = 4;
  start();
  submit(1);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(refused.empty()) << i;
    end(worker(), {"no such node", Blame::infrastructure});
  }
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_NE(refused[0].find("4 workers in a row"), std::string::npos) << refused[0];
  EXPECT_NE(refused[0].find("no such node"), std::string::npos) << refused[0];
  context.restart();
  context.poll();
  EXPECT_EQ(started, 4);
}

TEST_F(WorkerPoolTest, ARefusalEndsTheRunUnlessOthersWork) {
  options.workers = 2;
  start();
  submit(1);
  submit(2);
  ASSERT_EQ(channels.size(), 2U);
  channels[0]->say_hello();
  end(*channels[1], {"too many jobs", Blame::infrastructure, true});
  EXPECT_TRUE(refused.empty());
  channels[0]->begin(1);
  end(*channels[0], {"preempted", Blame::infrastructure});
  (void)worker();
  ASSERT_EQ(channels.size(), 2U);
  end(*channels[1], {"no such partition", Blame::infrastructure, true});
  EXPECT_TRUE(refused.empty()) << "the other one may wait in a queue";
  end(*channels[0], {"no such partition", Blame::infrastructure, true});
  ASSERT_EQ(refused.size(), 2U);
  EXPECT_NE(refused[0].find("no such partition"), std::string::npos) << refused[0];
}

TEST_F(WorkerPoolTest, AWorkerThatSpeaksBringsNewPatience) {
  options.most_silent = 2;
  start();
  submit(1);
  for (int i = 0; i < 5; ++i) {
    end(worker(), {"no such node", Blame::infrastructure});
    HeldChannel& channel = worker();
    channel.say_hello();
    end(channel, {"preempted", Blame::infrastructure});
  }
  EXPECT_TRUE(refused.empty());
}

// What others execute is theirs until it has ended; who waits is for them.
TEST_F(WorkerPoolTest, WhereAWorkerCannotBeStartedTheOthersGoOn) {
  options.workers = 2;
  start();
  submit(1);
  submit(2);
  ASSERT_EQ(channels.size(), 2U);
  HeldChannel& good = *channels[0];
  good.say_hello();
  good.begin(1);
  for (int i = 0; i < 4; ++i) {
    while (channels.size() < 2) ASSERT_GT(context.run_one_for(20s), 0U);
    end(*channels[1], {"ended with exit status 3", Blame::task});
  }
  EXPECT_TRUE(refused.empty());
  good.say_result(1);
  good.say_result(2);
  EXPECT_EQ(results, (std::vector<std::uint64_t>{1, 2}));
}

// One that was killed, and has not ended, has its job still.
TEST_F(WorkerPoolTest, WhatAKilledWorkerExecutesIsItsUntilItHasEnded) {
  options.workers = 2;
  start();
  submit(1);
  submit(2);
  HeldChannel& killed = *channels[0];
  killed.say_hello();
  killed.begin(1);
  killed.lingers = true;
  killed.say_result(7);  // which it does not have
  end(*channels[1], {"too many jobs", Blame::infrastructure, true});
  EXPECT_EQ(refused.size(), 1U);
  EXPECT_TRUE(lost.empty());
  end(killed, {"killed", Blame::infrastructure});
  EXPECT_EQ(lost.size(), 1U);
  EXPECT_EQ(refused.size(), 1U);
}

// Workers that end together are one failure: the others may still be where it is better.
TEST_F(WorkerPoolTest, WorkersThatEndTogetherCountOnce) {
  options.most_silent = 2;
  options.workers = 8;
  options.retry_first = options.retry_most = 1h;
  start();
  for (std::uint64_t i = 1; i <= 8; ++i) submit(i);
  ASSERT_EQ(channels.size(), 8U);
  while (!channels.empty()) end(*channels.front(), {"no such node", Blame::infrastructure});
  EXPECT_TRUE(refused.empty());
  EXPECT_EQ(started, 8);  // the next one waits an hour
}

TEST(Backoff, DoublesUpToABound) {
  Backoff backoff(250ms, 1500ms);
  EXPECT_EQ(backoff.failed(), 250ms);
  EXPECT_EQ(backoff.failed(), 500ms);
  EXPECT_EQ(backoff.failed(), 1000ms);
  EXPECT_EQ(backoff.failed(), 1500ms);
  EXPECT_EQ(backoff.failed(), 1500ms);
  backoff.succeeded();
  EXPECT_EQ(backoff.failed(), 250ms);
}

}  // namespace
}  // namespace stook::detail
