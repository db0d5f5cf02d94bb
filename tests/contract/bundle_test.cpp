// Results on their way from one cache to another: export_to(), import_from().
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <numeric>
#include <random>
#include <sstream>
#include <stook/stook.hpp>

#include "src/registry.h"
#include "tests/support/temp_cache.h"

namespace stook::test {
namespace {

namespace fs = std::filesystem;

int runs = 0;

struct Parts : Task<Parts, std::map<std::string, long>(long n)> {
  long n;
  explicit Parts(long number) : n(number) {}
  std::map<std::string, long> run_task() {
    ++runs;
    return {{"a", n}, {"b", 2 * n}};
  }
};

struct Noise : Task<Noise, std::vector<std::uint64_t>(int seed)> {  // large: an object
  int seed;
  explicit Noise(int number) : seed(number) {}
  std::vector<std::uint64_t> run_task() {
    ++runs;
    std::mt19937_64 random(static_cast<unsigned>(seed));
    std::vector<std::uint64_t> numbers(200'000);
    for (auto& number : numbers) number = random();
    return numbers;
  }
};

struct Passing : Task<Passing, long(long n)> {
  static constexpr auto task_store = Store::never;
  long n;
  explicit Passing(long number) : n(number) {}
  long run_task() {
    ++runs;
    return n;
  }
};

struct Files : Task<Files, fs::path(long n)> {
  Future<long> b;
  explicit Files(long number) : b(Parts::make(number)["b"]) {}
  fs::path run_task() {
    ++runs;
    const fs::path directory = task_directory();
    fs::create_directories(directory / "deep" / "er");
    std::ofstream(directory / "deep" / "er" / "numb\xe9rs und mehr.txt") << *b;
    std::ofstream(directory / "run.sh") << "#!/bin/sh\n";
    fs::permissions(directory / "run.sh", fs::perms::owner_all);
    return directory / "deep" / "er" / "numb\xe9rs und mehr.txt";
  }
};

struct Total : Task<Total, std::string(long n)> {
  Future<fs::path> file;
  Future<std::vector<std::uint64_t>> noise = Noise::make(1);
  Future<long> passing = Passing::make(5);
  explicit Total(long number) : file(Files::make(number)) {}
  std::string run_task() {
    ++runs;
    std::stringstream text;
    text << std::ifstream(*file).rdbuf();
    return text.str() + "/" + std::to_string(noise->size()) + "/" + std::to_string(*passing);
  }
};

struct Linked : Task<Linked, long()> {
  long run_task() {
    fs::create_symlink("/etc/passwd", task_directory() / "link");
    return 1;
  }
};

struct UsesLinked : Task<UsesLinked, long()> {
  Future<long> linked = Linked::make();
  long run_task() { return *linked; }
};

struct Reads : Task<Reads, std::string(std::string name)> {
  Future<fs::path> input;
  explicit Reads(const std::string& name) : input(File(name)) {}
  std::string run_task() {
    ++runs;
    std::stringstream text;
    text << std::ifstream(*input).rdbuf();
    return text.str();
  }
};

long other_value = 1;
struct Other : Task<Other, long()> {
  long run_task() { return other_value; }
};
struct MadeOfOther : Task<MadeOfOther, long()> {
  Future<long> other = Other::make();
  long run_task() {
    ++runs;
    return *other * 10;
  }
};

struct Numbered : Task<Numbered, long(long n)> {
  long n;
  explicit Numbered(long number) : n(number) {}
  long run_task() {
    std::ofstream(task_directory() / "file") << n;
    return n;
  }
};
struct AboveNumbered : Task<AboveNumbered, long(long n)> {
  Future<long> below;
  explicit AboveNumbered(long number) : below(Numbered::make(number)) {}
  long run_task() { return *below; }
};

struct Zeros : Task<Zeros, long()> {
  long run_task() {
    std::ofstream(task_directory() / "zeros").flush();
    fs::resize_file(task_directory() / "zeros", 120'000'000);
    return 1;
  }
};

struct Bundle : testing::Test {
  TempDirectory directory;
  fs::path file = directory / "results.stook";
  TempCache from, to;

