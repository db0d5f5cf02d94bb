// tracer.h - runs a function in a child process and stops each of its threads at every system call,
// and those of the processes it starts, where that is wanted.
// Unaware of what the calls are for. Linux on x86-64; not thread-safe: one child at a time.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>

namespace stook::torture {

// A system call at its entry, or at its exit.
struct Call {
  pid_t thread = 0;
  long number = -1;
  std::array<std::uint64_t, 6> arguments{};
  bool entering = true;
  long result = 0;        // at the exit: what it returned, -errno where it failed
  bool of_child = false;  // of a process that the traced one has started
};

enum class Verdict : std::uint8_t {
  go,
  kill,     // SIGKILL for the whole process that calls; at the entry the call does not happen
  fail,     // at the entry: the call does not happen, and `error` is what it gives
  shorten,  // at the entry: half of the size in its third argument
};

struct Order {
  Verdict verdict = Verdict::go;
  int error = 0;
};

struct Ending {
  bool exited = false;
  int status = 0;       // of exit(), where it exited
  int signal = 0;       // that ended it, where one did
  bool killed = false;  // itself, by an Order
};

enum class Follow : std::uint8_t { threads, processes };

// The signal that ends a child which takes longer than it may.
inline constexpr int kHungSignal = 14;  // SIGALRM

// Why nothing can be traced here; empty where it can.
[[nodiscard]] std::string why_no_tracing();

// `body` runs in a child and gives its exit status; `decide` is asked, in this process, at every
// entry and every exit. A child that takes more than `seconds` is ended by kHungSignal. Processes
// that are followed and outlive it are killed.
Ending trace(const std::function<int()>& body, const std::function<Order(const Call&)>& decide,
             Follow follow = Follow::threads, unsigned seconds = 30);

// The same without stopping at anything.
Ending run_child(const std::function<int()>& body, unsigned seconds = 30);

// The same, without waiting for its end.
pid_t start_child(const std::function<int()>& body, unsigned seconds = 30);
// Has it ended after so many milliseconds? It is still to be waited for.
[[nodiscard]] bool ends_within(pid_t child, int milliseconds);

// Copies from the child's memory while it is stopped.
[[nodiscard]] std::string read_memory(pid_t thread, std::uint64_t address, std::size_t size);
[[nodiscard]] std::string read_path(pid_t thread, std::uint64_t address);

// Can somebody else see that it happened?
[[nodiscard]] bool leaves_something(const Call& call);

// "openat", or its number.
[[nodiscard]] std::string call_name(long number);

}  // namespace stook::torture
