// The main() of test programs whose tasks run in worker processes, too.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include <stook/init.hpp>

int main(int argc, char** argv) {
  // A program that cannot be a worker: each leaves a file where the variable says.
  const bool serves = argc > 1 && std::strcmp(argv[1], "--stook-worker") == 0;
  if (const char* notes = std::getenv("STOOK_TEST_NO_WORKERS"); serves && notes != nullptr) {
    std::ofstream(std::string(notes) + "/" + std::to_string(::getpid())) << "was here";
    return 3;
  }
  stook::init(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
