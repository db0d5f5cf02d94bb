// commands.h - one function per subcommand of the `stook` program: parse, two or three library
// calls, exit code. Each lies in a file of its name.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

namespace stook::tool {

// Adds the subcommand; returns what it does when it was chosen. `cache` is the --cache option.
using Action = std::function<int()>;
Action add_show(CLI::App& app, const std::string& cache);
Action add_clear(CLI::App& app, const std::string& cache);
Action add_stats(CLI::App& app, const std::string& cache);
Action add_verify(CLI::App& app, const std::string& cache);
Action add_reindex(CLI::App& app, const std::string& cache);
Action add_collect(CLI::App& app, const std::string& cache);
Action add_export(CLI::App& app, const std::string& cache);
Action add_import(CLI::App& app, const std::string& cache);

}  // namespace stook::tool
