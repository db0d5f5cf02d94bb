// kept_files.h - what lies beside the outputs of a command that are kept in the cache: what they
// were made of. Where that is as it was they may be put back. Unaware of commands.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include <stook/command.hpp>

namespace stook::detail {

struct KeptFiles {
  std::vector<CommandOutput> declared;
  std::vector<CommandOutput> found;
  std::vector<CommandOutput> outputs;
};

void write_kept(const std::filesystem::path& path, const KeptFiles& kept);  // throws Error
// Nothing where it is not there, or damaged.
[[nodiscard]] std::optional<KeptFiles> read_kept(const std::filesystem::path& path);

// Does each file have the content that is recorded of it?
[[nodiscard]] bool all_as_recorded(const std::vector<CommandOutput>& files);

}  // namespace stook::detail
