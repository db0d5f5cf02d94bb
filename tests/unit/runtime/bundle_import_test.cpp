// What an import takes while others use the cache: ids, above all, since paths in values go by
// them.
#include "runtime/bundle_import.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "cache/bundle_export.h"
#include "src/external.h"
#include "src/hash.h"
#include "src/os.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

void use_directory(TestStore& store, std::uint64_t id) {
  const fs::path data = store->task_path("Task", id) / "data";
  fs::create_directories(data);
  std::ofstream(data / "file") << "content";
}

bool has_file(TestStore& store, std::uint64_t id) {
  return fs::exists(store->task_path("Task", id) / "data" / "file");
}

// As a run publishes it. `directory`: it has used its own.
void publish(TestStore& store, std::string_view name, std::uint64_t id, std::string_view value,
             bool directory, const std::vector<UpstreamSeen>& upstream = {}) {
  const ByteSpan piece = bytes_of(value);
  Hasher hasher;
  hasher.update(kResultDomain);
  hasher.update(value.data(), value.size());
  Publication p;
  p.key = key_of(name);
  p.id = id;
  p.class_name = "Task";
  p.arguments = name;
  p.upstream = upstream;
  p.digest = Digest{hasher.finish()};
  p.codec = "text";
  p.value = {&piece, 1};
  if (directory) {
    p.directory = digest_directory(store->task_path("Task", id) / "data");
    p.digest = combine_digests(p.digest, p.directory);
  }
  store->publish(p);
}

// A bundle with K, which has a directory and the number 51, and D, whose value names that.
class BundleImport : public testing::Test {
 protected:
  BundleImport() {
    fs::create_directories(from_.path());
    bundle_ = os_open(from_.path() / "bundle", O_CREAT | O_EXCL | O_RDWR);
    TestStore store(from_.path() / "cache");
    std::uint64_t id = 0;
    while (id < 51) id = store->id_of(key_of("K" + std::to_string(id)));
    use_directory(store, id);
    publish(store, "K50", id, "value of K", true);
    publish(store, "D", store->id_of(key_of("D")), "tasks/Task/51/data/file", false,
            {store.seen("K50")});
    export_bundle(*store.store, bundle_.get(), "bundle", {});
    lseek(bundle_.get(), 0, SEEK_SET);
  }
  ImportedBundle import(TestStore& store) {
    return import_bundle(*store.store, bundle_.get(), "bundle", false);
  }

  const TemporaryDirectory from_, to_;
  Fd bundle_;
};

// Somebody executes K here, and his number for it is 1. It stays that, whether anybody has seen it
// or not, and what names the other number stays out.
class BundleImportBeside : public BundleImport, public testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(ItsDirectoryWasUsed, BundleImportBeside, testing::Bool());

TEST_P(BundleImportBeside, ARunKeepsItsNumber) {
  TestStore runs(to_.path()), imports(to_.path());
  Entry entry = runs.entry("K50");
  ASSERT_EQ(runs->claim(key_of("K50"), entry), Claim::acquired);
  const bool used_before = GetParam();
  if (used_before) runs->expose_id(key_of("K50"), entry.id, "Task");
  const ImportedBundle report = import(imports);
  EXPECT_EQ(report.imported, 0u);
  EXPECT_EQ(report.left_out, 2u);
  EXPECT_EQ(report.messages.size(), 2u);
  if (!used_before) runs->expose_id(key_of("K50"), entry.id, "Task");
  use_directory(runs, entry.id);
  publish(runs, "K50", entry.id, "value of K", true);
  runs->flush();
  EXPECT_EQ(imports.state("D"), RecordState::missing);
  for (TestStore* store : {&runs, &imports}) {
    EXPECT_EQ(store->state("K50"), RecordState::fresh);
    EXPECT_EQ(store->entry("K50").id, entry.id);
    EXPECT_TRUE(has_file(*store, store->entry("K50").id));
  }
}

TEST_F(BundleImport, WhatNobodyHasTakesTheNumberOfTheBundle) {
  TestStore store(to_.path());
  EXPECT_EQ(import(store).imported, 2u);
  EXPECT_EQ(store.entry("K50").id, 51u);
  EXPECT_TRUE(has_file(store, 51));
  EXPECT_EQ(store.state("D"), RecordState::fresh);
  const Key key = key_of("K50");
  Entry entry = store.entry("K50");
  EXPECT_EQ(store->claim(key, entry), Claim::acquired) << "it was let go of";
  store->release(key);
}

// It may become what it is in the bundle, and D would be fresh then.
TEST_F(BundleImport, WhatNamesTheDirectoryOfAnotherResultStaysOut) {
  TestStore store(to_.path());
  const std::uint64_t id = store->id_of(key_of("K50"));
  ASSERT_NE(id, 51u);
  use_directory(store, id);
  publish(store, "K50", id, "another value", true);
  const ImportedBundle report = import(store);
  EXPECT_EQ(report.different, 1u);
  EXPECT_EQ(report.left_out, 1u);
  EXPECT_EQ(store.state("D"), RecordState::missing);
}

// A number that somebody here has seen already.
TEST_F(BundleImport, WhatHasANumberHereStaysOut) {
  TestStore store(to_.path());
  const std::uint64_t id = store->id_of(key_of("K50"));
  store->expose_id(key_of("K50"), id, "Task");
  EXPECT_EQ(import(store).left_out, 2u);
  EXPECT_EQ(store.entry("K50").id, id);
  Entry entry = store.entry("K50");
  EXPECT_EQ(store->claim(key_of("K50"), entry), Claim::acquired) << "it was let go of";
  store->release(key_of("K50"));
}

// An object comes with the first record that has it, and that one is not taken.
TEST_F(BundleImport, ObjectsOfRecordsThatAreNotTakenAreThereForOthers) {
  const std::string large(3 << 20, 'x');
  const Fd bundle = os_open(from_.path() / "large", O_CREAT | O_EXCL | O_RDWR);
  {
    TestStore store(from_.path() / "another cache");
    publish(store, "first", store->id_of(key_of("first")), large, false);
    publish(store, "second", store->id_of(key_of("second")), large, false);
    export_bundle(*store.store, bundle.get(), "large", {});
  }
  lseek(bundle.get(), 0, SEEK_SET);
  TestStore store(to_.path());
  for (const char* name : {"first", "second"}) {
    publish(store, name, store->id_of(key_of(name)), "another value", false);
    if (name == std::string("second")) (void)store->clear(key_of(name));
  }
  EXPECT_EQ(import_bundle(*store.store, bundle.get(), "large", false).imported, 1u);
  EXPECT_EQ(store.value("first"), "another value");
  EXPECT_TRUE(store.value("second") == large) << store.why;
}

}  // namespace
}  // namespace stook::detail
