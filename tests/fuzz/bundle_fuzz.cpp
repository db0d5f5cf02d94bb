// Any bytes as a bundle: refused, or records that can be, each with what belongs to it. The first
// byte says what the others are: the bundle, the tar in it, or the fields of its files, with
// checksums that hold, or hardly any input would get past them.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "cache/bundle.h"
#include "src/os.h"
#include "tests/fuzz/fuzz.h"
#include "tests/torture/hostile.h"

#include <stook/errors.hpp>

using namespace stook::detail;
using namespace stook::torture;

namespace {

namespace fs = std::filesystem;

class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes) {}
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  unsigned take() {
    if (empty()) return 0;
    const auto first = static_cast<unsigned char>(bytes_.front());
    bytes_.remove_prefix(1);
    return first;
  }
  std::string text(std::size_t most) {
    const std::string_view first = bytes_.substr(0, std::min<std::size_t>(take(), most));
    bytes_.remove_prefix(std::min(first.size(), bytes_.size()));
    return std::string(first);
  }

 private:
  std::string_view bytes_;
};

HostileRecord record_of(Bytes& from) {
  HostileRecord record;
  const unsigned flags = from.take();
  record.name = from.text(8);
  if ((flags & 1) != 0) record.class_name = from.text(8);
  record.value = from.text(255);
  record.id = from.take();
  record.in_object = (flags & 2) != 0;
  if ((flags & 4) != 0) record.raw_bytes = std::uint64_t{1} << (from.take() % 41);
  if ((flags & 8) != 0) record.stored_bytes = std::uint64_t{1} << (from.take() % 41);
  if ((flags & 16) != 0) record.directory.low = from.take();
  record.wrong_digest = (flags & 32) != 0;
  if (!record.in_object) record.stored_bytes = record.value.size();  // encode_frame copies it
  return record;
}

TarFile file_of(Bytes& from, std::string& last) {
  const unsigned flags = from.take();
  TarFile file;
  const char* const kinds = "05123xLg";
  if ((flags & 1) != 0) file.type = kinds[from.take() % 8];
  file.content = from.text(255);
  switch ((flags >> 1) % 5) {
    case 0: {
      std::vector<HostileRecord> records;
      for (unsigned n = from.take() % 3 + 1; n > 0; --n) records.push_back(record_of(from));
      last = records.back().value;
      file.name = "records/00000" + std::to_string(from.take() % 4) + ".pack";
      file.content = pack_of(records);
      break;
    }
    case 1:
      file.name = object_name(last);
      file.content = last;
      break;
    case 2: file.name = "tasks/Task/" + std::to_string(from.take()) + "/data"; break;
    case 3:
      file.name = "tasks/Task/" + std::to_string(from.take()) + "/data/" + from.text(20);
      break;
    default: file.name = from.text(60);
  }
  if ((flags & 64) != 0) file.says = std::uint64_t{1} << (from.take() % 33);
  return file;
}

std::string bundle_from(Bytes from) {
  std::vector<TarFile> files;
  Says says;
  says.records = from.take() % 8;
  says.last_id = from.take();
  std::string last;
  while (!from.empty() && files.size() < 12) files.push_back(file_of(from, last));
  return zstd_of(tar_of(bundle_of(files, says)), 1);
}

void read_all(const std::string& bytes, bool take) {
  const Fd memory(memfd_create("bundle", MFD_CLOEXEC));
  if (!os_write(memory.get(), bytes.data(), bytes.size())) return;
  lseek(memory.get(), 0, SEEK_SET);
  static const fs::path scratch = fs::temp_directory_path() / ("fuzz-bundle-" + os_unique_name());
  fs::create_directory(scratch);
  try {
    BundleReader reader(memory.get(), "fuzzed", {});
    std::uint64_t records = 0;
    for (BundleRecord record; reader.next(record);) {
      ++records;
      stook::fuzz::require(
          is_record(record.frame.kind) && record.frame.id != 0 && !record.frame.class_name.empty(),
          "a record is one");
      if (!take) continue;
      if (record.has_object) reader.take_object(scratch / "object");
      if (record.frame.kind == FrameKind::result && !record.frame.directory.is_zero()) {
        reader.take_directory(scratch / "data");
        fs::remove_all(scratch / "data");
      }
      fs::remove(scratch / "object");
    }
    stook::fuzz::require(records == reader.head().records, "as many as it says");
  } catch (const stook::Error&) {}  // refused
  fs::remove_all(scratch);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string rest(stook::fuzz::text(data + 1, size - 1));
  const bool take = (data[0] & 4) != 0;
  switch (data[0] & 3) {
    case 0: read_all(rest, take); break;
    case 1: read_all(zstd_of(rest, 1), take); break;
    default: read_all(bundle_from(Bytes(rest)), take);
  }
  return 0;
}
