#include <iostream>

#include "src/shown.h"
#include "tools/stook/commands.h"

#include <stook/cache.hpp>

namespace stook::tool {

Action add_import(CLI::App& app, const std::string& cache) {
  auto file = std::make_shared<std::string>();
  auto trusted = std::make_shared<bool>(false);
  auto* command = app.add_subcommand("import", "Take in the results of `stook export`");
  command->add_option("FILE", *file, "The bundle; -: standard input")->required();
  command->add_flag("--trust", *trusted,
                    "The bundle is your own: do not limit its memory and its growth");
  return [=, &cache] {
    Cache opened(cache);
    ImportOptions options;
    options.trusted = *trusted;
    const ImportReport report = opened.import_from(*file, options);
    for (const std::string& line : report.messages) std::cerr << detail::shown(line) << '\n';
    std::cout << report.imported << " records imported, " << report.present
              << " were here already, " << report.different << " differ and were kept, "
              << report.left_out << " left out";
    if (report.unproven > 0) std::cout << "; " << report.unproven << " are to be checked by a run";
    std::cout << '\n';
    return 0;
  };
}

}  // namespace stook::tool
