// cereal.hpp - results with a cereal serialize(), load()/save() and the like, as cereal's portable
// binary archive. Include it wherever such a type is a result, before its first use, and cereal's
// own headers for the types of its members (<cereal/types/vector.hpp>, ...).
// Thread-safe.
//
// A type with NLOHMANN_DEFINE_TYPE_* or a Codec of its own keeps that. cereal trusts the lengths
// it reads: bytes are checked by the cache's checksum before they come here.
#pragma once

#include <istream>
#include <ostream>
#include <streambuf>

#include <cereal/archives/portable_binary.hpp>
#include <stook/codec.hpp>

namespace stook {

namespace detail {

template <class T>
concept CerealSerializable =
    std::is_class_v<T> && !Nlohmann<T> && !std::derived_from<T, Json> && !PathLike<T> &&
    (cereal::traits::has_member_serialize<T, cereal::PortableBinaryOutputArchive>::value ||
     cereal::traits::has_non_member_serialize<T, cereal::PortableBinaryOutputArchive>::value ||
     cereal::traits::has_member_save<T, cereal::PortableBinaryOutputArchive>::value ||
     cereal::traits::has_non_member_save<T, cereal::PortableBinaryOutputArchive>::value ||
     cereal::traits::has_member_save_minimal<T, cereal::PortableBinaryOutputArchive>::value ||
     cereal::traits::has_non_member_save_minimal<T, cereal::PortableBinaryOutputArchive>::value);

// Appends to a string; reads a span without copying it.
class BytesOut : public std::streambuf {
 public:
  std::string bytes;

 protected:
  std::streamsize xsputn(const char* data, std::streamsize size) override {
    bytes.append(data, static_cast<std::size_t>(size));
    return size;
  }
  int overflow(int c) override {
    if (c != traits_type::eof()) bytes.push_back(static_cast<char>(c));
    return c;
  }
};

class BytesIn : public std::streambuf {
 public:
  explicit BytesIn(std::string_view bytes) {
    char* begin = const_cast<char*>(bytes.data());   // only read
    setg(begin, begin, begin + bytes.size());
  }
};

}  // namespace detail

template <class T> requires detail::CerealSerializable<T>
struct Codec<T> {
  static std::string signature() { return "cereal:" + type_name<T>(); }
  static void encode(Writer& writer, const T& value) {
    detail::BytesOut buffer;
    std::ostream stream(&buffer);
    {
      cereal::PortableBinaryOutputArchive archive(stream);
      archive(value);
    }
    writer.write_count(buffer.bytes.size());
    writer.write(buffer.bytes.data(), buffer.bytes.size());
  }
  static T decode(Reader& reader) {
    detail::BytesIn buffer(reader.read_text());
    std::istream stream(&buffer);
    try {
      T value;
      cereal::PortableBinaryInputArchive archive(stream);
      archive(value);
      if (stream.peek() != std::char_traits<char>::eof()) {
        Reader::throw_malformed("cereal: bytes left");
      }
      return value;
    } catch (const CacheError&) {
      throw;
    } catch (const std::exception& error) {
      Reader::throw_malformed(std::string("cereal: ") + error.what());
    }
  }
};

}  // namespace stook
