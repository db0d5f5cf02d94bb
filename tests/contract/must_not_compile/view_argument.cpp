// expect: stook: a task keeps its arguments, and a std::string_view or const char* keeps nothing
#include <stook/stook.hpp>
struct Bad : stook::Task<Bad, int(std::string_view)> {
  explicit Bad(std::string_view) {}
  int run_task() { return 1; }
};
void use() { (void)Bad::make("text"); }
