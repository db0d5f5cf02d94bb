#include <iostream>

#include "tools/stook/commands.h"

#include <stook/cache.hpp>

namespace stook::tool {

Action add_collect(CLI::App& app, const std::string& cache) {
  auto* command = app.add_subcommand("collect", "Remove what nothing refers to, and old results");
  auto bytes = std::make_shared<std::uint64_t>();
  auto days = std::make_shared<double>();
  auto* max_bytes = command->add_option("--max-bytes", *bytes, "Evict the oldest above this size");
  auto* older = command->add_option("--older-than", *days, "Evict what is older than DAYS");
  return [=, &cache] {
    Cache opened(cache);
    CollectOptions options;
    if (max_bytes->count() > 0) options.max_bytes = *bytes;
    if (older->count() > 0) options.older_than_seconds = *days * 86400;
    const CollectReport report = opened.collect(options);
    std::cout << report.removed_records << " records removed, " << report.bytes_before
              << " bytes before, " << report.bytes_after << " after\n";
    return 0;
  };
}

}  // namespace stook::tool
