// pair.h - what two processes do to one cache at the same time, as users write it, and what may be
// seen of it afterwards. Every value says who made it and of what.
// Not thread-safe.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <stook/cache.hpp>

namespace stook::torture {

// Who executes: 'a' and 'b' are the two, '0' was before them, '9' comes after.
using Maker = char;

struct PairOperation {
  std::string name;
  // Each with the cache open and current. What lies between two of them may happen before the
  // second.
  std::vector<std::function<void(Cache&)>> steps;
  bool changes = false;          // makes, replaces or takes away results
  bool dies = false;             // in the last step, by SIGKILL
  bool moves_input = false;      // replaces the file that Source is made of
  bool spares_the_used = false;  // may do nothing, where somebody else has the cache open
};

// Reading, rebuilding, clearing, another version, collecting, ...: all that is tried in pairs.
[[nodiscard]] const std::vector<PairOperation>& pair_operations();

// The cache they begin with and a bundle that one of them takes in, in the working directory:
// "cache", "input", "bundle".
void make_pair_cache();

// What a child tells, through memory that outlives it.
struct Told {
  int status = -1;  // 0: done, 1: an error
  std::array<char, 1000> text{};
};

// Opens "cache" and does all steps, or one of them, in the name of `maker`.
void perform_pair(const PairOperation& operation, Maker maker, Told& told, int only_step = -1);

// The makers of the results of Source, Noise, Middle and Output once '9' has asked for them.
inline constexpr std::size_t kPairTasks = 4;
using Makers = std::array<char, kPairTasks>;

// How it is looked at.
struct Look {
  bool all_kept = true;  // no value was evicted: asking again must not execute
  // A killed operation may take effect when somebody commits next: let that be done before.
  bool settled_first = false;
};

// Asks for everything, and for each result alone. Fails where something is not made of what is
// there, or a directory is not its result's, where asking again executes something, or verify()
// finds a defect.
[[nodiscard]] Makers look_at_pair(const std::filesystem::path& cache, const Look& how, Told& told);
// The same in a new cache that has taken in the bundle.
void look_at_bundle(const std::filesystem::path& bundle, const std::filesystem::path& cache,
                    Told& told);

}  // namespace stook::torture
