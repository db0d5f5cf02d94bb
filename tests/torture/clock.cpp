// A clock that is wrong, to be preloaded: TORTURE_CLOCK=SECONDS is added to the time of day, and
// taken from it in every other ten milliseconds where TORTURE_CLOCK_STEPS is set. The monotonic
// clock and the times that the kernel gives to files stay as they are.
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

namespace {

time_t seconds_off(const timespec& real) {
  static const long off = std::getenv("TORTURE_CLOCK") != nullptr
                              ? std::strtol(std::getenv("TORTURE_CLOCK"), nullptr, 10)
                              : 0;
  static const bool steps = std::getenv("TORTURE_CLOCK_STEPS") != nullptr;
  return steps && real.tv_nsec / 10'000'000 % 2 != 0 ? -off : off;
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const long code = syscall(SYS_clock_gettime, clock, time);
  if (code == 0 && clock == CLOCK_REALTIME) time->tv_sec += seconds_off(*time);
  return static_cast<int>(code);
}

extern "C" int gettimeofday(timeval* time, void*) noexcept {
  timespec now = {};
  const int code = clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return code;
}

extern "C" time_t time(time_t* out) noexcept {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}
