// 02_composition - lists and dictionaries of futures are futures of lists and dictionaries.
//
//   Length("barley") --+
//   Length("oats")   --+--> FutureDict<string, int> --> Longest --+
//   Length("rye")    --+                                          +--> Main
//                      +--> FutureList<int> ----------> Sum ------+
#include <stook/stook.hpp>

#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <vector>

struct Length : stook::Task<Length, int(std::string word)> {
  std::string word;

  explicit Length(const std::string& text) : word(text) {}
  int run_task() { return static_cast<int>(word.size()); }
};

// A list of futures is an argument like any other: Sum does not know what makes its numbers.
struct Sum : stook::Task<Sum, int(std::vector<stook::Future<int>> numbers)> {
  stook::FutureList<int> numbers;

  explicit Sum(const std::vector<stook::Future<int>>& list) : numbers(list) {}
  int run_task() {
    int sum = 0;
    for (const int number : *numbers) sum += number;
    return sum;
  }
};

struct Longest : stook::Task<Longest, std::string(std::vector<std::string> words)> {
  stook::FutureDict<std::string, int> lengths;  // a member: each item is upstream

  explicit Longest(const std::vector<std::string>& words) {
    for (const std::string& word : words) lengths.insert(word, Length::make(word));
  }
  std::string run_task() {
    const auto shorter = [](const auto& a, const auto& b) { return a.second < b.second; };
    return std::max_element(lengths->begin(), lengths->end(), shorter)->first;
  }
};

struct Main : stook::Task<Main, void()> {
  stook::Future<std::string> longest;
  stook::Future<int> sum;
  stook::Future<int> second;

  Main() {
    const std::vector<std::string> words = {"barley", "oats", "rye"};
    std::vector<stook::Future<int>> lengths;
    for (const std::string& word : words) lengths.push_back(Length::make(word));
    longest = Longest::make(words);
    sum = Sum::make(lengths);
    second = stook::FutureList<int>(lengths)[1];  // an element of the list is a future too
  }
  void run_task() {
    std::cout << "longest " << *longest << ", letters " << *sum << ", second " << *second << '\n';
  }
};

int main(int argc, char** argv) { return Main::cli(argc, argv); }
