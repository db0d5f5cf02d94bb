#include <iostream>

#include "tools/stook/commands.h"

#include <stook/cache.hpp>

namespace stook::tool {

Action add_reindex(CLI::App& app, const std::string& cache) {
  app.add_subcommand("reindex", "Rebuild the index from the packs");
  return [&cache] {
    Cache opened(cache);
    opened.reindex();
    std::cout << "the index has been rebuilt\n";
    return 0;
  };
}

}  // namespace stook::tool
