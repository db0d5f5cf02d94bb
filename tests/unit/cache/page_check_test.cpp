// The checksums of the index's pages, and the log that a process leaves over when it dies.
#include "cache/page_check.h"

#include <sys/wait.h>

#include <csignal>
#include <fstream>

#include "cache/maintain.h"
#include "src/os.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

void publish_some(const fs::path& path) {
  TestStore store(path);
  for (int i = 0; i < 200; ++i) store.publish("key" + std::to_string(i), "value");
  store->clear(key_of("key7"));
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

TEST(PageCheck, EveryPageHasRoomForItsChecksum) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  const std::string index = read_file(dir.path() / "index.sqlite");
  ASSERT_GT(index.size(), 8u * kPageBytes);
  EXPECT_EQ(index[20], kPageCheckBytes);  // "reserved space at the end of each page"
}

// SQLite reads these without complaint: a state, a digest, an id that is another one.
TEST(PageCheck, ABitOfARowIsNoticedAndTheIndexMadeAnew) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  const std::string good = read_file(dir.path() / "index.sqlite");
  for (std::size_t page = 0; page < good.size(); page += kPageBytes) {
    for (const std::size_t at : {page + 9, page + 2000, page + kPageBytes - 40}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 1);
      write_file(dir.path() / "index.sqlite", bad);
      bool noticed = false;
      {
        TestStore store(dir.path());
        for (int i = 0; i < 200; ++i) {
          const RecordState state = store.state("key" + std::to_string(i));
          EXPECT_TRUE(state == RecordState::missing || (state == RecordState::fresh && i != 7));
        }
        noticed = !store.warnings.empty() || !verify(*store.store).good();
      }
      EXPECT_TRUE(noticed) << at;
      TestStore store(dir.path());
      EXPECT_EQ(store.state("key7"), RecordState::missing);
      EXPECT_EQ(store.state("key8"), RecordState::fresh);
    }
  }
}

// Each is whole by itself. It is noticed when one is read, not only when all are checked.
TEST(PageCheck, PagesThatChangedPlacesAreNoticed) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  const std::string good = read_file(dir.path() / "index.sqlite");
  for (std::size_t page = kPageBytes; page + 2 * kPageBytes <= good.size(); page += kPageBytes) {
    std::string bad = good;
    const auto at = bad.begin() + static_cast<std::ptrdiff_t>(page);
    std::swap_ranges(at, at + kPageBytes, at + kPageBytes);
    write_file(dir.path() / "index.sqlite", bad);
    bool right = true;
    TestStore store(dir.path());
    for (int i = 0; i < 200; ++i) {
      const RecordState state = store.state("key" + std::to_string(i));
      right = right && state == (i == 7 ? RecordState::missing : RecordState::fresh);
    }
    EXPECT_TRUE(right || !store.warnings.empty()) << "page " << page / kPageBytes;
  }
}

// Another cache's index says of this one's keys what is true there.
TEST(PageCheck, TheIndexOfAnotherCacheIsNoticed) {
  const TemporaryDirectory dir, another;
  publish_some(dir.path());
  {
    TestStore store(another.path());
    store.publish("key8", "another value");
    store->clear(key_of("key8"));
  }
  write_file(dir.path() / "index.sqlite", read_file(another.path() / "index.sqlite"));
  TestStore store(dir.path());
  EXPECT_FALSE(store.warnings.empty());
  EXPECT_EQ(store.value("key8"), "value");
  EXPECT_EQ(store.state("key7"), RecordState::missing);
}

// A power failure can leave the size of a file and none of its bytes.
TEST(PageCheck, ACacheWhoseFormatIsZerosOpens) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  write_file(dir.path() / "FORMAT", std::string(40, '\0'));
  TestStore store(dir.path());
  EXPECT_EQ(store.value("key8"), "value");
}

// A process that dies with its index open.
void leave_a_log(const fs::path& path) {
  const pid_t pid = fork();
  if (pid == 0) {
    TestStore store(path);
    store.publish("a", "value of a");
    store->flush();
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(PageCheck, ALeftOverLogIsWholeOrNotUsed) {
  const TemporaryDirectory dir;
  publish_some(dir.path());
  leave_a_log(dir.path());
  const fs::path log = dir.path() / "index.sqlite-wal";
  const std::string good = read_file(log);
  constexpr std::size_t kFrame = 24 + kPageBytes;
  ASSERT_GT(good.size(), 32 + 2 * kFrame);
  EXPECT_TRUE(check_log(log));
  EXPECT_TRUE(check_log(dir.path() / "no such log"));
  for (std::size_t at = 0; at < good.size(); at += at < 200 ? 1 : 97) {
    // What a frame says of its place in the log is only missed in the last one.
    const bool salt_of_the_last = at >= good.size() - kFrame + 8 && at < good.size() - kFrame + 16;
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 16);
    write_file(log, bad);
    EXPECT_EQ(check_log(log), salt_of_the_last) << at;
  }
  write_file(log, good.substr(0, good.size() - 1));
  EXPECT_TRUE(check_log(log)) << "a last frame that is cut short is no damage";
  std::string bad = good;
  bad[40] = static_cast<char>(bad[40] ^ 16);
  write_file(log, bad);
  TestStore store(dir.path());
  EXPECT_FALSE(store.warnings.empty());
  EXPECT_EQ(store.value("a"), "value of a");
  EXPECT_EQ(store.state("key7"), RecordState::missing);
}

}  // namespace
}  // namespace stook::detail
