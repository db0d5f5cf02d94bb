#include <iostream>

#include "src/shown.h"
#include "tools/stook/commands.h"

#include <stook/cache.hpp>

namespace stook::tool {

Action add_export(CLI::App& app, const std::string& cache) {
  auto file = std::make_shared<std::string>();
  auto patterns = std::make_shared<std::vector<std::string>>();
  auto* command = app.add_subcommand("export", "Write results to a file for another cache");
  command->add_option("FILE", *file, "The bundle to write; -: standard output")->required();
  command->add_option("PATTERN", *patterns,
                      "#ID, or a pattern of class names; what they were made of goes with them; "
                      "default: all");
  return [=, &cache] {
    Cache opened(cache);
    ExportOptions options;
    options.patterns = *patterns;
    const ExportReport report = opened.export_to(*file, options);
    std::ostream& out = *file == "-" ? std::cerr : std::cout;
    for (const std::string& line : report.messages) std::cerr << detail::shown(line) << '\n';
    out << report.results << " results exported, " << report.records
        << " records with what they were made of, " << report.left_out << " left out\n";
    return 0;
  };
}

}  // namespace stook::tool
