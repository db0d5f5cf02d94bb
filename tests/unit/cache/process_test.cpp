// Several processes on one cache. The others are this program again, with a hidden argument.
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "cache/objects.h"
#include "tests/unit/cache/calls.h"
#include "tests/unit/cache/support.h"

extern char** environ;

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

constexpr int kKeys = 1000;
std::string name_of(int i) { return "key" + std::to_string(i); }

// --- What the others do ------------------------------------------------------------------------

// Executes each of the keys that nobody else does; says which.
int execute_keys(const fs::path& dir) {
  TestStore store(dir);
  std::ofstream log(dir.parent_path() / ("executed-" + std::to_string(getpid())));
  std::vector<int> left;
  for (int i = 0; i < kKeys; ++i) left.push_back(i);
  std::uint64_t released = 0;
  while (!left.empty()) {
    std::vector<int> held;
    for (const int i : left) {
      const Key key = key_of(name_of(i));
      Entry entry = store.entry(name_of(i));
      if (entry.state == RecordState::fresh) continue;
      switch (store->claim(key, entry)) {
        case Claim::acquired:
          store.publish(name_of(i), "value of " + name_of(i));
          log << i << '\n';
          break;
        case Claim::published: break;
        case Claim::orphaned:
        case Claim::held: held.push_back(i); break;
      }
    }
    left = held;
    if (!left.empty()) {
      released = store->wait_for_release(released, std::chrono::milliseconds(100));
    }
  }
  return 0;
}

// Claims, publishes a little, says so and waits to be killed.
int claim_and_hang(const fs::path& dir) {
  TestStore store(dir);
  store.publish("unflushed", "still there");
  Entry entry;
  for (int i = 0; i < 100; ++i) {
    if (store->claim(key_of(name_of(i)), entry) != Claim::acquired) return 1;
  }
  const std::uint64_t id = store->id_of(key_of("exposed"));
  store->expose_id(key_of("exposed"), id, "Task");  // writes all that came before as well
  std::ofstream(dir.parent_path() / "id") << id;
  fs::rename(dir.parent_path() / "id", dir.parent_path() / "ready");
  for (;;) pause();
}

// Is killed when the record is in the pack, and before that is announced.
int write_and_die(const fs::path& dir) {
  TestStore store(dir);
  Entry entry = store.entry("written");
  if (store->claim(key_of("written"), entry) != Claim::acquired) return 1;
  last_write = true;
  store.publish("written", "whole");
  for (;;) pause();
}

int be_another(const std::string& what, const fs::path& dir) {
  if (what == "write") return write_and_die(dir);
  return what == "execute" ? execute_keys(dir) : claim_and_hang(dir);
}

// --- Starting them -----------------------------------------------------------------------------

pid_t start(const char* what, const fs::path& dir) {
  std::string self = fs::read_symlink("/proc/self/exe"), hidden = std::string("--other=") + what;
  std::string where = dir;
  char* arguments[] = {self.data(), hidden.data(), where.data(), nullptr};
  pid_t pid = 0;
  EXPECT_EQ(posix_spawn(&pid, self.c_str(), nullptr, nullptr, arguments, environ), 0);
  return pid;
}

int status_of(pid_t pid) {
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return status;
}

void wait_for_file(const fs::path& path) {
  while (!fs::exists(path)) std::this_thread::yield();
}

// --- Tests -------------------------------------------------------------------------------------

// Whoever takes the claim over would execute the key again, or put its directory back, and the
// record would answer when the packs are read by their sizes.
TEST(Processes, ARecordThatNobodyAnnouncedIsSeenByWhoTakesTheClaimOver) {
  const TemporaryDirectory dir;
  fs::create_directories(dir.path());
  TestStore store(dir.path() / "cache");
  Entry entry = store.entry("written");
  EXPECT_EQ(WTERMSIG(status_of(start("write", dir.path() / "cache"))), SIGKILL);
  EXPECT_EQ(store->claim(key_of("written"), entry), Claim::published);
  EXPECT_EQ(store.value("written"), "whole");
}

TEST(Processes, EachKeyIsExecutedOnce) {
  const TemporaryDirectory dir;
  fs::create_directories(dir.path());
  std::vector<pid_t> pids;
  for (int i = 0; i < 3; ++i) pids.push_back(start("execute", dir.path() / "cache"));
  for (const pid_t pid : pids) EXPECT_EQ(status_of(pid), 0);
  std::map<int, int> times;
  for (const auto& entry : fs::directory_iterator(dir.path())) {
    std::ifstream log(entry.path());
    for (int i; log >> i;) ++times[i];
  }
  EXPECT_EQ(times.size(), static_cast<std::size_t>(kKeys));
  for (const auto& [i, count] : times) EXPECT_EQ(count, 1) << i;
  TestStore store(dir.path() / "cache");
  std::map<std::uint64_t, int> ids;
  for (int i = 0; i < kKeys; ++i) {
    EXPECT_EQ(store.value(name_of(i)), "value of " + name_of(i));
    ++ids[store.entry(name_of(i)).id];
  }
  EXPECT_EQ(ids.size(), static_cast<std::size_t>(kKeys));
  EXPECT_TRUE(store.warnings.empty());
}

