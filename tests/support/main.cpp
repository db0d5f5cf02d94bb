// The main() of test programs whose tasks run in worker processes, too.
#include <gtest/gtest.h>

#include <stook/init.hpp>

int main(int argc, char** argv) {
  stook::init(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
