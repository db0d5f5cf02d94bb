// main.cpp - the test program; started with --other=WHAT DIR it is one of several processes.
#include <gtest/gtest.h>

#include <string>

namespace stook::detail {
int be_another_process(const std::string& what, const std::string& dir);  // process_test.cpp
}

int main(int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  if (argc == 3 && first.starts_with("--other=")) {
    return stook::detail::be_another_process(first.substr(8), argv[2]);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
