// registry.h - what only tests may do to the registry of classes.
#pragma once

#include <stook/class_info.hpp>

namespace stook::detail {

// As if the program had been built with this task_version of the class. Not thread-safe: between
// runs, in tests.
void override_version(const ClassInfo& info, std::uint32_t version);

}  // namespace stook::detail
