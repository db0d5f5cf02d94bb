// A task's directory and its publication, between processes.
#include <fstream>

#include "cache/pack_store.h"
#include "runtime/task_directory.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

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
  Publication p;
  p.key = key;
  p.id = entry.id;
  p.class_name = "Task";
  p.digest = digest_of("result");
  p.directory = directory.digest();
  p.codec = "text";
  (void)publish_with(store, p, &directory);
  EXPECT_EQ(meanwhile, Claim::held);
  EXPECT_EQ(claim_there(), Claim::acquired);
}

}  // namespace
}  // namespace stook::detail
