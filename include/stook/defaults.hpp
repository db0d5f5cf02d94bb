// defaults.hpp - what cli() uses where the command line says nothing.
#pragma once

#include <map>
#include <string>

namespace stook {

// DefaultArguments{.rate_limits = {{"gpu", 1}}}.populate();
struct DefaultArguments {
  std::map<std::string, std::string> prefixes = {};
  std::map<std::string, int> rate_limits = {};

  // Makes these the program's defaults: what was populated before is replaced.
  void populate() const;
};

}  // namespace stook
