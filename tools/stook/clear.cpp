#include <iostream>

#include "runtime/select.h"
#include "tools/stook/commands.h"

#include <stook/cache.hpp>

namespace stook::tool {

Action add_clear(CLI::App& app, const std::string& cache) {
  auto task = std::make_shared<std::string>();
  auto* command = app.add_subcommand("clear", "Remove results; dependents will be checked");
  command->add_option("TASK", *task, "#ID, or a pattern of class names")->required();
  return [task, &cache] {
    const Cache opened(cache);
    const detail::Invalidated cleared = detail::clear_selected(opened.store(), *task);
    std::cout << cleared.removed << " results removed, " << cleared.suspected
              << " dependents to be checked\n";
    return 0;
  };
}

}  // namespace stook::tool
