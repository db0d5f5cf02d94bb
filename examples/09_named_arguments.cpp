// 09_named_arguments - one plain struct as the only parameter: names, defaults, flags and --help.
//
//   Bake(BakeArgs) x batches --> Main(MainArgs)
//
//   09_named_arguments --help
//   09_named_arguments --batches 3 --flour rye --steps '[1,2]'
//   09_named_arguments --args '{"batchs": 3}'          an error that names "batchs"
#include <stook/stook.hpp>

#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

struct BakeArgs {
  std::string flour = "wheat";
  int minutes = 40;
  int batch = 0;
  // Added later: while it is neutral the keys, and so the results, are those of before.
  stook::Added<bool, false> steam = {};
};

struct Bake : stook::Task<Bake, std::string(BakeArgs)> {
  BakeArgs args;

  explicit Bake(BakeArgs given) : args(std::move(given)) {}
  std::string run_task() {
    return args.flour + " loaf " + std::to_string(args.batch) + " (" +
           std::to_string(args.minutes) + " min)";
  }
};

struct MainArgs {
  int batches = 2;
  std::string flour = "wheat";
  double heat = 1.0;
  std::vector<int> steps = {};
  std::optional<std::string> note = {};
};

struct Main : stook::Task<Main, void(MainArgs)> {
  stook::FutureList<std::string> loaves;
  MainArgs args;

  explicit Main(MainArgs given) : args(std::move(given)) {
    const int minutes = static_cast<int>(40 / args.heat);
    for (int batch = 0; batch < args.batches; ++batch) {
      loaves.push_back(Bake::make({.flour = args.flour, .minutes = minutes, .batch = batch}));
    }
  }
  void run_task() {
    for (const std::string& loaf : *loaves) std::cout << loaf << '\n';
    for (const int step : args.steps) std::cout << "step " << step << '\n';
    std::cout << args.note.value_or("no note") << '\n';
  }
};

int main(int argc, char** argv) { return Main::cli(argc, argv); }
