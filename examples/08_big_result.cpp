// 08_big_result - a big value, and a result that is a file in the task's own directory.
//
//   Simulate(n) ---> 8 n bytes, not compressed ---+--> Histogram ---> a path into its directory
//                                                 |                        |
//                                                 +--> Mean                |
//                                                        |                 v
//                                                        +-------------> Main
//
// Results over 1 MiB are a file each in the cache. A task directory is empty when its task starts,
// and its content is part of the result: change it, and what depends on it runs again.
#include <stook/stook.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace fs = std::filesystem;

struct Simulate : stook::Task<Simulate, std::vector<double>(int n)> {
  static constexpr int task_compress_level = 0;  // noise: compressing it would only cost time
  explicit Simulate(int count) : n(count) {}
  std::vector<double> run_task() {
    std::vector<double> values(static_cast<std::size_t>(n));
    std::uint64_t state = task_seed();  // from the key: the same in every run
    for (double& value : values) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      value = static_cast<double>(state >> 11U) * 0x1p-53;
    }
    return values;
  }
  int n;
};

struct Mean : stook::Task<Mean, double(int n)> {
  stook::Future<std::vector<double>> values;
  explicit Mean(int n) : values(Simulate::make(n)) {}
  double run_task() {
    return std::accumulate(values->begin(), values->end(), 0.0) /
           static_cast<double>(values->size());
  }
};

struct Histogram : stook::Task<Histogram, fs::path(int n)> {
  stook::Future<std::vector<double>> values;
  explicit Histogram(int n) : values(Simulate::make(n)) {}
  fs::path run_task() {
    std::array<int, 4> bins{};
    for (const double value : *values) ++bins[static_cast<std::size_t>(value * 4)];
    const fs::path file = task_directory() / "histogram.txt";
    std::ofstream stream(file);
    for (const int bin : bins)
      stream << std::string(static_cast<std::size_t>(bin + 5000) / 10000, '#') << '\n';
    if (!stream.flush()) throw std::runtime_error("cannot write " + file.string());
    return file;  // kept relative to the cache, which may be moved as a whole
  }
};

struct Main : stook::Task<Main, void(int n)> {
  static constexpr std::array task_parameters{"n"};
  stook::Future<double> mean;
  stook::Future<fs::path> histogram;

  explicit Main(int n) : mean(Mean::make(n)), histogram(Histogram::make(n)) {}
  void run_task() {
    std::cout << "mean about " << static_cast<int>(*mean * 100 + 0.5) << " %\n"
              << std::ifstream(*histogram).rdbuf();
  }
};

int main(int argc, char** argv) { return Main::cli(argc, argv); }
