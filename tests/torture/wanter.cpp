// wanter CACHE LOG GATE - wants one task. Whoever executes it says so in LOG and waits for the file
// GATE: it may be killed there.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include <stook/stook.hpp>

namespace {

std::string log_name, gate;

void note(const std::string& what) {
  const std::string line = what + " " + std::to_string(::getpid()) + "\n";
  const int fd = ::open(log_name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (::write(fd, line.data(), line.size()) < 0) std::abort();
  ::close(fd);
}

}  // namespace

struct Wanted : stook::Task<Wanted, long()> {
  long run_task() {
    note("ran");
    while (!std::filesystem::exists(gate))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return 42;
  }
};

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  log_name = argv[2];
  gate = argv[3];
  try {
    stook::Cache cache(argv[1]);
    note("wants");
    const bool right = Wanted::make().run_graph().value == 42;
    note("has");
    return right ? 0 : 1;
  } catch (const stook::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
}
