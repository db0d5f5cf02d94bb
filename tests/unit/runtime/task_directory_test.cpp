// A task's directory and its publication, between processes.
#include <unistd.h>

#include <fstream>

#include "cache/attempt_marker.h"
#include "cache/database.h"
#include "cache/execution_lock.h"
#include "cache/layout.h"
#include "cache/pack_store.h"
#include "cache/page_check.h"
#include "runtime/task_directory.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

Publication publication_of(const Key& key, const Entry& entry, const TaskDirectory& directory) {
  Publication p;
  p.key = key;
  p.id = entry.id;
  p.class_name = "Task";
  p.digest = digest_of("result");
  p.directory = directory.digest();
  p.codec = "text";
  return p;
}

// Somebody looks while what the publication leaves is put right.
class Watched final : public PackStore {
 public:
  using PackStore::PackStore;
  void make_readable(const Entry& entry) override {
    PackStore::make_readable(entry);
    look();
  }
  std::function<void()> look;
};

// Whoever executes the task next moves this content aside, and leaves his own marker.
TEST(TaskDirectory, APublicationIsOverWhenWhatWasMovedAsideIsGone) {
  const TemporaryDirectory dir;
  const Key key = key_of("a");
  Watched store(dir.path(), {});
  TestStore other(dir.path());
  Entry entry;
  ASSERT_EQ(store.claim(key, entry, {}), Claim::acquired);
  TaskDirectory directory(store, key, entry, store.task_path("Task", entry.id));
  std::ofstream(directory.data() / "file") << "content";
  const auto claim_there = [&] {
    Entry there = other.entry("a");
    return other->claim(key, there);
  };
  Claim meanwhile = Claim::acquired;
  store.look = [&] { meanwhile = claim_there(); };
  (void)publish_with(store, publication_of(key, entry, directory), &directory);
  EXPECT_EQ(meanwhile, Claim::held);
  EXPECT_EQ(claim_there(), Claim::acquired);
}

// What processes that died leave to who opens the cache next.
class DeadAttempts : public testing::Test {
 protected:
  // Of a worker: nobody has written down the id.
  std::uint64_t half_made(const std::string& name) {
    return in_another([&](TestStore& store) {
      const Key key = key_of(name);
      Entry entry;
      EXPECT_EQ(store->claim(key, entry), Claim::acquired);
      fill(store, key, entry.id);
      return entry.id;
    });
  }
  // As an execution does that goes no further.
  void fill(TestStore& store, const Key& key, std::uint64_t id) {
    const fs::path path = store->task_path("Task", id);
    leave_marker(dir_.path(), key, path, false);
    fs::create_directories(path / "data");
    std::ofstream(path / "data" / "file") << "half";
    std::ofstream(path / "log") << "said";
  }
  std::uint64_t published(const std::string& name) {
    return in_another([&](TestStore& store) { return publish(store, name); });
  }
  static std::uint64_t publish(TestStore& store, const std::string& name) {
    const Key key = key_of(name);
    Entry entry;
    EXPECT_EQ(store->claim(key, entry), Claim::acquired);
    TaskDirectory directory(*store.store, key, entry, store->task_path("Task", entry.id));
    std::ofstream(directory.data() / "file") << "good";
    (void)publish_with(*store.store, publication_of(key, entry, directory), &directory);
    store->sync();
    return entry.id;
  }
  // Its first page, while others have the index open.
  void overwrite_table(const std::string& table) const {
    const fs::path index = dir_.path() / "index.sqlite";
    std::int64_t page = 0;
    {
      Database database(index, Database::Mode::read);
      const std::string sql = "SELECT rootpage FROM sqlite_schema WHERE name='" + table + "'";
      page = database.query_integer(sql.c_str());
    }
    std::fstream file(index, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp((page - 1) * kPageBytes) << std::string(kPageBytes, 'x') << std::flush;
  }
  // What it says, and it dies.
  std::uint64_t in_another(const std::function<std::uint64_t(TestStore&)>& work) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    in_dying_process([&] {
      TestStore store(dir_.path());
      const std::uint64_t id = work(store);
      _exit(write(ends[1], &id, sizeof id) == sizeof id ? 0 : 1);
    });
    std::uint64_t id = 0;
    EXPECT_EQ(read(ends[0], &id, sizeof id), ssize_t{sizeof id});
    close(ends[0]);
    close(ends[1]);
    return id;
  }
  [[nodiscard]] fs::path place(std::uint64_t id) const {
    return dir_.path() / "tasks" / "Task" / std::to_string(id);
  }
  const TemporaryDirectory dir_;
};

TEST_F(DeadAttempts, LeaveTheirNumberToTheirOwnKey) {
  const std::uint64_t id = half_made("dead");
  fs::create_directory(place(id) / "checkpoint");
  fs::remove(dir_.path() / ".claims");  // where the last one was, as on a network file system
  TestStore store(dir_.path());
  EXPECT_NE(store->id_of(key_of("other")), id);
  restore_directories(*store.store);
  EXPECT_EQ(store.entry("dead").id, id);
  EXPECT_FALSE(fs::exists(place(id) / "data"));
  EXPECT_TRUE(fs::exists(place(id) / "log"));
}

