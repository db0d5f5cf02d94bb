// 10_half_inside - what comes from strangers is opened in a container, all else runs outside.
//
//   outside              inside, "boxed"         outside
//   Parcel(0) ---------> Open(0) ----+
//   Parcel(1) ---------> Open(1) ----+---------> Stock ---> Main
//   Parcel(2) ---------> Open(2) ----+
//
// In the box there is no network, and only the cache can be written. Type (as one line):
//
//   ./10_half_inside -p "boxed=bwrap --ro-bind / / --bind {cache} {cache} --dev /dev --proc /proc
//       --unshare-all --hostname box --die-with-parent"
//
// For podman, docker and others see runtime/executors/README.md. Without -p all runs outside; the
// results are the same, so what was made outside is not made again inside.
#include <stook/stook.hpp>

#include <unistd.h>

#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

using Counts = std::map<std::string, int>;

// Here one would download something.
struct Parcel : stook::Task<Parcel, std::string(int number)> {
  explicit Parcel(int given) : number(given) {}
  std::string run_task() {
    return "rye " + std::to_string(number + 1) + "\noats " + std::to_string(10 * number) + "\n";
  }
  int number;
};

// Here one would call a large library that has its faults.
struct Open : stook::Task<Open, Counts(int number)> {
  static constexpr auto task_label = "boxed";
  stook::Future<std::string> parcel;

  explicit Open(int number) : parcel(Parcel::make(number)) {}
  Counts run_task() {
    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    std::cerr << "opened on " << host << '\n';  // inside: in CACHE/tasks/Open/NUMBER/stderr
    Counts counts;
    std::istringstream lines(*parcel);
    std::string crop;
    for (int count = 0; lines >> crop >> count;) counts[crop] += count;
    if (!lines.eof()) throw std::runtime_error("this parcel holds something else than crops");
    return counts;
  }
};

struct Stock : stook::Task<Stock, Counts()> {
  stook::FutureList<Counts> opened;

  Stock() {
    for (int number = 0; number < 3; ++number) opened.push_back(Open::make(number));
  }
  Counts run_task() {
    Counts all;
    for (const Counts& counts : *opened) {
      for (const auto& [crop, count] : counts) all[crop] += count;
    }
    return all;
  }
};

struct Main : stook::Task<Main, void()> {
  stook::Future<Counts> stock = Stock::make();
  void run_task() {
    for (const auto& [crop, count] : *stock) std::cout << crop << ": " << count << '\n';
  }
};

int main(int argc, char** argv) { return Main::cli(argc, argv); }
