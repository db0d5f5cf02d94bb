// expect: stook: no codec for this result type
#include <stook/stook.hpp>
class Opaque {
 public:
  explicit Opaque(int n) : n_(n) {}

 private:
  int n_;
};
struct Bad : stook::Task<Bad, Opaque()> {
  Opaque run_task() { return Opaque(1); }
};
void use() { (void)Bad::make(); }
