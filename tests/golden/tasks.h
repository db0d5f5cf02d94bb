// tasks.h - what the golden caches were made of. Never changed: their keys, digests and encodings
// are what is tested. A format that can hold more gets tasks of its own beside these.
#pragma once

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <stook/stook.hpp>

namespace golden {

struct Numbers : stook::Task<Numbers, std::map<std::string, std::vector<long>>()> {
  std::map<std::string, std::vector<long>> run_task() {
    return {{"primes", {2, 3, 5, 7}}, {"squares", {1, 4, 9}}};
  }
};

// Of 30 bytes it is stored as it is, of 2,000 compressed, of 1,200,000 in an object.
struct Text : stook::Task<Text, std::string(std::string, std::size_t)> {
  const std::string piece;
  const std::size_t size;
  Text(const std::string& what, std::size_t bytes) : piece(what), size(bytes) {}
  std::string run_task() {
    std::string text;
    while (text.size() < size) text += piece;
    return text.substr(0, size);
  }
};

struct FromOutside : stook::Task<FromOutside, std::string()> {
  stook::File file{"input.txt"};
  stook::EnvironmentVariable variable{"STOOK_GOLDEN", "unset"};
  std::string run_task() {
    std::string line;
    std::ifstream in(*file);
    std::getline(in, line);
    return line + ", " + *variable;
  }
};

struct InDirectory : stook::Task<InDirectory, std::filesystem::path()> {
  static constexpr int task_version = 3;
  std::filesystem::path run_task() {
    std::ofstream(task_directory() / "out.txt") << "kept in a directory\n";
    return task_directory() / "out.txt";
  }
};

struct NotKept : stook::Task<NotKept, long()> {
  static constexpr auto task_store = stook::Store::never;
  long run_task() { return 11; }
};

struct Root : stook::Task<Root, std::string()> {
  stook::Future<long> prime = Numbers::make()["primes"][2];
  stook::Future<std::vector<long>> squares = Numbers::make()["squares"].slice(1, 3);
  stook::FutureList<std::string> texts{Text::make("small", 30), Text::make("compressed", 2'000),
                                       Text::make("large", 1'200'000)};
  stook::Future<std::string> outside = FromOutside::make();
  stook::Future<std::filesystem::path> file = InDirectory::make();
  stook::Future<long> not_kept = NotKept::make();
  std::string run_task() {
    std::string line;
    std::ifstream in(*file);
    std::getline(in, line);
    long sum = *prime + *not_kept;
    for (const long square : *squares) sum += square;
    for (const auto& text : *texts) sum += static_cast<long>(text.size());
    return std::to_string(sum) + ", " + *outside + ", " + line;
  }
};
inline constexpr const char* kRoot = "1202059, from outside, unset, kept in a directory";

struct Cleared : stook::Task<Cleared, long()> {
  long run_task() { return 5; }
};
struct AboveCleared : stook::Task<AboveCleared, long(double)> {
  stook::Future<long> below = Cleared::make();
  explicit AboveCleared(double /*name*/) {}
  long run_task() { return *below + 1; }
};

}  // namespace golden
