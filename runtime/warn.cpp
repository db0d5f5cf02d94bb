// The one place where the library speaks to its user outside of results and exceptions.

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "runtime/run.h"
#include "src/shown.h"

namespace stook::detail {

void warn(std::string_view text) {
  static const auto logger = [] {
    auto made = std::make_shared<spdlog::logger>("stook",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("stook: %v");
    return made;
  }();
  logger->warn("{}", shown(text));
}

}  // namespace stook::detail
