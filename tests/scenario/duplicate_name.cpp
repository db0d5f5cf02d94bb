// A program of its own: a duplicate name spoils every run of the program it is in.
#include <iostream>
#include <string>

#include <stook/stook.hpp>

struct First : stook::Task<First, int()> {
  static constexpr const char* task_alias = "the same";
  int run_task() { return 1; }
};
struct Second : stook::Task<Second, int()> {
  static constexpr const char* task_alias = "the same";
  int run_task() { return 2; }
};

int main(int, char** argv) {
  stook::Cache cache(argv[1]);
  (void)Second::make();
  try {
    (void)First::make().run_graph();
  } catch (const stook::InvalidArgument& error) {
    std::cout << error.what() << '\n';
    const std::string text = error.what();
    const bool names_both =
        text.find("First") != std::string::npos && text.find("Second") != std::string::npos;
    return names_both ? 0 : 1;
  }
  return 1;
}
