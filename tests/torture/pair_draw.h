// pair_draw.h - which two, stopped where, in whose presence: one draw of line 23, and its text.
#pragma once

#include <cstdint>
#include <string>

#include "tests/torture/pair.h"

namespace stook::torture {

// Somebody who has the cache open all the time, and does nothing.
enum class Keeper : std::uint8_t { none, meanwhile, longer };

struct Draw {
  const PairOperation* first = nullptr;
  const PairOperation* second = nullptr;
  std::uint64_t stop = 0;  // of the first one's, from 0
  bool lasting = false;    // only stops at calls that leave something are counted
  Keeper keeper = Keeper::none;
  bool killed = false;         // the first one, where it was stopped
  bool without_index = false;  // it is lost before somebody looks
};

// FIRST,STOP[l],SECOND[,meanwhile|,longer][,killed][,lost]
[[nodiscard]] std::string to_text(const Draw& draw);
[[nodiscard]] Draw to_draw(const std::string& text);

}  // namespace stook::torture
