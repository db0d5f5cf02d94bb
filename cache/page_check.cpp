#include "cache/page_check.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <vector>

#include "src/hash.h"
#include "src/mutant.h"
#include "src/os.h"

namespace stook::detail {
namespace {

// --- The shim: all but reading and writing pages goes to the file behind it --------------------

struct CheckedFile {
  sqlite3_file base;
  sqlite3_file* behind;  // in the memory after this
};

sqlite3_file* behind(sqlite3_file* file) { return reinterpret_cast<CheckedFile*>(file)->behind; }

bool is_page(int size, sqlite3_int64 offset) {
  return size == kPageBytes && offset % kPageBytes == 0;
}

std::uint64_t check_of(const void* page, sqlite3_int64 offset) {
  return hash_bytes(page, kPageBytes - kPageCheckBytes).low ^
         (STOOK_MUTANT("page-place") ? 0 : static_cast<std::uint64_t>(offset));
}

// SQLite takes the end of the file for zeros, also in the middle of a page.
bool is_cut_through(sqlite3_file* file, sqlite3_int64 offset) {
  sqlite3_int64 size = 0;
  return behind(file)->pMethods->xFileSize(behind(file), &size) == SQLITE_OK && size > offset;
}

int read_page(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
  const int code = behind(file)->pMethods->xRead(behind(file), to, size, offset);
  if (!is_page(size, offset)) return code;
  if (!STOOK_MUTANT("page-cut") && code == SQLITE_IOERR_SHORT_READ &&
      is_cut_through(file, offset)) {
    return SQLITE_CORRUPT;
  }
  if (code != SQLITE_OK) return code;
  std::uint64_t found = 0;
  std::memcpy(&found, static_cast<char*>(to) + kPageBytes - kPageCheckBytes, sizeof found);
  const bool good = STOOK_MUTANT("check-page") || found == check_of(to, offset);
  return good ? SQLITE_OK : SQLITE_CORRUPT;
}

int write_page(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  if (!is_page(size, offset)) {
    return behind(file)->pMethods->xWrite(behind(file), from, size, offset);
  }
  alignas(8) std::array<char, kPageBytes> page;
  std::memcpy(page.data(), from, kPageBytes - kPageCheckBytes);
  const std::uint64_t check = check_of(page.data(), offset);
  std::memcpy(page.data() + kPageBytes - kPageCheckBytes, &check, sizeof check);
  return behind(file)->pMethods->xWrite(behind(file), page.data(), size, offset);
}

template <auto Method, class... Arguments>
auto forward(sqlite3_file* file, Arguments... arguments) {
  return (behind(file)->pMethods->*Method)(behind(file), arguments...);
}

// Version 2: without xFetch, by which SQLite would read pages past us.
constexpr sqlite3_io_methods kMethods = {
    2,
    forward<&sqlite3_io_methods::xClose>,
    read_page,
    write_page,
    forward<&sqlite3_io_methods::xTruncate, sqlite3_int64>,
    forward<&sqlite3_io_methods::xSync, int>,
    forward<&sqlite3_io_methods::xFileSize, sqlite3_int64*>,
    forward<&sqlite3_io_methods::xLock, int>,
    forward<&sqlite3_io_methods::xUnlock, int>,
    forward<&sqlite3_io_methods::xCheckReservedLock, int*>,
    forward<&sqlite3_io_methods::xFileControl, int, void*>,
    forward<&sqlite3_io_methods::xSectorSize>,
    forward<&sqlite3_io_methods::xDeviceCharacteristics>,
    forward<&sqlite3_io_methods::xShmMap, int, int, int, void volatile**>,
    forward<&sqlite3_io_methods::xShmLock, int, int, int>,
    forward<&sqlite3_io_methods::xShmBarrier>,
    forward<&sqlite3_io_methods::xShmUnmap, int>,
    nullptr,
    nullptr};

sqlite3_vfs* real_vfs(sqlite3_vfs* vfs) { return static_cast<sqlite3_vfs*>(vfs->pAppData); }

// Only the database has pages; its log and journals are the real ones.
int open_file(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  sqlite3_vfs* const real = real_vfs(vfs);
  if ((flags & SQLITE_OPEN_MAIN_DB) == 0) return real->xOpen(real, name, file, flags, out_flags);
  auto* const checked = new (file) CheckedFile{};
  checked->behind = reinterpret_cast<sqlite3_file*>(checked + 1);
  checked->behind->pMethods = nullptr;
  const int code = real->xOpen(real, name, checked->behind, flags, out_flags);
  if (checked->behind->pMethods != nullptr) checked->base.pMethods = &kMethods;
  return code;
}

const char* register_checked_pages() {
  static sqlite3_vfs vfs;
  sqlite3_vfs* const real = sqlite3_vfs_find(nullptr);
  vfs = *real;  // what is not about opening files is done as there
  vfs.zName = "stook";
  vfs.szOsFile = static_cast<int>(sizeof(CheckedFile)) + real->szOsFile;
  vfs.pAppData = real;
  vfs.pNext = nullptr;
  vfs.xOpen = open_file;
  return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? vfs.zName : nullptr;
}

// --- The log: https://sqlite.org/fileformat2.html, "The Write-Ahead Log" -----------------------

constexpr std::size_t kLogHeader = 32;
constexpr std::size_t kFrameHeader = 24;
constexpr std::uint32_t kLogMagic = 0x377f0682;  // its lowest bit: checksums over big-endian words

std::uint32_t big_endian(const char* at) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(at);
  return static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
         static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3];
}