TEST(Processes, TheKilledOwnersClaimsAreTakenOver) {
  const TemporaryDirectory dir;
  fs::create_directories(dir.path());
  TestStore store(dir.path() / "cache");
  const pid_t pid = start("hang", dir.path() / "cache");
  wait_for_file(dir.path() / "ready");
  Entry entry;
  EXPECT_EQ(store->claim(key_of(name_of(0)), entry), Claim::held);
  EXPECT_EQ(store.value("unflushed"), "still there") << "its pack's tail is read";
  const std::uint64_t since = store->wait_for_release(0, std::chrono::milliseconds(1));
  kill(pid, SIGKILL);
  EXPECT_TRUE(WIFSIGNALED(status_of(pid)));
  EXPECT_NE(store->wait_for_release(since, std::chrono::seconds(60)), since);
  for (int i = 0; i < 100; ++i) {
    entry = {};
    EXPECT_EQ(store->claim(key_of(name_of(i)), entry), Claim::acquired);
    EXPECT_EQ(store->claim(key_of(name_of(i)), entry), Claim::held);
  }
  std::uint64_t id = 0;
  std::ifstream(dir.path() / "ready") >> id;
  EXPECT_EQ(store->id_of(key_of("exposed")), id);
  store->flush();
  EXPECT_EQ(store.state("unflushed"), RecordState::fresh);
}

TEST(Processes, TheKilledOnesPackIsIndexedByTheNext) {
  const TemporaryDirectory dir;
  fs::create_directories(dir.path());
  const pid_t pid = start("hang", dir.path() / "cache");
  wait_for_file(dir.path() / "ready");
  kill(pid, SIGKILL);
  status_of(pid);
  TestStore store(dir.path() / "cache");
  std::uint64_t id = 0;
  std::ifstream(dir.path() / "ready") >> id;
  EXPECT_EQ(store.value("unflushed"), "still there");
  EXPECT_EQ(store->id_of(key_of("exposed")), id);
  EXPECT_GT(store->id_of(key_of("another")), id);
}

TEST(Processes, ClaimsWithinOneProcessExcludeEachOther) {
  const TemporaryDirectory dir;
  TestStore store(dir.path()), other(dir.path());
  Entry entry;
  EXPECT_EQ(store->claim(key_of("a"), entry), Claim::acquired);
  EXPECT_EQ(store->claim(key_of("a"), entry), Claim::held);
  EXPECT_EQ(other->claim(key_of("a"), entry), Claim::held);
  store->release(key_of("a"));
  EXPECT_EQ(other->claim(key_of("a"), entry), Claim::acquired);
  other->release(key_of("a"));
}

TEST(Processes, ClaimSaysWhatWasPublishedMeanwhile) {
  const TemporaryDirectory dir;
  TestStore store(dir.path()), other(dir.path());
  Entry entry = store.entry("a");
  Entry theirs;
  ASSERT_EQ(other->claim(key_of("a"), theirs), Claim::acquired);
  const std::uint64_t id = other.publish("a", "value").id;
  std::uint64_t since = 0;
  Claim claim = store->claim(key_of("a"), entry);
  while (claim == Claim::held) {
    since = store->wait_for_release(since, std::chrono::seconds(10));
    claim = store->claim(key_of("a"), entry);
  }
  EXPECT_EQ(claim, Claim::published);
  EXPECT_EQ(entry.id, id);
  EXPECT_EQ(store.value("a"), "value");
  // Whoever wants it anew although it is fresh may have it.
  EXPECT_EQ(store->claim(key_of("a"), entry), Claim::acquired);
  store->release(key_of("a"));
}

TEST(Processes, ThreadsPublishTogether) {
  const TemporaryDirectory dir;
  TestStore store(dir.path());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < 4000; i += 4) {
        store.publish(name_of(i), name_of(i), {}, "Class" + std::to_string(t));
        if (i % 500 == 0) store->flush();
        EXPECT_EQ(store.state(name_of(i)), RecordState::fresh);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 4000; ++i) ASSERT_EQ(store.value(name_of(i)), name_of(i));
}

// Writes large values of its own and reads each of them back; the exit status says whether they are
// what they were.
[[noreturn]] void write_large(const fs::path& objects, int who) {
  bool same = getpid() == 1;
  for (int i = 0; i < 50 && same; ++i) {
    const std::string value(2 << 20, static_cast<char>('0' + who * 50 + i));
    const ByteSpan piece = bytes_of(value);
    const Objects files(objects);
    const StoredObject stored = files.write({&piece, 1}, value.size(), 0);
    same = static_cast<bool>(files.read(stored.name, value.size(), value.size(), false));
  }
  _exit(same ? 0 : 1);
}

// In a container every program may have the process number 1.
TEST(Processes, OfTheSameNumberDoNotMixUpTheirLargeResults) {
  const TemporaryDirectory dir;
  fs::create_directories(dir.path());
  std::vector<pid_t> others;
  for (int who = 0; who < 2; ++who) {
    others.push_back(fork());
    if (others.back() != 0) continue;
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) _exit(77);
    const pid_t first = fork();
    if (first == 0) write_large(dir.path(), who);
    int status = 1;
    waitpid(first, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
  }
  bool forbidden = false;
  for (const pid_t other : others) {
    int status = 0;
    ASSERT_EQ(waitpid(other, &status, 0), other);
    forbidden = forbidden || WEXITSTATUS(status) == 77;
    EXPECT_TRUE(forbidden || WEXITSTATUS(status) == 0);
  }
  if (forbidden) GTEST_SKIP() << "no process namespace of one's own may be made here";
}

}  // namespace

int be_another_process(const std::string& what, const std::string& dir) {
  return be_another(what, dir);
}

}  // namespace stook::detail