  // Only this one is open. The last one opened is closed first: each is current until then.
  void enter(TempCache& cache) {
    to.close();
    from.close();
    cache.open();
  }
};

TEST_F(Bundle, RoundTripAnswersFromTheRootWithoutRunning) {
  enter(from);
  EXPECT_EQ(Total::make(21).run_graph().value, "42/200000/5");
  const ExportReport exported = from->export_to(file, {.patterns = {"*Total"}});
  EXPECT_EQ(exported.results, 1u);
  EXPECT_EQ(exported.records, 5u);
  EXPECT_EQ(exported.left_out, 0u) << exported.messages.at(0);
  from.close();
  enter(to);
  const ImportReport imported = to->import_from(file);
  EXPECT_EQ(imported.imported, 5u);
  EXPECT_EQ(imported.unproven, 0u);
  EXPECT_TRUE(imported.messages.empty()) << imported.messages.at(0);
  runs = 0;
  auto outcome = Total::make(21).run_graph();
  EXPECT_EQ(outcome.value, "42/200000/5");
  EXPECT_EQ(outcome.stats.cached, 1u);
  EXPECT_EQ(runs, 0);
  // Every value came, and the files with their names, bytes and rights.
  EXPECT_EQ(Parts::make(21).get_result().at("b"), 42);
  EXPECT_EQ(Noise::make(1).get_result().size(), 200'000u);
  const fs::path path = Files::make(21).get_result();
  EXPECT_TRUE(path.native().starts_with(to.root().native())) << path;
  std::string text;
  std::ifstream(path) >> text;
  EXPECT_EQ(text, "42");
  const auto rights = fs::status(path.parent_path().parent_path().parent_path() / "run.sh");
  EXPECT_NE(rights.permissions() & fs::perms::owner_exec, fs::perms::none);
  EXPECT_NE(Total::make(21).why().find("the same as seen"), std::string::npos);
  EXPECT_TRUE(to->verify().defects.empty());
  EXPECT_EQ(to.warnings(), 0);
}

TEST_F(Bundle, WhatIsClearedAfterwardsIsRecomputed) {
  enter(from);
  Total::make(1).run_graph();
  from->export_to(file);
  Parts::make(1).clear_task();
  const auto expected = Total::make(1).run_graph().stats;
  EXPECT_LT(expected.ran, 3u);  // early cutoff above it
  enter(to);
  to->import_from(file);
  Parts::make(1).clear_task();
  const auto stats = Total::make(1).run_graph().stats;
  EXPECT_EQ(stats.ran, expected.ran);
  EXPECT_EQ(stats.unchanged, expected.unchanged);
}

TEST_F(Bundle, SurvivesReindex) {
  enter(from);
  Total::make(2).run_graph();
  from->export_to(file);
  enter(to);
  to->import_from(file);
  to->reindex();
  to.reopen();
  runs = 0;
  EXPECT_EQ(Total::make(2).run_graph().value, "4/200000/5");
  EXPECT_EQ(runs, 0);
}

TEST_F(Bundle, PatternsSelectAndBringWhatIsUpstreamOnly) {
  enter(from);
  Total::make(3).run_graph();
  Noise::make(7).run_graph();
  EXPECT_EQ(from->export_to(file, {.patterns = {"*Files"}}).records, 2u);
  EXPECT_EQ(from->export_to(file, {.patterns = {"*Files", "*Noise"}}).results, 3u);
  const std::string id = "#" + std::to_string(Noise::make(7).task_id());
  EXPECT_EQ(from->export_to(file, {.patterns = {id}}).records, 1u);
  EXPECT_THROW(from->export_to(directory / "none", {.patterns = {"NoSuch"}}), InvalidArgument);
  EXPECT_FALSE(fs::exists(directory / "none"));
  enter(to);
  EXPECT_EQ(to->import_from(file).imported, 1u);
  EXPECT_EQ(Noise::make(7).run_graph().stats.cached, 1u);
  EXPECT_EQ(Parts::make(3).run_graph().stats.ran, 1u);
}

TEST_F(Bundle, TwiceIsOnce) {
  enter(from);
  Total::make(4).run_graph();
  from->export_to(file);
  enter(to);
  EXPECT_EQ(to->import_from(file).imported, 5u);
  const ImportReport again = to->import_from(file);
  EXPECT_EQ(again.imported, 0u);
  EXPECT_EQ(again.present, 5u);
  EXPECT_EQ(again.left_out + again.different, 0u);
}

TEST_F(Bundle, ClearedOnesComeBackWithTheirDirectories) {
  enter(from);
  Total::make(4).run_graph();
  from->export_to(file);
  Files::make(4).clear_task();
  EXPECT_FALSE(fs::exists(Files::make(4).task_directory()));
  const ImportReport report = from->import_from(file);
  EXPECT_EQ(report.imported, 2u);  // and Total, which is suspect
  runs = 0;
  Total::make(4).run_graph();
  EXPECT_EQ(runs, 0);
  EXPECT_TRUE(fs::exists(Files::make(4).get_result()));
}

TEST_F(Bundle, AnotherResultHereIsKeptAndTold) {
  enter(from);
  other_value = 1;
  MadeOfOther::make().run_graph();
  from->export_to(file);
  enter(to);
  other_value = 2;
  Other::make().run_graph();
  const ImportReport report = to->import_from(file);
  EXPECT_EQ(report.different, 1u);
  ASSERT_EQ(report.messages.size(), 1u);
  EXPECT_NE(report.messages[0].find("another result"), std::string::npos);
  EXPECT_EQ(report.imported, 1u);
  EXPECT_EQ(report.unproven, 1u);  // it was made of the other one
  EXPECT_EQ(Other::make().get_result(), 2);
  EXPECT_EQ(MadeOfOther::make().run_graph().value, 20);
}

TEST_F(Bundle, AnotherVersionRunsAgain) {
  enter(from);
  Parts::make(9).run_graph();
  from->export_to(file);
  enter(to);
  to->import_from(file);
  detail::override_version(detail::class_info<Parts>(), 77);
  runs = 0;
  EXPECT_EQ(Parts::make(9).run_graph().stats.ran, 1u);
  EXPECT_EQ(runs, 1);
  detail::override_version(detail::class_info<Parts>(), 0);
}

TEST_F(Bundle, NumbersOfDirectoriesAreKeptOrLeftOut) {
  enter(from);
  AboveNumbered::make(1).run_graph();
  const auto id = Numbered::make(1).task_id();
  from->export_to(file);
  enter(to);
  for (long n = 10; n < 20; ++n) Numbered::make(n).run_graph();  // all the low numbers are taken
  const ImportReport report = to->import_from(file);
  EXPECT_EQ(report.imported, 0u);
  EXPECT_EQ(report.left_out, 2u);  // with what was made of it
  EXPECT_NE(report.messages.at(0).find("number"), std::string::npos);
  EXPECT_EQ(AboveNumbered::make(1).run_graph().value, 1);
  EXPECT_NE(Numbered::make(1).task_id(), id);
  EXPECT_TRUE(to->verify().defects.empty());
}

TEST_F(Bundle, NewTasksGetOtherNumbersThanImportedOnes) {
  enter(from);
  for (long n = 0; n < 5; ++n) AboveNumbered::make(n).run_graph();
  from->export_to(file);
  enter(to);
  to->import_from(file);
  for (long n = 5; n < 10; ++n) AboveNumbered::make(n).run_graph();
  std::set<std::uint64_t> ids;
  for (long n = 0; n < 10; ++n) {
    ids.insert(Numbered::make(n).task_id());
    ids.insert(AboveNumbered::make(n).task_id());
    long read = -1;
    std::ifstream(Numbered::make(n).task_directory() / "file") >> read;
    EXPECT_EQ(read, n);
  }
  EXPECT_EQ(ids.size(), 20u);
}

TEST_F(Bundle, LinksInDirectoriesAreNotCarried) {
  enter(from);
  UsesLinked::make().run_graph();
  const ExportReport report = from->export_to(file);
  EXPECT_EQ(report.records, 0u);
  EXPECT_EQ(report.left_out, 2u);
  EXPECT_NE(report.messages.at(0).find("symbolic link"), std::string::npos);
  enter(to);
  EXPECT_EQ(to->import_from(file).imported, 0u);
}

TEST_F(Bundle, WhatGrowsTooMuchIsTakenWhereItIsTrusted) {
  enter(from);
  Zeros::make().run_graph();
  const ExportReport report = from->export_to(file);
  EXPECT_EQ(report.left_out, 0u);
  ASSERT_EQ(report.messages.size(), 1u);
  EXPECT_NE(report.messages[0].find("--trust"), std::string::npos);
  enter(to);
  EXPECT_THROW(to->import_from(file), CacheError);
  EXPECT_EQ(to->import_from(file, {.trusted = true}).imported, 1u);
  EXPECT_EQ(Zeros::make().run_graph().stats.cached, 1u);
  EXPECT_EQ(fs::file_size(Zeros::make().task_directory() / "zeros"), 120'000'000u);
}

TEST_F(Bundle, ExternalInputsAreLookedAtHere) {
  const fs::path input = directory / "input.txt";
  std::ofstream(input) << "one";
  enter(from);
  Reads::make(input.string()).run_graph();
  from->export_to(file, {.patterns = {"*Reads"}});
  enter(to);
  to->import_from(file);
  runs = 0;
  EXPECT_EQ(Reads::make(input.string()).run_graph().value, "one");
  EXPECT_EQ(runs, 0);
  std::ofstream(input) << "two";
  EXPECT_EQ(Reads::make(input.string()).run_graph().value, "two");
  EXPECT_EQ(runs, 1);
}

// The export waits for its reader within the first record. A bundle that nobody can import is none.
TEST_F(Bundle, WhatIsExecutedWhileItIsExportedIsNotPairedWithItsOldRecord) {
  enter(from);
  Noise::make(1).run_graph();
  const fs::path written = Files::make(7).run_graph().value;
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  auto reader = std::async(std::launch::async, [&] {
    const int fd = ::open(file.c_str(), O_RDONLY);
    std::string bytes(1 << 16, '\0');
    (void)!::read(fd, bytes.data(), 1);
    std::ofstream(written) << "executed again";
    while (::read(fd, bytes.data(), bytes.size()) > 0) {}
    ::close(fd);
  });
  try {
    from->export_to(file, {.patterns = {"*Noise", "*Files"}});
    ADD_FAILURE() << "it is exported";
  } catch (const CacheError& error) {
    EXPECT_NE(std::string(error.what()).find("meanwhile; export again"), std::string::npos)
        << error.what();
  }
  reader.get();
}

// Another process has the cache open and goes on publishing.
TEST_F(Bundle, IntoACacheThatIsInUse) {
  enter(from);
  // Numbers of tasks that the other process does not reach: what names its directory by a number
  // that is taken would be left out.
  for (long n = 0; n < 300; ++n) Noise::make(n).run_graph();
  for (long n = 0; n < 20; ++n) Total::make(n).run_graph();
  from->export_to(file, {.patterns = {"*Total"}});
  from.close();
  to.close();
  int ready[2], stop[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(stop), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    int status = 0;
    try {
      const Cache cache(to.root());
      Noise::make(100).run_graph();
      status |= ::write(ready[1], "r", 1) != 1;
      for (long n = 100; n < 130; ++n) Parts::make(n).run_graph();
      status |= ::read(stop[0], &byte, 1) != 1;
      runs = 0;
      status |= Total::make(7).run_graph().value != "14/200000/5";
      status |= runs != 0;  // it sees what was imported meanwhile
    } catch (const std::exception&) { status = 2; }
    ::_exit(status);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  to.open();
  const ImportReport report = to->import_from(file);
  EXPECT_EQ(report.imported, 62u);
  EXPECT_EQ(report.left_out, 0u) << report.messages.at(0);
  ASSERT_EQ(::write(stop[1], "s", 1), 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  runs = 0;
  for (long n = 0; n < 20; ++n) Total::make(n).run_graph();
  EXPECT_EQ(runs, 0);
  EXPECT_TRUE(to->verify().defects.empty());
  for (const int fd : {ready[0], ready[1], stop[0], stop[1]}) ::close(fd);
}

TEST_F(Bundle, EveryCutIsRefusedAndNothingIsWrong) {
  enter(from);
  AboveNumbered::make(3).run_graph();
  Parts::make(3).run_graph();
  from->export_to(file);
  std::stringstream all;
  all << std::ifstream(file, std::ios::binary).rdbuf();
  const std::string bytes = all.str();
  enter(to);
  for (std::size_t size = 0; size < bytes.size(); size += 7) {
    std::ofstream(directory / "cut", std::ios::binary) << bytes.substr(0, size);
    EXPECT_THROW(to->import_from(directory / "cut"), CacheError) << size;
  }
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::string bad = bytes;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    std::ofstream(directory / "bad", std::ios::binary) << bad;
    try {
      to->import_from(directory / "bad");
    } catch (const CacheError&) {}
  }
  EXPECT_TRUE(to->verify().defects.empty());
  to->import_from(file);
  EXPECT_EQ(AboveNumbered::make(3).run_graph().stats.cached, 1u);
  EXPECT_EQ(Parts::make(3).run_graph().value.at("b"), 6);
}

}  // namespace
}  // namespace stook::test
