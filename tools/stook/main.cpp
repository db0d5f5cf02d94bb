// The `stook` program: looks into a cache, checks it, cleans it, carries results to another.

#include <filesystem>
#include <iostream>
#include <sstream>
#include <utility>
#include <vector>

#include "src/shown.h"
#include "tools/stook/commands.h"

#include <stook/errors.hpp>

namespace {
constexpr int bad_usage = 2;
constexpr int environment_failed = 3;
}  // namespace

int main(int argc, char** argv) {
  using namespace stook::tool;
  CLI::App app("Looks into a stook cache, checks it, cleans it.");
  std::string cache = "cache";
  app.add_option("-o,--cache", cache, "Directory of the cache")->capture_default_str();
  app.require_subcommand(1);
  app.fallthrough();
  std::vector<std::pair<std::string, Action>> actions;
  actions.emplace_back("show", add_show(app, cache));
  actions.emplace_back("clear", add_clear(app, cache));
  actions.emplace_back("stats", add_stats(app, cache));
  actions.emplace_back("verify", add_verify(app, cache));
  actions.emplace_back("reindex", add_reindex(app, cache));
  actions.emplace_back("collect", add_collect(app, cache));
  actions.emplace_back("export", add_export(app, cache));
  actions.emplace_back("import", add_import(app, cache));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream err;
    const int code = app.exit(error, std::cout, err);
    std::cerr << stook::detail::shown(err.str());
    return code == 0 ? 0 : bad_usage;
  }
  try {
    if (!app.got_subcommand("import") &&  // that may make one
        !std::filesystem::exists(std::filesystem::path(cache) / "FORMAT")) {
      throw stook::CacheError("there is no stook cache in '" + cache + "': name one with --cache");
    }
    for (const auto& [name, action] : actions) {
      if (app.got_subcommand(name)) return action();
    }
  } catch (const stook::InvalidArgument& error) {
    std::cerr << stook::detail::shown(error.what()) << '\n';
    return bad_usage;
  } catch (const std::exception& error) { std::cerr << stook::detail::shown(error.what()) << '\n'; }
  return environment_failed;
}
