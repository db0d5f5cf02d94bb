// collect() beside those who come, write and go while it works.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "cache/maintain.h"
#include "tests/unit/cache/calls.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

// It has created its pack, and nobody can know yet whose that is.
TEST(Collect, APackThatIsJustBegunIsLeftAlone) {
  const TemporaryDirectory dir;
  { TestStore(dir.path()).publish("old", "value"); }
  {
    TestStore collects(dir.path()), writes(dir.path());
    ASSERT_EQ(writes.state("none"), RecordState::missing);
    std::promise<void> created, looked_at, written;
    std::thread writer([&] {
      {
        const AtCalls at([&, first = true](const std::string& call, const std::string&) mutable {
          if (call != "fsync" || !std::exchange(first, false)) return;
          created.set_value();
          looked_at.get_future().wait();
        });
        writes.publish("new", "value");
      }
      writes->make_readable(writes.entry("new"));
      written.set_value();
    });
    created.get_future().wait();
    {
      const AtCalls at([&, first = true](const std::string&, const std::string& path) mutable {
        if (!path.ends_with("0001.pack") || !std::exchange(first, false)) return;
        looked_at.set_value();
        written.get_future().wait();
      });
      EXPECT_EQ(collect(*collects.store).packs_rewritten, 0u);
    }
    writer.join();
    EXPECT_EQ(writes.state("new"), RecordState::fresh);
    writes.publish("later", "value");
  }
  TestStore store(dir.path());
  EXPECT_EQ(store.value("new"), "value") << store.why;
  EXPECT_EQ(store.value("later"), "value") << store.why;
}

TEST(Collect, APackThatGrowsIsLeftAlone) {
  const TemporaryDirectory dir;
  {
    TestStore collects(dir.path()), writes(dir.path());
    for (int i = 0; i < 3; ++i) writes.publish("key", "value " + std::to_string(i));
    writes->flush();
    EXPECT_EQ(collect(*collects.store).packs_rewritten, 0u);
    writes.publish("later", "value");
  }
  TestStore store(dir.path());
  EXPECT_EQ(store.value("key"), "value 2") << store.why;
  EXPECT_EQ(store.value("later"), "value") << store.why;
}

// Another process, which does things one after the other when told, and then dies.
class Another {
 public:
  Another(const fs::path& cache, const std::vector<std::function<void(TestStore&)>>& steps) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets_), 0);
    pid_ = fork();
    if (pid_ != 0) return;
    TestStore store(cache);
    char told = 0;
    for (const auto& step : steps) {
      if (read(sockets_[1], &told, 1) != 1) _exit(1);
      step(store);
      if (write(sockets_[1], &told, 1) != 1) _exit(1);
    }
    _exit(0);  // closing nothing
  }
  ~Another() {
    int status = 0;
    if (pid_ != 0) waitpid(pid_, &status, 0);
    for (const int socket : sockets_) close(socket);
  }
  Another(const Another&) = delete;
  Another& operator=(const Another&) = delete;

  void step() {
    char told = 0;
    EXPECT_EQ(write(sockets_[0], &told, 1), 1);
    EXPECT_EQ(read(sockets_[0], &told, 1), 1);
  }
  void last_step() {
    step();
    int status = 0;
    EXPECT_GT(waitpid(std::exchange(pid_, 0), &status, 0), 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }

 private:
  int sockets_[2] = {-1, -1};
  pid_t pid_ = 0;
};

// No index names its last record yet, and nobody will write to its pack again.
TEST(Collect, WhatOneWhoHasJustDiedHasWrittenStays) {
  const TemporaryDirectory dir;
  {
    TestStore store(dir.path());
    store.publish("old", "value");
    store->flush();
    const auto write = [](const char* name) {
      return [name](TestStore& other) { other->make_readable(other.publish(name, "value")); };
    };
    Another other(dir.path(), {write("first"), write("new")});
    other.step();
    const AtCalls at([&, first = true](const std::string&, const std::string& path) mutable {
      if (path.ends_with("0001.pack") && std::exchange(first, false)) other.last_step();
    });
    EXPECT_EQ(collect(*store.store).packs_rewritten, 0u);
  }
  TestStore store(dir.path());
  EXPECT_EQ(store.value("first"), "value") << store.why;
  EXPECT_EQ(store.value("new"), "value") << store.why;
}

}  // namespace
}  // namespace stook::detail