struct LogSum {
  bool big = false;
  std::uint32_t first = 0, second = 0;

  void add(std::span<const char> bytes) {
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      first += word(bytes.data() + at) + second;
      second += word(bytes.data() + at + 4) + first;
    }
  }
  [[nodiscard]] bool is(const char* at) const {
    return big_endian(at) == first && big_endian(at + 4) == second;
  }

 private:
  [[nodiscard]] std::uint32_t word(const char* at) const {
    std::uint32_t value = 0;
    std::memcpy(&value, at, sizeof value);
    const bool swapped = big != (std::endian::native == std::endian::big);
    return swapped ? __builtin_bswap32(value) : value;
  }
};

}  // namespace

const char* checked_pages() {
  static const char* const name = register_checked_pages();
  return name;
}

bool check_log(const std::filesystem::path& log) {
  const Fd fd = os_open(log, O_RDONLY);
  if (!fd) return errno == ENOENT;
  std::array<char, kLogHeader> header{};
  const ssize_t n = os_pread(fd.get(), header.data(), header.size(), 0);
  if (n == 0) return true;
  if (n != static_cast<ssize_t>(kLogHeader)) return false;
  const std::uint32_t magic = big_endian(header.data());
  LogSum sum{(magic & 1) != 0};
  sum.add(std::span(header).first(24));
  if ((magic & ~1u) != kLogMagic || !sum.is(header.data() + 24)) return false;
  if (big_endian(header.data() + 8) != kPageBytes) return false;
  std::vector<char> frame(kFrameHeader + kPageBytes);
  bool ended = false;
  for (std::uint64_t at = kLogHeader;; at += frame.size()) {
    const ssize_t got = os_pread(fd.get(), frame.data(), frame.size(), at);
    if (got < 0) return false;
    if (static_cast<std::size_t>(got) < frame.size()) return true;
    // Other salts: from before the log was last begun anew.
    if (std::memcmp(frame.data() + 8, header.data() + 16, 8) != 0) {
      ended = true;
      continue;
    }
    sum.add(std::span(frame).first(8));
    sum.add(std::span(frame).subspan(kFrameHeader));
    if (ended || !sum.is(frame.data() + 16)) return false;
  }
}

}  // namespace stook::detail
