// What is said, and left behind, when something fails.
#include "cache/fault.h"

#include <fstream>

#include "cache/database.h"
#include "cache/objects.h"
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const CacheError& error) { return error.what(); }
  return "none";
}

// Rebuilding is advice for a damaged index; on a full disk it would fail as well.
TEST(Fault, OnlyADamagedIndexIsToBeRebuilt) {
  const TemporaryDirectory dir;
  fs::create_directories(dir.path());
  const fs::path file = dir.path() / "index.sqlite";
  {
    Database database(file, Database::Mode::write);
    database.execute("CREATE TABLE a (b)");
    database.execute("PRAGMA max_page_count=2");
    const std::string full =
        error_of([&] { database.execute("INSERT INTO a VALUES (zeroblob(1000000))"); });
    EXPECT_NE(full.find("full"), std::string::npos) << full;
    EXPECT_NE(full.find("free some space"), std::string::npos) << full;
    EXPECT_EQ(full.find("reindex"), std::string::npos) << full;
  }
  std::ofstream(file) << std::string(8192, 'x');
  const std::string damaged =
      error_of([&] { Database(file, Database::Mode::write).execute("SELECT * FROM a"); });
  EXPECT_NE(damaged.find("stook reindex"), std::string::npos) << damaged;
}

// Something else is where the object's directory is to be.
TEST(Fault, AnObjectThatCannotBeMovedLeavesNothing) {
  const TemporaryDirectory dir;
  const Objects objects(dir.path());
  const std::string value(2 << 20, 'v');
  const ByteSpan piece = bytes_of(value);
  const fs::path place = objects.path_of(hash_bytes(value)).parent_path();
  fs::create_directories(dir.path());
  std::ofstream(place) << "a file";
  EXPECT_NE(error_of([&] { (void)objects.write({&piece, 1}, value.size(), 0); }), "none");
  EXPECT_EQ(objects.list(), std::vector<fs::path>{place});
}

}  // namespace
}  // namespace stook::detail
