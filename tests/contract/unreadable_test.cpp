// Stored values that cannot be read: once is damage and computed again, twice is the task's doing.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <fstream>

#include "tests/support/outcomes.h"
#include "tests/support/temp_cache.h"

#include <stook/stook.hpp>

namespace unreadable {
namespace {

namespace fs = std::filesystem;
using namespace stook;
using stook::test::contains;
using stook::test::failures_of;
using stook::test::read;
using test::TempCache;
using test::TempDirectory;

// What to_json writes from_json does not take.
struct Lopsided {
  int a = 0;
  std::string note;
};
void to_json(nlohmann::json& json, const Lopsided& value) { json = {{"a", value.a}}; }
void from_json(const nlohmann::json& json, Lopsided& value) { json.at("note").get_to(value.note); }

struct Makes : Task<Makes, Lopsided(std::string)> {
  static constexpr auto task_label = "outside";
  const std::string log;
  explicit Makes(std::string path) : log(std::move(path)) {}
  Lopsided run_task() {
    std::ofstream(log, std::ios::app) << 'x';
    return {1, ""};
  }
};
struct Uses : Task<Uses, int(std::string)> {
  static constexpr auto task_label = "outside";
  Future<Lopsided> value;
  explicit Uses(const std::string& path) : value(Makes::make(path)) {}
  int run_task() { return value->a; }
};
struct UsesHere : Task<UsesHere, int(std::string)> {
  Future<Lopsided> value;
  explicit UsesHere(const std::string& path) : value(Makes::make(path)) {}
  int run_task() { return value->a; }
};

RunOptions outside() {
  RunOptions options;
  options.prefixes = {{"outside", ""}};
  return options;
}

template <class User> void expect_failure_after_two() {
  TempCache cache;
  TempDirectory files;
  const auto failures = failures_of(User::make((files / "log").string()), outside());
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].class_name, User::make("").task_name());
  EXPECT_TRUE(contains(failures[0].cause, "Makes")) << failures[0].cause;
  EXPECT_TRUE(contains(failures[0].cause, "cannot be read back")) << failures[0].cause;
  EXPECT_TRUE(contains(failures[0].cause, "note")) << failures[0].cause;
  EXPECT_EQ(read(files / "log"), "xx");
}

TEST(Unreadable, ResultFailsItsUserInAnotherProcess) { expect_failure_after_two<Uses>(); }
TEST(Unreadable, ResultFailsItsUserHere) { expect_failure_after_two<UsesHere>(); }
TEST(Unreadable, ResultOfTheRootFailsIt) { expect_failure_after_two<Makes>(); }

struct Large : Task<Large, std::vector<double>()> {
  std::vector<double> run_task() {
    std::vector<double> values(300'000);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1.0 / static_cast<double>(i + 1);
    return values;
  }
};
struct Size : Task<Size, std::size_t(int)> {
  Future<std::vector<double>> values = Large::make();
  const std::size_t n;
  explicit Size(int number) : n(static_cast<std::size_t>(number)) {}
  std::size_t run_task() { return values->size() + n; }
};
struct Sizes : Task<Sizes, std::size_t()> {
  FutureList<std::size_t> all{Size::make(1), Size::make(2)};
  std::size_t run_task() { return all->at(0) + all->at(1); }
};

TEST(Unreadable, DamageIsFoundByManyAndMendedOnce) {
  TempCache cache;
  (void)Large::make().run_graph();
  cache.reopen();
  for (const auto& entry : fs::recursive_directory_iterator(cache.root() / "objects")) {
    if (entry.is_regular_file()) fs::resize_file(entry.path(), 1000);
  }
  RunOptions options;
  options.jobs = 1;
  const auto [size, stats] = Sizes::make().run_graph(options);
  EXPECT_EQ(size, 600'003u);
  EXPECT_EQ(stats.ran, 4u);
}

}  // namespace
}  // namespace unreadable
