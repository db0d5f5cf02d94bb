#include "runtime/kept_files.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <span>
#include <string>

#include "runtime/command_files.h"
#include "src/context.h"
#include "src/hash.h"

#include <stook/codec.hpp>
#include <stook/errors.hpp>

namespace stook::detail {

namespace fs = std::filesystem;

void write_kept(const fs::path& path, const KeptFiles& kept) {
  Writer writer;
  Codec<KeptFiles>::encode(writer, kept);
  const Digest digest = digest_of(writer);
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&digest), sizeof digest);
  for (const auto& piece : writer.pieces()) {
    file.write(reinterpret_cast<const char*>(piece.data()),
               static_cast<std::streamsize>(piece.size()));
  }
  if (!file.flush()) throw Error("cannot write " + path.string());
}

std::optional<KeptFiles> read_kept(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (text.size() < sizeof(Digest)) return {};
  try {
    Reader reader(std::as_bytes(std::span(text)).subspan(sizeof(Digest)));
    KeptFiles kept = Codec<KeptFiles>::decode(reader);
    reader.finish();
    Writer writer;
    Codec<KeptFiles>::encode(writer, kept);
    const Digest digest = digest_of(writer);
    if (std::memcmp(&digest, text.data(), sizeof digest) != 0) return {};
    return kept;
  } catch (const Error&) { return {}; }
}

bool all_as_recorded(const std::vector<CommandOutput>& files) {
  for (const CommandOutput& file : files) {
    if (to_hex(digest_of_file(file.path)) != file.digest) return false;
  }
  return true;
}

}  // namespace stook::detail
