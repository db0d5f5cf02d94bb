// expect: stook: the task needs a public member function run_task()
#include <stook/stook.hpp>
struct Bad : stook::Task<Bad, int()> {};
void use() { (void)Bad::make(); }
