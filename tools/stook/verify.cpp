#include <iostream>

#include "src/shown.h"
#include "tools/stook/commands.h"

#include <stook/cache.hpp>

namespace stook::tool {

Action add_verify(CLI::App& app, const std::string& cache) {
  app.add_subcommand("verify", "Read everything and check it; exit 1 where something is damaged");
  return [&cache] {
    Cache opened(cache);
    const VerifyReport report = opened.verify();
    for (const std::string& defect : report.defects) std::cout << detail::shown(defect) << '\n';
    std::cout << report.records << " records and " << report.objects << " objects read, "
              << report.defects.size() << " defects\n";
    return report.defects.empty() ? 0 : 1;
  };
}

}  // namespace stook::tool
