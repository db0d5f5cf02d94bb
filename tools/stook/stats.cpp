#include <iostream>

#include "src/shown.h"
#include "tools/stook/commands.h"

#include <stook/cache.hpp>

namespace stook::tool {

Action add_stats(CLI::App& app, const std::string& cache) {
  app.add_subcommand("stats", "Count records and bytes");
  return [&cache] {
    Cache opened(cache);
    const CacheStats stats = opened.stats();
    std::cout << stats.records << " records: " << stats.fresh << " fresh, " << stats.suspect
              << " suspect; " << stats.bytes << " bytes\n";
    for (const auto& [name, count] : stats.by_class)
      std::cout << "  " << detail::shown(name) << ' ' << count << '\n';
    return 0;
  };
}

}  // namespace stook::tool
