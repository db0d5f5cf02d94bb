// expect: stook:
#include <stook/stook.hpp>
class Opaque {
 public:
  explicit Opaque(int n) : n_(n) {}

 private:
  int n_;
};
struct Bad : stook::Task<Bad, int(Opaque)> {
  explicit Bad(const Opaque&) {}
  int run_task() { return 1; }
};
void use() { (void)Bad::make(Opaque(1)); }
