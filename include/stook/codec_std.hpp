// codec_std.hpp - codecs of the standard library's containers. Included by codec.hpp.
// Unordered containers are encoded in the order of their elements' bytes, so that equal ones have
// one digest.
#pragma once

#include <array>
#include <deque>
#include <list>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <stook/codec_value.hpp>
#include <stook/codec_wrap.hpp>

namespace stook {

namespace detail {

// Writes the elements of `scratch`, the i-th of which ends at ends[i], in the order of their bytes.
void write_sorted(Writer& writer, const Writer& scratch, const std::vector<std::size_t>& ends);

// No more room than the bytes there are could fill, whatever the count says.
template <class E>
std::size_t safe_reserve(const Reader& reader, std::size_t count) {
  const std::size_t likely = reader.left() / sizeof(E) + 16;
  return count < likely ? count : likely;
}

template <class C>
struct SequenceCodec {
  using E = typename C::value_type;
  static std::string signature() { return signature_of<E>("seq<"); }
  static void encode(Writer& writer, const C& elements) {
    writer.write_count(elements.size());
    for (const auto& element : elements) Codec<E>::encode(writer, element);
  }
  static C decode(Reader& reader) {
    C out;
    std::size_t count = reader.read_count();
    if constexpr (requires { out.reserve(count); }) out.reserve(safe_reserve<E>(reader, count));
    for (; count > 0; --count) out.push_back(Codec<E>::decode(reader));
    return out;
  }
};

// One copy on each side. Memory that is not aligned for E goes through a small array, so that
// the vector is never filled with zeros first.
template <class V>
struct BulkCodec {
  using E = typename V::value_type;
  static std::string signature() { return signature_of<E>("seq<"); }
  static void encode(Writer& writer, const V& elements) {
    writer.write_count(elements.size());
    writer.write_array(elements.data(), elements.size() * sizeof(E));
  }
  static V decode(Reader& reader) {
    const std::size_t count = reader.read_count(sizeof(E));
    const std::byte* bytes = reader.read(count * sizeof(E)).data();
    if (reinterpret_cast<std::uintptr_t>(bytes) % alignof(E) == 0) {
      const E* first = reinterpret_cast<const E*>(bytes);
      return V(first, first + count);
    }
    V out;
    out.reserve(count);
    constexpr std::size_t chunk = 4096 / sizeof(E);
    E part[chunk];
    for (std::size_t done = 0; done < count;) {
      const std::size_t n = count - done < chunk ? count - done : chunk;
      std::memcpy(static_cast<void*>(part), bytes + done * sizeof(E), n * sizeof(E));
      out.insert(out.end(), part, part + n);
      done += n;
    }
    return out;
  }
};

template <class V>
using VectorCodec = std::conditional_t<Bulk<typename V::value_type>, BulkCodec<V>,
                                       SequenceCodec<V>>;

template <class M, bool ordered, bool unique>
struct AssociativeCodec {
  static constexpr bool is_map = requires { typename M::mapped_type; };
  using K = typename M::key_type;

  static std::string signature() {
    if constexpr (is_map) {
      return signature_of<K, typename M::mapped_type>("map<");
    } else {
      return signature_of<K>("set<");
    }
  }
  static void encode(Writer& writer, const M& elements) {
    writer.write_count(elements.size());
    if constexpr (ordered) {
      for (const auto& element : elements) encode_element(writer, element);
    } else {
      Writer scratch;
      scratch.set_root(writer.root());
      scratch.set_may_borrow(false);
      std::vector<std::size_t> ends;
      ends.reserve(elements.size());
      for (const auto& element : elements) {
        encode_element(scratch, element);
        ends.push_back(scratch.size());
      }
      write_sorted(writer, scratch, ends);
    }
  }
  static M decode(Reader& reader) {
    M out;
    for (std::size_t count = reader.read_count(); count > 0; --count) {
      const std::size_t before = out.size();
      if constexpr (ordered) {
        insert(out, reader, out.end());
      } else {
        insert(out, reader);
      }
      if (unique && out.size() == before) Reader::throw_malformed("a key is there twice");
    }
    return out;
  }

