// failing.h - runs something in which a system call fails, once, in one of the ways it can, or at
// one of whose calls it is killed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "tests/torture/tracer.h"

namespace stook::torture {

// The n-th way to fail, counted over all calls `of_interest` (asked at their entries until one has
// failed): the first is 0.
struct FailedOnce {
  Ending ending;
  std::string where;  // "openat gives EMFILE, number 17"; empty: there are not so many
};
[[nodiscard]] FailedOnce fail_once(std::uint64_t n, const std::function<int()>& body,
                                   const std::function<bool(const Call&)>& of_interest,
                                   Follow follow = Follow::threads);

// SIGKILL before the n-th call of interest, for the process that makes it.
[[nodiscard]] FailedOnce kill_once(std::uint64_t n, const std::function<int()>& body,
                                   const std::function<bool(const Call&)>& of_interest,
                                   Follow follow = Follow::threads);

// Runs it in this process: 0 where it gives 0, 1 for one clear error (its text in `error_file`), 2
// for anything else that is thrown, 3 where it gives anything else.
int perform(const std::function<int()>& body, const std::filesystem::path& error_file);

[[nodiscard]] std::string read_text(const std::filesystem::path& file);

// What is wrong with such an end in a child; empty: it was done, or said one clear error.
[[nodiscard]] std::string fault_of(const Ending& ending, const std::string& error);

}  // namespace stook::torture
