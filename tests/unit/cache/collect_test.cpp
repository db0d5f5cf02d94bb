// collect() beside those who come, write and go while it works.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <future>
#include <thread>

#include "cache/maintain.h"
#include "cache/objects.h"
#include "cache/shared_state.h"
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

// --- Objects ---------------------------------------------------------------------------------

const std::string kLarge(2 << 20, 'L');

// One object that no record needs.
void leave_an_object(TestStore& store) {
  store.publish("large", kLarge);
  store->flush();
  store->clear(key_of("large"));
}

bool is_object(const std::string& path) { return path.find("/objects/") != std::string::npos; }

bool may_come(const fs::path& cache) {
  const Fd claims = os_open(cache / ".claims", O_RDWR);
  return os_try_lock(claims.get(), kSessionByte, LockMode::shared);
}

// He would make, under the same name, what is being removed.
TEST(Collect, NobodyComesWhileObjectsAreRemoved) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  leave_an_object(store);
  std::unique_ptr<TestStore> other;
  {
    const AtCalls at([&](const std::string& call, const std::string& path) {
      if (call != "unlink" || !is_object(path) || !may_come(dir.path())) return;
      other = std::make_unique<TestStore>(dir.path());
      other->publish("large", kLarge);
      other->store->sync();
    });
    EXPECT_EQ(collect(*store.store).objects_removed, 1u);
  }
  EXPECT_EQ(other, nullptr);
  if (other) { EXPECT_TRUE(other->value("large") == kLarge) << other->why; }
  EXPECT_TRUE(may_come(dir.path()));
}

// A worker of his would begin to write an object.
TEST(Collect, NobodyExecutesWhileObjectsAreRemoved) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  leave_an_object(store);
  std::atomic<bool> claimed{false}, before_removal{false};
  std::thread executes;
  {
    const AtCalls at([&](const std::string& call, const std::string& path) {
      if (call != "unlink" || !is_object(path)) return;
      executes = std::thread([&] {
        Entry entry;
        EXPECT_EQ(store->claim(key_of("made"), entry), Claim::acquired);
        claimed = true;
      });
      const auto enough = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
      while (!claimed && std::chrono::steady_clock::now() < enough) std::this_thread::yield();
      before_removal = claimed.load();
    });
    EXPECT_EQ(collect(*store.store).objects_removed, 1u);
  }
  executes.join();
  EXPECT_FALSE(before_removal);
}

TEST(Collect, ObjectsOfOneWhoCameAndWentStay) {
  const TemporaryDirectory dir;
  {
    TestStore store(dir.path());
    leave_an_object(store);
    const AtCalls at([&, first = true](const std::string&, const std::string& path) mutable {
      if (!path.ends_with("0001.pack") || !std::exchange(first, false)) return;
      Another other(dir.path(), {[](TestStore& comes) {
                      comes.publish("large", kLarge);
                      comes->sync();
                    }});
      other.last_step();
    });
    EXPECT_EQ(collect(*store.store).objects_removed, 0u);
  }
  TestStore store(dir.path());
  EXPECT_TRUE(store.value("large") == kLarge) << store.why;
}

TEST(Collect, ObjectsThatAThreadWritesStay) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  leave_an_object(store);
  {
    const AtCalls at([&](const std::string& call, const std::string& path) {
      if (call != "rename" || !is_object(path)) return;
      std::thread([&] { EXPECT_EQ(collect(*store.store).objects_removed, 0u); }).join();
    });
    store.publish("large", kLarge);
  }
  EXPECT_TRUE(store.value("large") == kLarge) << store.why;
  store->clear(key_of("large"));
  EXPECT_EQ(collect(*store.store).objects_removed, 1u);
}