 private:
  static void encode_element(Writer& writer, const typename M::value_type& element) {
    if constexpr (is_map) {
      Codec<K>::encode(writer, element.first);
      Codec<typename M::mapped_type>::encode(writer, element.second);
    } else {
      Codec<K>::encode(writer, element);
    }
  }
  template <class... Hint>
  static void insert(M& out, Reader& reader, Hint... hint) {
    K key = Codec<K>::decode(reader);
    if constexpr (is_map) {
      using V = typename M::mapped_type;
      if constexpr (sizeof...(Hint) == 0) {
        out.emplace(std::move(key), Codec<V>::decode(reader));
      } else {
        out.emplace_hint(hint..., std::move(key), Codec<V>::decode(reader));
      }
    } else {
      out.insert(hint..., std::move(key));
    }
  }
};

}  // namespace detail

template <class T, class A> requires HasCodec<T>
struct Codec<std::vector<T, A>> : detail::VectorCodec<std::vector<T, A>> {};
template <class T, class A> requires HasCodec<T>
struct Codec<std::deque<T, A>> : detail::SequenceCodec<std::deque<T, A>> {};
template <class T, class A> requires HasCodec<T>
struct Codec<std::list<T, A>> : detail::SequenceCodec<std::list<T, A>> {};

template <class T, class C, class A> requires HasCodec<T>
struct Codec<std::set<T, C, A>> : detail::AssociativeCodec<std::set<T, C, A>, true, true> {};
template <class T, class C, class A> requires HasCodec<T>
struct Codec<std::multiset<T, C, A>>
    : detail::AssociativeCodec<std::multiset<T, C, A>, true, false> {};
template <class K, class V, class C, class A> requires HasCodec<K> && HasCodec<V>
struct Codec<std::map<K, V, C, A>> : detail::AssociativeCodec<std::map<K, V, C, A>, true, true> {};
template <class K, class V, class C, class A> requires HasCodec<K> && HasCodec<V>
struct Codec<std::multimap<K, V, C, A>>
    : detail::AssociativeCodec<std::multimap<K, V, C, A>, true, false> {};
template <class T, class H, class E, class A> requires HasCodec<T>
struct Codec<std::unordered_set<T, H, E, A>>
    : detail::AssociativeCodec<std::unordered_set<T, H, E, A>, false, true> {};
template <class T, class H, class E, class A> requires HasCodec<T>
struct Codec<std::unordered_multiset<T, H, E, A>>
    : detail::AssociativeCodec<std::unordered_multiset<T, H, E, A>, false, false> {};
template <class K, class V, class H, class E, class A> requires HasCodec<K> && HasCodec<V>
struct Codec<std::unordered_map<K, V, H, E, A>>
    : detail::AssociativeCodec<std::unordered_map<K, V, H, E, A>, false, true> {};
template <class K, class V, class H, class E, class A> requires HasCodec<K> && HasCodec<V>
struct Codec<std::unordered_multimap<K, V, H, E, A>>
    : detail::AssociativeCodec<std::unordered_multimap<K, V, H, E, A>, false, false> {};

template <class T, std::size_t N> requires HasCodec<T>
struct Codec<std::array<T, N>> {
  static std::string signature() {
    return detail::array_signature(detail::codec_signature<T>(), N);
  }
  static void encode(Writer& writer, const std::array<T, N>& elements) {
    if constexpr (N == 0) {
      writer.put<std::uint8_t>(0);
    } else if constexpr (detail::Bulk<T>) {
      writer.write_array(elements.data(), sizeof elements);
    } else {
      for (const T& element : elements) Codec<T>::encode(writer, element);
    }
  }
  static std::array<T, N> decode(Reader& reader) {
    if constexpr (N == 0) {
      static_cast<void>(reader.take<std::uint8_t>());
      return {};
    } else if constexpr (std::is_default_constructible_v<T>) {
      std::array<T, N> out;
      for (T& element : out) element = Codec<T>::decode(reader);
      return out;
    } else {
      return decode_each(reader, std::make_index_sequence<N>{});
    }
  }

 private:
  template <std::size_t... I>
  static std::array<T, N> decode_each(Reader& reader, std::index_sequence<I...>) {
    return {{(static_cast<void>(I), Codec<T>::decode(reader))...}};
  }
};

}  // namespace stook
