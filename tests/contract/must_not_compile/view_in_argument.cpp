// expect: stook: a task keeps its arguments, and a std::string_view or const char* keeps nothing
#include <map>
#include <optional>
#include <stook/stook.hpp>
struct Inner {
  int n;
  std::optional<std::string_view> name;
};
struct Outer {
  std::map<std::string, std::vector<Inner>> inner;
  std::vector<Outer> more;
};
struct Bad : stook::Task<Bad, int(Outer)> {
  explicit Bad(const Outer&) {}
  int run_task() { return 1; }
};
void use() { (void)Bad::make(Outer{}); }
