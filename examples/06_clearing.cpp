// 06_clearing - what runs again after a clear: the task itself, and what its result changes.
//
//   Grow("rye") ---> Cut("rye") ---+
//                                  +--> Stack
//   Grow("oats") --> Cut("oats") --+
//
// Uses the library without its command line: 06_clearing [CACHE]
#include <stook/stook.hpp>

#include <iostream>
#include <string>
#include <utility>

struct Grow : stook::Task<Grow, int(std::string crop)> {
  std::string crop;
  explicit Grow(const std::string& name) : crop(name) {}
  int run_task() { return static_cast<int>(crop.size()); }
};

struct Cut : stook::Task<Cut, int(std::string crop)> {
  stook::Future<int> grown;
  explicit Cut(const std::string& crop) : grown(Grow::make(crop)) {}
  int run_task() { return 10 * *grown; }
};

struct Stack : stook::Task<Stack, int()> {
  stook::Future<int> rye = Cut::make("rye");
  stook::Future<int> oats = Cut::make("oats");
  int run_task() { return *rye + *oats; }
};

void run(const std::string& what, const stook::RunOptions& options = {}) {
  const auto [sheaves, stats] = Stack::make().run_graph(options);
  std::cout << what << ": " << sheaves << " sheaves, " << stats.ran << " ran, " << stats.unchanged
            << " unchanged\n";
}

int main(int argc, char** argv) {
  const stook::Cache cache(argc > 1 ? argv[1] : "cache");
  for (const char* crop : {"rye", "oats"}) Grow::make(crop).clear_task();
  Cut::clear_all_tasks();
  Stack::make().clear_task();
  run("nothing there");
  run("again");

  Grow::make("rye").clear_task();  // its result comes out equal: the rest is proven unchanged
  run("one cleared");

  Grow::make("rye").clear_task();
  run("one cleared, all below", {.rebuild = stook::Rebuild::downstream});

  Cut::clear_all_tasks();
  run("a class cleared");
  std::cout << Grow::make("rye").why() << '\n';
}
