#include "runtime/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "runtime/driver_link.h"
#include "runtime/file_job.h"
#include "runtime/linked_worker.h"
#include "src/os.h"

#include <stook/init.hpp>

namespace stook::detail {
namespace {

std::atomic<bool> called{false};

void end(int) { os_end_group(); }

int serve_socket(const char* stem) {
  void* const page =
      ::mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, worker_mark, 0);
  if (page == MAP_FAILED) {
    std::fprintf(stderr, "stook worker: it is started by a driver, not by hand\n");
    return 2;
  }
  ::close(worker_mark);
  ::fcntl(worker_socket, F_SETFD, FD_CLOEXEC);
  SocketLink link{Fd(worker_socket)};
  return serve_link(link, static_cast<std::atomic<std::uint64_t>*>(page), stem);
}

int serve_tcp(const std::filesystem::path& directory) {
  auto socket = connect_to_driver(driver_file(directory));
  if (!socket) {
    std::fprintf(stderr, "stook worker: %s\n", socket.reason().c_str());
    return 1;
  }
  SocketLink link(std::move(*socket));
  ::setpgid(0, 0);
  return serve_link(link, nullptr, directory / "printed");
}

int serve_files(const std::filesystem::path& directory) {
  FileLink link(directory);
  if (!link.usable()) {
    std::fprintf(stderr, "stook worker: nobody waits for this pilot (any more)\n");
    return 0;
  }
  ::setpgid(0, 0);  // so that it can end with all that its tasks have started
  return serve_link(link, nullptr, directory / "printed");
}

int serve_pilot(const std::filesystem::path& directory) {
  std::error_code ignored;
  const bool tcp = std::filesystem::exists(driver_file(directory), ignored);
  return tcp ? serve_tcp(directory) : serve_files(directory);
}

std::string file_of_element(const std::string& stem) {
  const char* const index = std::getenv("SLURM_ARRAY_TASK_ID");
  return stem + "-" + (index != nullptr ? index : "none") + ".job";
}

}  // namespace

bool can_be_worker() { return called.load(); }

void become_worker(int argc, char** argv) {
  called = true;
  if (argc < 3) return;
  const bool serves = std::strcmp(argv[1], worker_flag) == 0;
  const bool pilots = std::strcmp(argv[1], pilot_flag) == 0;
  const bool element = std::strcmp(argv[1], array_flag) == 0;
  if (!serves && !pilots && !element && std::strcmp(argv[1], job_flag) != 0) return;
  os_fill_standard_streams();
  int status = 3;
  if (argc > 3) {
    std::fprintf(stderr,
                 "stook worker: %d words came where one path was given: the command that starts it "
                 "splits words at blanks; keep the cache where the path has none\n",
                 argc - 2);
    std::exit(2);
  }
  try {
    if (serves || pilots) {
      struct sigaction action {};
      action.sa_handler = &end;
      ::sigaction(SIGTERM, &action, nullptr);
    }
    status = serves    ? serve_socket(argv[2])
             : pilots  ? serve_pilot(argv[2])
             : element ? execute_file(file_of_element(argv[2]))
                       : execute_file(argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stook worker: %s\n", error.what());
  }
  std::exit(status);
}

}  // namespace stook::detail

namespace stook {

void init(int argc, char** argv) { detail::become_worker(argc, argv); }

}  // namespace stook
