// 07_functions - a plain function becomes a task where it is called; futures among its arguments
// are upstream.
//
//   call<&parse>("3 1 2") --+--> call<&sum>(numbers) ------+--> call<&scale>(sum, 0.5) --> Main
//                           |                              |
//                           +--> call<&largest>(numbers) --|--------------------------> Main
//
// The functions know nothing of stook. They must give the same result for the same arguments.
#include <stook/stook.hpp>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

std::vector<int> parse(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<int>(stream), {}};
}

int sum(const std::vector<int>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0);
}

int largest(const std::vector<int>& numbers) {
  return *std::max_element(numbers.begin(), numbers.end());
}

double scale(int number, double factor) { return number * factor; }

struct Main : stook::Task<Main, void(std::string text)> {
  static constexpr std::array task_parameters{"text"};
  stook::Future<double> half;
  stook::Future<int> most;

  explicit Main(const std::string& text) {
    const auto numbers = stook::call<&parse>(text);
    half = stook::call<&scale>(stook::call<&sum>(numbers), 0.5);
    most = stook::call<&largest>(numbers);
  }
  void run_task() { std::cout << "half the sum " << *half << ", largest " << *most << '\n'; }
};

int main(int argc, char** argv) { return Main::cli(argc, argv); }
