#include "src/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstring>

namespace stook::detail {
namespace {

// Notes are: name size, content size, type, then name and content, each padded to four bytes.
std::string find_note(const char* notes, std::size_t size) {
  constexpr auto padded = [](std::size_t bytes) { return (bytes + 3) & ~std::size_t{3}; };
  while (size >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, notes, sizeof header);
    const std::size_t whole = sizeof header + padded(header.n_namesz) + padded(header.n_descsz);
    if (whole > size) break;
    const char* name = notes + sizeof header;
    if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 &&
        std::memcmp(name, "GNU", 4) == 0) {
      static constexpr char digits[] = "0123456789abcdef";
      std::string text;
      for (std::size_t i = 0; i < header.n_descsz; ++i) {
        const auto byte = static_cast<unsigned char>(name[padded(header.n_namesz) + i]);
        text += {digits[byte >> 4], digits[byte & 15]};
      }
      return text;
    }
    notes += whole;
    size -= whole;
  }
  return {};
}

int look_at_program(dl_phdr_info* info, std::size_t, void* result) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_NOTE) continue;
    const auto* notes = reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr);
    auto& text = *static_cast<std::string*>(result);
    text = find_note(notes, header.p_memsz);
    if (!text.empty()) break;
  }
  return 1;  // the first object is the program itself
}

}  // namespace

std::string build_id() {
  std::string id;
  ::dl_iterate_phdr(&look_at_program, &id);
  return id;
}

}  // namespace stook::detail
