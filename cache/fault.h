// fault.h - how cache/ says what went wrong: one text with what was being done, where, and what to
// do next.
// Thread-safe.
#pragma once

#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include <stook/errors.hpp>

namespace stook::detail {

// One line per defect found.
using Warn = std::function<void(std::string_view)>;

[[noreturn]] void throw_cache_error(std::string_view doing, const std::filesystem::path& path,
                                    int error = errno);

// Of what could not be opened: is there no file, whatever stands in its place? Else nobody knows.
[[nodiscard]] bool is_no_file(int error);

// What to do about an error of the system.
[[nodiscard]] std::string_view advice(int error);

// "doing path: cause; advice"
[[nodiscard]] std::string describe_error(std::string_view doing, const std::filesystem::path& path,
                                         int error);

}  // namespace stook::detail
