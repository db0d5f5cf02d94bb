// shown.h - text as it is shown: on a terminal, in a report, in an error.
// Unaware of where it goes. Thread-safe: no state.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace stook::detail {

// What a terminal would obey, or a reader would not see, as an escape: control characters but
// newline and tab (\x1b), those of Unicode and its marks of direction (\u202e), bytes that are not
// UTF-8 (\xff). Whatever a task is called, is given and says, it stays text.
[[nodiscard]] std::string shown(std::string_view text);

// The beginning and the end of what is longer than `limit` bytes, and how much is between them.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t limit);

// May it name a class or a label: UTF-8, and all of it is shown as it is, on one line?
[[nodiscard]] bool is_name(std::string_view text);

// For the system a path, a variable and a word of a command end at a zero byte. Throws
// InvalidArgument: "WHAT holds a zero byte: ...".
void refuse_zero_byte(std::string_view text, std::string_view what);

}  // namespace stook::detail
