#include "tests/torture/hostile.h"

#include <zstd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "cache/bundle.h"
#include "src/hash.h"

namespace stook::torture {
namespace {

constexpr std::size_t kBlock = 512;

void put_octal(char* to, std::size_t size, std::uint64_t number) {
  std::snprintf(to, size, "%0*llo", static_cast<int>(size - 1),
                static_cast<unsigned long long>(number));
}

std::string header_of(const TarFile& file) {
  std::string block(kBlock, '\0');
  const std::uint64_t size = file.says != ~0u ? file.says : file.content.size();
  file.name.copy(block.data(), 100);
  put_octal(&block[100], 8, file.type == '5' ? 0700 : 0600);
  put_octal(&block[108], 8, 0);
  put_octal(&block[116], 8, 0);
  put_octal(&block[124], 12, size);
  put_octal(&block[136], 12, 0);
  std::memset(&block[148], ' ', 8);
  block[156] = file.type;
  file.link.copy(&block[157], 100);
  std::memcpy(&block[257],
              "ustar\0"
              "00",
              8);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  std::snprintf(&block[148], 8, "%06o", sum);
  return block;
}

}  // namespace

std::string tar_of(const std::vector<TarFile>& files) {
  std::string tar;
  for (const TarFile& file : files) {
    tar += header_of(file) + file.content;
    tar.resize((tar.size() + kBlock - 1) / kBlock * kBlock);
  }
  return tar + std::string(2 * kBlock, '\0');
}

std::string zstd_of(const std::string& bytes, int level, int window_log) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  if (window_log > 0) ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  std::string out(ZSTD_compressBound(bytes.size()) + 64, '\0');
  ZSTD_inBuffer from = {bytes.data(), bytes.size(), 0};
  ZSTD_outBuffer to = {out.data(), out.size(), 0};
  // In two steps: in one, the window would be no larger than the content.
  while (from.pos < from.size) ZSTD_compressStream2(context, &to, &from, ZSTD_e_continue);
  const std::size_t left = ZSTD_compressStream2(context, &to, &from, ZSTD_e_end);
  ZSTD_freeCCtx(context);
  if (left != 0) throw std::logic_error("zstd");
  out.resize(to.pos);
  return out;
}

std::string zstd_of_zeros(std::uint64_t count, const std::string& before) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  const std::vector<char> zeros(1 << 20);
  std::vector<char> piece(1 << 20);
  std::string out;
  const auto feed = [&](const char* data, std::size_t size, bool last) {
    ZSTD_inBuffer from = {data, size, 0};
    for (std::size_t left = 1; from.pos < from.size || (last && left != 0);) {
      ZSTD_outBuffer to = {piece.data(), piece.size(), 0};
      left = ZSTD_compressStream2(context, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
      out.append(piece.data(), to.pos);
    }
  };
  feed(before.data(), before.size(), false);
  for (std::uint64_t at = 0; at < count; at += zeros.size())
    feed(zeros.data(), zeros.size(), false);
  feed(nullptr, 0, true);
  ZSTD_freeCCtx(context);
  return out;
}

std::string pack_of(const std::vector<HostileRecord>& records) {
  detail::PackHeader header;
  header.salt = 42;
  header.host = "elsewhere";
  std::vector<std::byte> out;
  detail::encode_pack_header(header, out);
  for (const HostileRecord& record : records) {
    detail::Frame frame;
    frame.key = Key{detail::hash_bytes(record.name)};
    frame.id = record.id;
    frame.class_name = record.class_name;
    frame.codec = "text";
    frame.arguments = record.name;
    frame.in_object = record.in_object;
    frame.object = detail::hash_bytes(record.value);
    frame.stored_bytes = record.stored_bytes != ~0u ? record.stored_bytes : record.value.size();
    frame.raw_bytes = record.raw_bytes != ~0u ? record.raw_bytes : record.value.size();
    frame.compressed = frame.raw_bytes != frame.stored_bytes;
    detail::Hasher hasher;
    hasher.update(detail::kResultDomain);
    hasher.update(record.value);
    frame.digest = Digest{hasher.finish()};
    frame.directory = record.directory;
    if (!record.directory.is_zero()) {
      frame.digest = detail::combine_digests(frame.digest, record.directory);
    }
    if (record.wrong_digest) frame.digest.low ^= 1;
    const detail::ByteSpan value(reinterpret_cast<const std::byte*>(record.value.data()),
                                 record.value.size());
    detail::encode_frame(frame, {}, {&value, 1}, header.salt, out);
  }
  return {reinterpret_cast<const char*>(out.data()), out.size()};
}

std::string object_name(const std::string& content) {
  const std::string hex = to_hex(detail::hash_bytes(content));
  return "objects/" + hex.substr(0, 2) + "/" + hex.substr(2);
}

std::vector<TarFile> bundle_of(const std::vector<TarFile>& files, const Says& says) {
  const std::string text = detail::to_text({says.records, says.last_id, says.bytes});
  std::vector<TarFile> all = {{"stook-bundle", text}};
  all.insert(all.end(), files.begin(), files.end());
  all.push_back({"stook-bundle.end", text});
  return all;
}

void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace stook::torture
