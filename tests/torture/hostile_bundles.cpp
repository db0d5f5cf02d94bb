// The bundles of line 17.
#include "cache/bundle.h"
#include "src/external.h"
#include "tests/torture/hostile.h"

namespace stook::torture {
namespace {

constexpr std::uint64_t kBomb = 8'000'000'000;

const std::string data_name = "tasks/Task/100/data";

// A record with a directory in which there is the file "f".
HostileRecord with_directory() {
  detail::DirectoryHasher hasher;
  hasher.file("f", false);
  hasher.content("content", 7);
  hasher.end_file();
  HostileRecord record;
  record.directory = hasher.finish();
  return record;
}

HostileRecord with_object(std::string value, std::string name = "task") {
  HostileRecord record;
  record.name = std::move(name);
  record.value = std::move(value);
  record.in_object = true;
  return record;
}

std::string text_of(const Says& says) {
  return detail::to_text({says.records, says.last_id, says.bytes});
}

std::string plain(const std::vector<TarFile>& files, const Says& says = {}) {
  return zstd_of(tar_of(bundle_of(files, says)));
}

std::vector<BadBundle> names_and_kinds() {
  const TarFile pack = {"records/000001.pack", pack_of({HostileRecord()})};
  const TarFile used = {"records/000001.pack", pack_of({with_directory()})};
  const TarFile data = {data_name, "", '5'};
  const TarFile file = {data_name + "/f", "content"};
  const auto in_directory = [&](const TarFile& bad) { return plain({used, data, bad, file}); };
  return {
      {"all is well", "", plain({pack})},
      {"a directory, all is well", "", plain({used, data, file})},
      {"'..' at the beginning", "'..'", plain({pack, {"../evil", "x"}})},
      {"'..' in a task directory", "'..'", in_directory({data_name + "/../../../../../evil", "x"})},
      {"'..' as a directory", "'..'", in_directory({data_name + "/..", "", '5'})},
      {"'.' in a name", "'.'", in_directory({data_name + "/./a", "x"})},
      {"an absolute name", "absolute", plain({pack, {"/tmp/evil", "x"}})},
      {"an absolute name in a group", "absolute", in_directory({"/" + data_name + "/a", "x"})},
      {"a symbolic link", "symbolic link",
       in_directory({data_name + "/a", "", '2', "/etc/passwd"})},
      {"a symbolic link that stays inside", "symbolic link",
       in_directory({data_name + "/a", "", '2', "f"})},
      {"a symbolic link as a directory", "symbolic link",
       plain({used, {data_name, "", '2', "/tmp"}, file})},
      {"a hard link", "hard link", in_directory({data_name + "/a", "", '1', "/etc/passwd"})},
      {"a device", "neither a file", in_directory({data_name + "/a", "", '3'})},
      {"a pipe", "neither a file", in_directory({data_name + "/a", "", '6'})},
      {"a pack twice", "comes twice", plain({pack, pack})},
      {"the head twice", "comes twice", plain({{"stook-bundle", "x"}, pack})},
      {"a file twice", "comes twice", plain({used, data, file, file})},
      {"an object twice", "the name comes twice",
       plain({{"records/000001.pack", pack_of({with_object("object")})},
              {object_name("object"), "object"},
              {"records/000002.pack", pack_of({with_object("object", "another task")})},
              {object_name("object"), "object"}},
             {.records = 2})},
      {"an unknown name", "not known", plain({pack, {"index.sqlite", "x"}})},
      {"a file of the cache", "not known", plain({{".claims", "x"}, pack})},
      {"an object that nobody names", "not known", plain({pack, {object_name("o"), "o"}})},
      {"the directory of another task", "is missing",
       plain({used, {"tasks/Task/101/data", "", '5'}, {"tasks/Task/101/data/f", "content"}})},
      {"a directory without a record", "not known", plain({pack, data, file})},
      {"a file below a file", "missing", plain({used, data, file, {data_name + "/f/g", "x"}})},
      {"a file below what is not there", "missing", plain({used, data, {data_name + "/a/b", "x"}})},
      {"a class named like a way out", "",
       plain({{"records/000001.pack", pack_of({{.name = "out", .class_name = "../../evil"}})}})},
  };
}

std::vector<BadBundle> contents() {
  const TarFile pack = {"records/000001.pack", pack_of({HostileRecord()})};
  const TarFile used = {"records/000001.pack", pack_of({with_directory()})};
  const TarFile data = {data_name, "", '5'};
  const TarFile object = {"records/000001.pack", pack_of({with_object("object")})};
  const auto record = [](const HostileRecord& bad) {
    return plain({{"records/000001.pack", pack_of({bad})}});
  };
  std::string flipped = pack.content;
  flipped[flipped.size() / 2] ^= 1;
  return {
      {"another content than the digest says", "digest", record({.wrong_digest = true})},
      {"a record with a flipped bit", "damaged", plain({{pack.name, flipped}})},
      {"a file with another content", "another content",
       plain({used, data, {data_name + "/f", "CONTENT"}})},
      {"a file too many", "another content",
       plain({used, data, {data_name + "/f", "content"}, {data_name + "/g", "x"}})},
      {"a file missing", "another content", plain({used, data})},
      {"no directory", "is missing", plain({used})},
      {"an object with another content", "name says",
       plain({object, {object_name("object"), "OBJECT"}})},
      {"an object of another size", "another size",
       plain({object, {object_name("object"), "object and more"}})},
      {"no object", "is missing", plain({object})},
      {"a record without a number", "no id", record({.id = 0})},
      {"a number above the last", "above the last", plain({used, data}, {.last_id = 0})},
      {"numbers without end", "head is damaged", plain({pack}, {.last_id = ~std::uint64_t{0}})},
      {"more records than there are", "holds 1 records", plain({pack}, {.records = 7})},
      {"something after the end", "follows the end", zstd_of(tar_of([&] {
         auto files = bundle_of({pack}, {});
         files.push_back({"more", "x"});
         return files;
       }()))},
      {"no end", "end is missing", zstd_of(tar_of([&] {
         auto files = bundle_of({pack}, {});
         files.pop_back();
         return files;
       }()))},
      {"cut short", "short",
       [&] {
         const std::string whole = plain({pack});
         return whole.substr(0, whole.size() - 9);
       }()},
      {"no tar file", "no tar file", zstd_of("hello, this is no tar file at all")},
      {"no zstd file", "no bundle", tar_of(bundle_of({pack}, {}))},
      {"nothing", "bundle", ""},
      {"another tar file", "no stook bundle", zstd_of(tar_of({{"readme", "x"}}))},
  };
}

std::vector<BadBundle> sizes() {
  const Says ten = {.bytes = kBomb + 10'000};
  const auto cut_tar = [](const std::vector<TarFile>& files) {  // without its end
    std::string tar = tar_of(files);
    tar.resize(tar.size() - 1024);
    return tar;
  };
  HostileRecord large = with_object("object");
  large.stored_bytes = large.raw_bytes = kBomb;
  HostileRecord lies = with_object(std::string(200'000, 'x'));
  lies.raw_bytes = kBomb;
  HostileRecord inside;
  inside.raw_bytes = kBomb;
  const TarFile record = {"records/000001.pack", pack_of({large})};
  const TarFile zeros = {object_name("object"), "", '0', "", kBomb};
  const TarFile first = {"stook-bundle", text_of(ten)};
  const TarFile middle = {"stook-bundle", text_of({.bytes = 1 << 25})};
  const TarFile small = {"stook-bundle", text_of({})};
  return {
      {"a zstd bomb that says its size", "zstd bomb",
       zstd_of_zeros(kBomb, cut_tar({first, record, zeros}))},
      {"a zstd bomb that says it is small", "more than the bundle says",
       zstd_of_zeros(kBomb, cut_tar({small, record, zeros}))},
      {"a zstd bomb in a name", "bundle",
       zstd_of_zeros(kBomb,
                     cut_tar({small, {"././@LongLink", "", 'L', "", std::uint64_t{7} << 30}}))},
      {"a zstd bomb in a pax header", "bundle",
       zstd_of_zeros(kBomb, cut_tar({small, {"pax", "", 'x', "", std::uint64_t{7} << 30}}))},
      {"a zstd bomb of nothing but zeros", "bundle", zstd_of_zeros(kBomb)},
      {"a pack of 20 MB", "more bytes than records",
       zstd_of_zeros(1 << 25, cut_tar({middle, {record.name, "", '0', "", 20'000'000}}))},
      {"a window of 128 MB", "memory", zstd_of(plain({}) + std::string(300'000, 'x'), 3, 27)},
      {"an object that says 8 GB", "is not what its record says",
       plain({{"records/000001.pack", pack_of({lies})}, {object_name(lies.value), lies.value}})},
      {"a value that says 8 GB", "damaged", plain({{"records/000001.pack", pack_of({inside})}})},
      {"a record of almost 4 MiB", "",
       plain({{"records/000001.pack", pack_of({{.name = std::string(4'150'000, 'n')}})}},
             {.bytes = 1 << 23})},
      {"a record of more than 4 MiB", "4 MiB",
       plain({{"records/000001.pack", pack_of({{.name = std::string(4'200'000, 'n')}})}},
             {.bytes = 1 << 23})},
  };
}

}  // namespace

std::vector<BadBundle> bad_bundles() {
  std::vector<BadBundle> all = names_and_kinds();
  for (auto* more : {&contents, &sizes}) {
    for (BadBundle& bundle : more()) all.push_back(std::move(bundle));
  }
  return all;
}

}  // namespace stook::torture
