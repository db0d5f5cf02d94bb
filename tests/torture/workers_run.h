// workers_run.h - a program whose tasks are executed by a worker process, or by one each behind a
// prefix that hears and tells by files: a result that is an object, a directory, an input that is
// found. Its main() begins with stook::init().
#pragma once

#include "tests/torture/whole_run.h"

namespace stook::torture {

// Does harm to them, and to their driver. Returns a part of the figure as harm_whole_runs() does.
[[nodiscard]] std::string harm_workers(Line& line, Harm harm, std::uint64_t quick_step);

}  // namespace stook::torture
