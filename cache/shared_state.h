// shared_state.h - the layout of CACHE/.claims and its table of claimed keys.
// Private to shared.cpp and its tests. Not thread-safe: the table is guarded by `mutex`.
//
// Bytes of the file that are locked: 0 session (exclusive: the first or only one; shared: all),
// 1 writing the index, 16 + slot: the process in that slot is alive, 2^40 + n: directory_locks.h,
// 2^41 + n: execution_lock.h.
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>

#include <stook/key.hpp>

namespace stook::detail {

inline constexpr std::uint64_t kSharedMagic =
    0x33304d48534b5453;  // "STKSHM03": bump with the layout
inline constexpr std::uint64_t kSessionByte = 0;
inline constexpr std::uint64_t kWriterByte = 1;
inline constexpr std::uint64_t kFirstSlotByte = 16;
inline constexpr std::uint64_t kFirstDirectoryByte = std::uint64_t{1} << 40;
inline constexpr std::uint64_t kFirstExecutionByte = std::uint64_t{1} << 41;
inline constexpr std::uint32_t kSlots = 1024;
inline constexpr std::uint32_t kPacks = 16384;
inline constexpr std::uint32_t kClaimCells = 1u << 17;
inline constexpr std::uint32_t kMostClaims = kClaimCells / 4 * 3;

struct ClaimCell {
  std::uint64_t high, low;
  std::uint64_t id;     // that its owner has thought of; 0: none, or the packs have it
  std::uint32_t owner;  // slot + 1; 0: empty
  std::uint32_t unused;
};

// In a length that `growth` does not count yet.
inline constexpr std::uint64_t kUntoldLength = std::uint64_t{1} << 63;

struct PackCell {
  std::atomic<std::uint64_t> length;
  std::atomic<std::uint32_t> number;
  std::uint32_t slot;
};

// Plain data: it begins its life as zeroed pages of a file.
struct SharedState {
  std::atomic<std::uint64_t> magic;
  std::atomic<std::uint64_t> next_seq;
  alignas(64) std::atomic<std::uint64_t> next_id;
  std::atomic<std::uint32_t> next_pack;
  alignas(64) std::atomic<std::uint64_t> changes;
  std::atomic<std::uint64_t> growth;
  std::atomic<std::uint32_t> untold;  // a change is being committed, not yet in `changes`
  alignas(64) std::atomic<std::uint32_t> released;  // futex word
  std::atomic<std::uint32_t> waiters;
  alignas(64) pthread_mutex_t mutex;
  std::uint32_t claims;
  std::atomic<std::uint32_t> packs;
  std::array<std::uint8_t, kSlots> slot_used;
  std::array<std::uint16_t, kSlots> slot_waits;  // its part of `waiters`
  std::array<PackCell, kPacks> pack;
  std::array<ClaimCell, kClaimCells> cell;
};

// --- Open addressing with linear probing; deletion moves later entries back, so that there are no
// graves and a probe is as short as the table is full.

inline std::uint32_t home_cell(std::uint64_t low) {
  return static_cast<std::uint32_t>(low) & (kClaimCells - 1);
}

// The cell of the key, or the empty one where it would go.
inline std::uint32_t find_cell(const SharedState& state, const Key& key) {
  std::uint32_t at = home_cell(key.low);
  while (state.cell[at].owner != 0 &&
         (state.cell[at].low != key.low || state.cell[at].high != key.high)) {
    at = (at + 1) & (kClaimCells - 1);
  }
  return at;
}

// A cell that is copied before it is cleared: whoever dies in between leaves a key twice, which
// the repair puts right, and never none.
inline void erase_cell(SharedState& state, std::uint32_t hole) {
  std::uint32_t at = hole;
  for (;;) {
    at = (at + 1) & (kClaimCells - 1);
    if (state.cell[at].owner == 0) break;
    const std::uint32_t home = home_cell(state.cell[at].low);
    // May the entry at `at` live at `hole`? Only if its home is not cyclically in (hole, at].
    if (((at - home) & (kClaimCells - 1)) < ((at - hole) & (kClaimCells - 1))) continue;
    state.cell[hole] = state.cell[at];
    hole = at;
  }
  state.cell[hole].owner = 0;
  --state.claims;
}

}  // namespace stook::detail
