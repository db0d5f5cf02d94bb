#include <iostream>

#include "steps.h"

struct Main : stook::Task<Main, void()> {
  stook::Future<long> answer = Twice::make(21);
  void run_task() { std::cout << *answer << '\n'; }
};

int main(int argc, char** argv) {
  if (stook::detail::find_class("Twice") == nullptr) return 9;
  return Main::cli(argc, argv);
}
