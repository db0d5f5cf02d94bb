// 04_elements - a task with several outputs; who needs one of them holds a future of that one.
//
//            +-- .member<&Parts::mean>() ----------> Centred --+
//   Analyse -+-- .member<&Parts::by_name>()["max"] ------------+--> Main
//            +-- .member<&Parts::sorted>()[-1] ----------------+
//            +-- .member<&Parts::sorted>()[0] -----------------+
#include <stook/stook.hpp>

#include <algorithm>
#include <iostream>
#include <map>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

struct Parts {
  double mean = 0;
  std::vector<int> sorted;
  std::map<std::string, int> by_name;
};

struct Analyse : stook::Task<Analyse, Parts(std::vector<int> numbers)> {
  std::vector<int> numbers;

  explicit Analyse(const std::vector<int>& given) : numbers(given) {}
  Parts run_task() {
    Parts parts{.mean = 0, .sorted = numbers, .by_name = {}};
    std::sort(parts.sorted.begin(), parts.sorted.end());
    parts.mean =
        std::accumulate(numbers.begin(), numbers.end(), 0.0) / static_cast<double>(numbers.size());
    parts.by_name = {{"min", parts.sorted.front()}, {"max", parts.sorted.back()}};
    return parts;
  }
};

// Knows nothing of Analyse: any future of a number will do.
struct Centred : stook::Task<Centred, std::tuple<double, int>(stook::Future<double>, int)> {
  stook::Future<double> mean;
  int number;

  Centred(const stook::Future<double>& middle, int given) : mean(middle), number(given) {}
  std::tuple<double, int> run_task() { return {number - *mean, number}; }
};

struct Main : stook::Task<Main, void()> {
  stook::Future<Parts> parts = Analyse::make({3, 9, 6});
  stook::Future<int> least = parts.member<&Parts::sorted>()[0];
  stook::Future<int> last = parts.member<&Parts::sorted>()[-1];
  stook::Future<int> most = parts.member<&Parts::by_name>()["max"];
  stook::Future<double> offset = Centred::make(parts.member<&Parts::mean>(), 10).get<0>();

  void run_task() {
    std::cout << "from " << *least << " to " << *most << " (or " << *last << "), 10 lies "
              << *offset << " above the mean\n";
  }
};

int main(int argc, char** argv) { return Main::cli(argc, argv); }
