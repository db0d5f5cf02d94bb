#include <iostream>

#include "tools/stook/commands.h"

#include <stook/cache.hpp>

namespace stook::tool {

Action add_collect(CLI::App& app, const std::string& cache) {
  auto* command = app.add_subcommand("collect", "Remove what nothing refers to, and old results");
  auto bytes = std::make_shared<std::uint64_t>();
  auto days = std::make_shared<std::int64_t>();
  auto keep = std::make_shared<std::vector<std::string>>();
  auto dry_run = std::make_shared<bool>(false);
  auto* max_bytes = command->add_option("--max-bytes", *bytes, "Evict the oldest above this size");
  auto* older = command->add_option("--older-than", *days, "Evict what was not used for DAYS");
  command->add_option("--keep", *keep, "Never evict results of this class; repeatable");
  command->add_flag("-n,--dry-run", *dry_run, "Only say what would go");
  return [=, &cache] {
    Cache opened(cache);
    CollectOptions options;
    if (max_bytes->count() > 0) options.max_bytes = *bytes;
    if (older->count() > 0) options.older_than_days = *days;
    options.keep_classes.insert(keep->begin(), keep->end());
    options.dry_run = *dry_run;
    const CollectReport report = opened.collect(options);
    std::cout << report.evicted << " results evicted, " << report.bytes_before << " bytes before, "
              << report.bytes_after << " after\n";
    return 0;
  };
}

}  // namespace stook::tool