TEST_F(DeadAttempts, AreGoneWhereNobodyWouldGoOnFromThem) {
  const std::uint64_t id = half_made("dead");
  TestStore store(dir_.path());
  restore_directories(*store.store);
  EXPECT_FALSE(fs::exists(place(id)));
  EXPECT_TRUE(markers_left(dir_.path()).empty());
}

// Who was left behind goes on there until he ends.
TEST_F(DeadAttempts, AreLeftAloneWhileSomebodyExecutesThem) {
  const std::uint64_t id = half_made("dead");
  fs::create_directory(place(id) / "checkpoint");
  ExecutionLock left_behind(dir_.path());
  left_behind.lock(key_of("dead"), std::chrono::milliseconds(0));
  TestStore store(dir_.path());
  restore_directories(*store.store);
  EXPECT_TRUE(fs::exists(place(id) / "data" / "file"));
  EXPECT_EQ(read_marker(dir_.path(), key_of("dead")).id, id);
}

// The index was damaged when it began, and was made anew since: with the id of the record.
TEST_F(DeadAttempts, TouchNothingUnderAnotherNumberOfTheirKey) {
  const std::uint64_t id = published("dead"), other = id + 100;
  TestStore store(dir_.path());
  fill(store, key_of("dead"), other);
  restore_directories(*store.store);
  EXPECT_EQ(store.state("dead"), RecordState::fresh);
  EXPECT_TRUE(fs::exists(place(id) / "data" / "file"));
  EXPECT_FALSE(fs::exists(place(other)));
}

TEST_F(DeadAttempts, TouchNothingOfAnotherKey) {
  const std::uint64_t id = published("other");
  TestStore store(dir_.path());
  leave_marker(dir_.path(), key_of("dead"), place(id), false);
  restore_directories(*store.store);
  EXPECT_TRUE(fs::exists(place(id) / "data" / "file"));
  EXPECT_NE(store.entry("dead").id, id);
}

// The next attempt of the key has another number, too, while others have the cache open.
TEST_F(DeadAttempts, AreGoneWhenTheNextOneBegins) {
  const std::uint64_t id = published("dead"), other = id + 100;
  TestStore store(dir_.path());
  fill(store, key_of("dead"), other);
  Entry entry = store.entry("dead");
  settle_attempt(*store.store, key_of("dead"), entry, place(id));
  EXPECT_EQ(store.state("dead"), RecordState::fresh);
  EXPECT_FALSE(fs::exists(place(other)));
  EXPECT_TRUE(markers_left(dir_.path()).empty());
}

// Without an index nobody can say which of the two is the record's, and the key gets another id.
TEST_F(DeadAttempts, StayAsTheyAreWhileTheIndexIsDamaged) {
  std::uint64_t id = 0;
  {
    TestStore store(dir_.path());
    id = publish(store, "dead");
  }
  const Key key = key_of("dead");
  TestStore holds(dir_.path());
  leave_marker(dir_.path(), key, place(id), false);
  fs::create_directory(place(id) / "data.previous");
  overwrite_table("keys");
  TestStore store(dir_.path());
  Entry entry = store.entry("dead");
  EXPECT_FALSE(entry.known);
  ASSERT_EQ(store->claim(key, entry), Claim::acquired);
  ASSERT_NE(entry.id, id);
  EXPECT_FALSE(entry.known);
  const fs::path other = place(entry.id);
  EXPECT_THROW(settle_attempt(*store.store, key, entry, other), CacheError);
  EXPECT_THROW(undo_attempt(*store.store, key, entry, other), CacheError);
  store->expose_id(key, entry.id, "Task");
  store->release(key);
  EXPECT_THROW((void)store->key_of(id), CacheError);
  try {
    restore_directories(*store.store);
  } catch (const CacheError&) {}
  EXPECT_TRUE(fs::exists(place(id) / "data" / "file"));
  EXPECT_TRUE(fs::exists(place(id) / "data.previous"));
  EXPECT_EQ(read_marker(dir_.path(), key).id, id);
}

TEST(AttemptMarker, SaysNothingWhereItSaysNoTasksPlace) {
  const TemporaryDirectory dir;
  fs::create_directories(dir.path() / "spool");
  const Key key = key_of("a");
  for (const char* text :
       {"", "tasks/../1", "tasks/A/../1", "/tasks/A/1", "tasks/A/1/", "tasks/A/x",
        "tasks/A/99999999999999999999", "other/A/1", "tasks/A/-1", "tasks//1"}) {
    std::ofstream(marker_of(dir.path(), key)) << text << '\n';
    EXPECT_TRUE(read_marker(dir.path(), key).place.empty()) << text;
  }
  leave_marker(dir.path(), key, dir.path() / "tasks" / "A%3A%3AB" / "7", true);
  EXPECT_EQ(read_marker(dir.path(), key).id, 7u);
  EXPECT_EQ(markers_left(dir.path()), std::vector<Key>{key});
  for (const std::string name : {"a::b<int, \"x\">", "plain", "%", ".."}) {
    EXPECT_EQ(class_name_of(safe_name(name)), name);
  }
  EXPECT_EQ(class_name_of(safe_name(std::string(1000, 'x'))), "");
  EXPECT_EQ(class_name_of("a%zz"), "");
  EXPECT_EQ(class_name_of("%"), "");
}

}  // namespace
}  // namespace stook::detail
