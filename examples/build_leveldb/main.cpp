// build_leveldb - a build of LevelDB 1.20: every compilation, link and test run is a Command.
//
//   *.cc --c++ -MD--> *.o --ar--> libleveldb.a --+--c++--> coding_test --run--> (passed)
//     ^                                          +--c++--> db_bench ----run--> (its figures)
//     headers, found by the compiler             ...
//
// ./fetch DIR gets the sources; ./compare PROGRAM does the same with ninja.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>
#include <string>
#include <vector>

#include <stook/command.hpp>
#include <stook/stook.hpp>

namespace {

namespace fs = std::filesystem;
using stook::Command;
using stook::CommandInput;
using Words = std::vector<std::string>;

struct Options {
  std::string sources = "leveldb-1.20";
  std::string build = "build";
  Words flags = {"-O1", "-DNDEBUG"};
  Words tests = {"arena_test", "bloom_test", "coding_test", "crc32c_test", "hash_test"};
};

Words operator+(Words left, const Words& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

// All of LevelDB's C++ files but those for other systems, by name without the suffix.
std::set<std::string> source_names(const std::string& root) {
  std::set<std::string> names;
  for (const char* folder : {"db", "table", "util", "helpers/memenv", "port", "issues"}) {
    for (const auto& file : fs::directory_iterator(fs::path(root) / folder)) {
      if (file.path().extension() == ".cc") {
        names.insert((fs::path(folder) / file.path().stem()).string());
      }
    }
  }
  return names;
}

bool is_part_of_the_library(const std::string& name) {
  const std::string file = fs::path(name).filename().string();
  return !file.ends_with("_test") && file != "db_bench" && file != "leveldbutil" &&
         !file.starts_with("test");
}

struct Build : stook::Task<Build, void(Options)> {
  const Options options;
  stook::Future<stook::CommandResult> library;
  stook::FutureList<stook::CommandResult> objects, programs, passed;

  explicit Build(const Options& given) : options(given) {
    std::vector<CommandInput> parts, harness;
    for (const std::string& name : source_names(options.sources)) {
      const auto object = compile(name);
      objects.push_back(object);
      if (is_part_of_the_library(name)) parts.push_back(object);
      if (fs::path(name).filename().string().starts_with("test")) harness.push_back(object);
    }
    library = Command::make({.argv = {"ar", "rcs", "{out}", "{in}"},
                             .inputs = parts,
                             .outputs = {options.build + "/libleveldb.a"}});
    harness.push_back(library);
    programs.push_back(link("db/db_bench", harness));
    for (const std::string& name : source_names(options.sources)) {
      const std::string file = fs::path(name).filename().string();
      if (std::find(options.tests.begin(), options.tests.end(), file) == options.tests.end()) {
        continue;
      }
      const auto program = link(name, harness);
      programs.push_back(program);
      passed.push_back(Command::make({.argv = {"{in}"}, .inputs = {program}}));
    }
  }

  [[nodiscard]] stook::TaskRef<Command> compile(const std::string& name) const {
    const Words fixed = {"-std=c++11",
                         "-pthread",
                         "-DOS_LINUX",
                         "-DLEVELDB_PLATFORM_POSIX",
                         "-DLEVELDB_ATOMIC_PRESENT",
                         "-I" + options.sources,
                         "-I" + options.sources + "/include"};
    return Command::make({.argv = Words{"c++"} + fixed + options.flags +
                                  Words{"-MD", "-MF", "{depfile}", "-c", "{in}", "-o", "{out}"},
                          .inputs = {options.sources + "/" + name + ".cc"},
                          .outputs = {options.build + "/" + name + ".o"}});
  }

  [[nodiscard]] stook::TaskRef<Command> link(const std::string& name,
                                             const std::vector<CommandInput>& with) const {
    std::vector<CommandInput> inputs{compile(name)};
    inputs.insert(inputs.end(), with.begin(), with.end());
    const std::string file = fs::path(name).filename().string();
    return Command::make({.argv = {"c++", "-pthread", "-o", "{out}", "{in}"},
                          .inputs = inputs,
                          .outputs = {options.build + "/" + file}});
  }

  void run_task() {
    std::cout << objects.size() << " files compiled, " << programs->size() << " programs linked, "
              << passed->size() << " tests passed\n"
              << library->outputs.at(0).path << '\n';
  }
};

}  // namespace

int main(int argc, char** argv) { return Build::cli(argc, argv); }
