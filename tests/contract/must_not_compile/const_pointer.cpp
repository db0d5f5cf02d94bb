// expect: stook::Const: write std::string
#include <stook/stook.hpp>
int n = 1;
auto future = stook::Const(&n);