// It has none of the cache open: the one whose worker it is holds the claim.
TEST(Collect, ObjectsThatAWorkerWritesStay) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  leave_an_object(store);
  Entry entry = store.entry("made");
  ASSERT_EQ(store->claim(key_of("made"), entry), Claim::acquired);
  const ByteSpan piece = bytes_of(kLarge);
  const StoredObject object = Objects(dir.path() / "objects").write({&piece, 1}, piece.size(), 0);
  EXPECT_EQ(collect(*store.store).objects_removed, 0u);
  const StoredValue stored{kLarge.size(), object.stored_bytes, false, true, object.name, {}};
  Publication publication;
  publication.key = key_of("made");
  publication.id = entry.id;
  publication.class_name = "Task";
  publication.digest = digest_of(kLarge);
  publication.codec = "text";
  publication.stored = &stored;
  store->publish(publication);
  store->sync();
  EXPECT_EQ(collect(*store.store).objects_removed, 1u) << "the one that nobody needs";
  EXPECT_TRUE(store.value("made") == kLarge) << store.why;
}

// What was used today goes only where nobody can be relying on it.
TEST(Collect, WhatARunOfThisProcessMayUseIsNotEvicted) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  { TestStore(dir.path()).publish("used", "value"); }
  CollectOptions options;
  options.max_bytes = 0;
  Entry entry = store.entry("executed");
  ASSERT_EQ(store->claim(key_of("executed"), entry), Claim::acquired);
  EXPECT_EQ(collect(*store.store, options).evicted, 0u);
  store->release(key_of("executed"));
  EXPECT_EQ(collect(*store.store, options).evicted, 1u);
}

TEST(Collect, WhoWaitsComesInWhenTheCollectorIsKilled) {
  const TemporaryDirectory dir;
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    TestStore store(dir.path());
    store.publish("kept", "value");
    leave_an_object(store);
    const AtCalls at([&](const std::string& call, const std::string& path) {
      if (call != "unlink" || !is_object(path)) return;
      if (write(sockets[1], "", 1) != 1) _exit(1);
      for (;;) pause();
    });
    collect(*store.store);
    _exit(0);
  }
  close(sockets[1]);
  char told = 1;
  ASSERT_EQ(read(sockets[0], &told, 1), 1);
  EXPECT_FALSE(may_come(dir.path()));
  std::thread comes([&] {
    TestStore store(dir.path());
    EXPECT_EQ(store.value("kept"), "value") << store.why;
    store.publish("new", "value");
  });
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  comes.join();
  close(sockets[0]);
  TestStore store(dir.path());
  EXPECT_EQ(store.value("new"), "value") << store.why;
  EXPECT_TRUE(verify(*store.store).good());
}

// What was doubted when its value went is no ground for what is published after that.
TEST(Evicted, DoubtOutlivesTheValue) {
  const TemporaryDirectory dir;
  {
    TestStore store(dir.path());
    store.publish("input", "value");
    store.publish("up", "value", {store.seen("input")});
  }
  {
    TestStore store(dir.path());
    const UpstreamSeen up = store.seen("up");  // as a run does that was planned before the clear
    (void)store->clear(key_of("input"));
    ASSERT_EQ(store.state("up"), RecordState::suspect);
    CollectOptions all;
    all.max_bytes = 0;
    EXPECT_GT(collect(*store.store, all).evicted, 0u);
    ASSERT_EQ(store.state("up"), RecordState::missing);
    store.publish("down", "value", {up});
    store->flush();
    EXPECT_EQ(store.state("down"), RecordState::suspect);
  }
  EXPECT_EQ(TestStore(dir.path()).state("down"), RecordState::suspect);
  std::filesystem::remove(dir.path() / "index.sqlite");
  EXPECT_EQ(TestStore(dir.path()).state("down"), RecordState::suspect);
}

// Published by another thread when the rows have been read and the packs have not.
TEST(Collect, ObjectsOfWhatCameBetweenRowsAndPacksStay) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  store.publish("old", "value");
  store->flush();
  const std::string large(3 << 20, 'x');
  {
    const AtCalls at([&, first = true](const std::string& call, const std::string& path) mutable {
      if (call != "lstat" || !path.ends_with(".pack") || !std::exchange(first, false)) return;
      std::thread([&] { store->make_readable(store.publish("large", large)); }).join();
    });
    (void)collect(*store.store);
  }
  EXPECT_TRUE(store.value("large") == large) << store.why;
}

}  // namespace
}  // namespace stook::detail
