// What a process that died while it rebuilt a task with a directory leaves to who comes next.
#include <gtest/gtest.h>

#include "runtime/task_directory.h"
#include "src/store.h"
#include "tests/support/no_descriptors.h"
#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

#include <stook/stook.hpp>

namespace dead_rebuild {
namespace {

namespace fs = std::filesystem;
using namespace stook;
using stook::test::read;
using stook::test::write;
using test::TempCache;
using test::TempDirectory;

bool leaves_something = true;

struct Leaves : Task<Leaves, int()> {
  int run_task() {
    if (leaves_something) write(task_directory() / "out.txt", "good");
    return 1;
  }
};

// What a process that died in the middle of a rebuild leaves: a marker, the last good content
// moved aside, and in data whatever there is.
class Abandoned {
 public:
  explicit Abandoned(TempCache& cache) : cache_(cache) {
    (void)Leaves::make().run_graph();
    data_ = Leaves::make().task_directory();
    previous_ = data_.parent_path() / "data.previous";
    mark();
  }
  void mark() const {
    const fs::path marker = cache_.root() / "spool" / ("rebuild-" + to_hex(Leaves::make().key()));
    write(marker, fs::relative(data_.parent_path(), cache_.root()).string() + "\n");
  }
  void reopen() {
    cache_.reopen();
    EXPECT_FALSE(fs::exists(previous_));
    EXPECT_EQ(read(data_ / "out.txt"), "good");
    EXPECT_EQ(Leaves::make().run_graph().stats.ran, 0u);
  }

  void begin() const {
    fs::rename(data_, previous_);
    fs::create_directory(data_);
    write(data_ / "out.txt", "half");
  }

  TempCache& cache_;
  fs::path data_;
  fs::path previous_;
};

TEST(DeadRebuild, IsUndoneByWhoeverOpensTheCacheNext) {
  TempCache cache;
  Abandoned dead(cache);
  dead.begin();
  dead.reopen();
}

// Whoever comes while it is rebuilt leaves it alone.
TEST(DeadRebuild, IsNotOneThatIsUnderWay) {
  TempCache cache;
  Abandoned running(cache);
  const Key key = Leaves::make().key();
  detail::Store& store = cache->store();
  detail::Entry entry;
  store.lookup({&key, 1}, {&entry, 1});
  ASSERT_EQ(store.claim(key, entry), detail::Claim::acquired);
  running.begin();
  { const Cache another(cache.root()); }
  EXPECT_EQ(read(running.data_ / "out.txt"), "half");
  EXPECT_TRUE(fs::exists(running.previous_));
  store.release(key);
}

// What a marker says is believed within the cache's own tasks only.
TEST(DeadRebuild, UndoesNothingOutside) {
  TempCache cache;
  Abandoned dead(cache);
  TempDirectory outside;
  fs::create_directory(outside / "data");
  write(outside / "data" / "file", "precious");
  write(cache.root() / "spool" / ("rebuild-" + to_hex(Leaves::make().key())),
        fs::relative(outside.path(), cache.root()).string() + "\n");
  cache.reopen();
  EXPECT_EQ(read(outside / "data" / "file"), "precious");
}

TEST(DeadRebuild, StaysWhereItWasPublished) {
  TempCache cache;
  Abandoned dead(cache);
  fs::create_directory(dead.previous_);
  write(dead.previous_ / "out.txt", "older");
  dead.reopen();
}

// The task had a directory once; the result that was published leaves nothing in it.
TEST(DeadRebuild, StaysWithoutADirectoryWhereThatWasPublished) {
  TempCache cache;
  const Abandoned dead(cache);
  Leaves::make().clear_task();
  leaves_something = false;
  EXPECT_EQ(Leaves::make().run_graph().stats.ran, 1u);
  leaves_something = true;
  fs::create_directories(dead.previous_);
  write(dead.previous_ / "out.txt", "older");
  dead.mark();
  ASSERT_NO_THROW(cache.reopen());
  EXPECT_FALSE(fs::exists(dead.previous_));
  EXPECT_FALSE(fs::exists(dead.data_));
  EXPECT_EQ(Leaves::make().run_graph().stats.ran, 0u);
}

// Of the record's content nothing is left: the record does not answer without it.
TEST(DeadRebuild, IsMadeAgainWhereItsContentIsLost) {
  TempCache cache;
  Abandoned dead(cache);
  fs::create_directory(dead.previous_);
  write(dead.previous_ / "out.txt", "older");
  write(dead.data_ / "out.txt", "half");
  cache.reopen();
  EXPECT_EQ(Leaves::make().run_graph().stats.ran, 1u);
  EXPECT_EQ(read(dead.data_ / "out.txt"), "good");
}

// What cannot be looked at stays as it is, for who can.
TEST(DeadRebuild, StaysAsItIsWithoutDescriptors) {
  TempCache cache;
  Abandoned dead(cache);
  dead.begin();
  {
    const test::NoDescriptors none;
    EXPECT_THROW(detail::restore_directories(cache->store()), CacheError);
  }
  dead.reopen();
}

}  // namespace
}  // namespace dead_rebuild
