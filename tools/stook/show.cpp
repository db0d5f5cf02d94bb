#include <iostream>

#include "runtime/select.h"
#include "src/shown.h"
#include "tools/stook/commands.h"

#include <stook/cache.hpp>

namespace stook::tool {

Action add_show(CLI::App& app, const std::string& cache) {
  auto task = std::make_shared<std::string>();
  auto* command = app.add_subcommand("show", "Show tasks: arguments, upstream, result, why");
  command->add_option("TASK", *task, "#ID, or a pattern of class names")->required();
  return [task, &cache] {
    const Cache opened(cache);
    std::cout << detail::shown(detail::explain_selected(opened.store(), *task));
    return 0;
  };
}

}  // namespace stook::tool
