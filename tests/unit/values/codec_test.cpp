#include <complex>
#include <deque>
#include <list>
#include <random>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "src/hash.h"
#include "stub_future.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <stook/codec.hpp>

namespace stook {
namespace {

using test::bytes_of;
using test::decoded;
using test::digest;
using test::encoded;
using test::message_of;
using test::round_trip;

enum class Color : std::uint16_t { red, green };
struct Point {
  double x = 0, y = 0;
  bool operator==(const Point&) const = default;
};
struct Tree {
  int value = 0;
  std::vector<Tree> kids;
  std::unique_ptr<Tree> next;
};
struct NoDefault {
  int value;
  NoDefault(int v) : value(v) {}
};
struct Strict {
  std::unique_ptr<int> owned;
  const int constant;
};
struct Arrays {
  char name[4] = "abc";
  int grid[2][2] = {{1, 2}, {3, 4}};
  bool operator==(const Arrays&) const = default;
};
struct Configured {
  int n = 1;
  bool operator==(const Configured&) const = default;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE(Configured, n)
};
struct ByHand {
  explicit ByHand(int v) : value(v) {}
  bool operator==(const ByHand&) const = default;
  int value;
};

}  // namespace
}  // namespace stook

template <> struct stook::Codec<stook::ByHand> {
  static void encode(Writer& writer, const ByHand& value) { writer.put(value.value); }
  static ByHand decode(Reader& reader) { return ByHand(reader.take<int>()); }
};

namespace stook {
namespace {

template <class T> void expect_again(const T& value, std::string_view signature) {
  EXPECT_EQ(round_trip(value), value) << signature;
  EXPECT_EQ(digest(round_trip(value)), digest(value)) << signature;
  EXPECT_EQ(detail::value_type_of<T>().signature, signature);
  EXPECT_GE(encoded(value).size(), 1U);
}

TEST(Codec, RoundTrips) {
  expect_again(true, "bool");
  expect_again('a', "i8");
  expect_again(5L, "i64");
  expect_again(5ULL, "u64");
  expect_again(0.1, "f64");
  expect_again(0.1F, "f32");
  expect_again(0.1L, "f80");
  expect_again(Color::green, "u16");
  expect_again(std::string("a\0b", 3), "str");
  expect_again(std::monostate(), "void");
  expect_again(std::vector<int>{1, 2, 3}, "seq<i32>");
  expect_again(std::vector<bool>{true, false, true}, "seq<bool>");
  expect_again(std::vector<Color>{Color::green}, "seq<u16>");
  expect_again(std::vector<std::string>{"a", ""}, "seq<str>");
  expect_again(std::vector<long double>{0.1L}, "seq<f80>");
  expect_again(std::vector<std::monostate>(5), "seq<void>");
  expect_again(std::array<int, 3>{1, 2, 3}, "arr<i32,3>");
  expect_again(std::array<std::string, 2>{"a", "b"}, "arr<str,2>");
  expect_again(std::list<int>{1, 2}, "seq<i32>");
  expect_again(std::deque<std::string>{"x"}, "seq<str>");
  expect_again(std::set<int>{3, 1}, "set<i32>");
  expect_again(std::multiset<int>{1, 1}, "set<i32>");
  expect_again(std::map<std::string, int>{{"a", 1}}, "map<str,i32>");
  expect_again(std::multimap<int, int>{{1, 2}, {1, 1}}, "map<i32,i32>");
  expect_again(std::unordered_set<int>{1, 2, 3}, "set<i32>");
  expect_again(std::unordered_multiset<int>{1, 1}, "set<i32>");
  expect_again(std::unordered_map<std::string, int>{{"a", 1}}, "map<str,i32>");
  expect_again(std::unordered_multimap<int, int>{{1, 2}, {1, 3}}, "map<i32,i32>");
  expect_again(std::optional<int>(), "opt<i32>");
  expect_again(std::optional<std::optional<int>>(std::optional<int>()), "opt<opt<i32>>");
  expect_again(std::variant<int, std::string>("a"), "var<i32,str>");
  expect_again(std::tuple<int, std::string, bool>{1, "a", true}, "tup<i32,str,bool>");
  expect_again(std::pair<int, int>{1, 2}, "tup<i32,i32>");
  expect_again(std::complex<double>(1, 2), "cplx<f64>");
  expect_again(std::vector<std::complex<float>>{{1, 2}}, "seq<cplx<f32>>");
  expect_again(std::chrono::milliseconds(5), "dur<i64,1/1000>");
  expect_again(std::filesystem::path("/a"), "path");
  expect_again(Json{{"a", {1, 2.0}}}, "json");
  expect_again(nlohmann::json{{"a", {1, 2.0}}}, "json");
  expect_again(Configured{4}, "json");
  expect_again(Point{1, 2}, "{f64,f64}");
  expect_again(std::vector<Point>{{1, 2}, {3, 4}}, "seq<{f64,f64}>");
  expect_again(Arrays{}, "{arr<i8,4>,arr<arr<i32,2>,2>}");
  expect_again(ByHand(3), "user:stook::(anonymous namespace)::ByHand");
  expect_again(std::map<int, ByHand>{{1, ByHand(3)}},
               "map<i32,user:stook::(anonymous namespace)::ByHand>");
}

TEST(Codec, Pointers) {
  EXPECT_EQ(round_trip(std::shared_ptr<int>()), nullptr);
  EXPECT_EQ(*round_trip(std::make_shared<int>(3)), 3);
  EXPECT_EQ(*round_trip(std::shared_ptr<const int>(new int(3))), 3);
  const auto owned = round_trip(std::make_unique<std::string>("x"));
  EXPECT_EQ(*owned, "x");
}

TEST(Codec, MoveOnlyAndConstMembers) {
  const Strict strict{std::make_unique<int>(3), 7};
  const Strict back = round_trip(strict);
  EXPECT_EQ(*back.owned, 3);
  EXPECT_EQ(back.constant, 7);
}

TEST(Codec, RecursiveTypes) {
  Tree tree{1, {}, nullptr};
  tree.kids.push_back(Tree{2, {}, nullptr});
  tree.next = std::make_unique<Tree>();
  const Tree back = round_trip(tree);
  EXPECT_EQ(back.kids.at(0).value, 2);
  EXPECT_EQ(back.next->value, 0);
  EXPECT_EQ(detail::value_type_of<Tree>().signature, "{i32,seq<^1>,opt<^1>}");
}

TEST(Codec, DepthIsBounded) {
  std::unique_ptr<Tree> chain;
  for (int i = 0; i < 1000; ++i) chain.reset(new Tree{i, {}, std::move(chain)});
  const std::vector<std::byte> bytes = encoded(*chain);
  EXPECT_EQ(decoded<Tree>(bytes).value, 999);
  chain.reset(new Tree{0, {}, std::move(chain)});
  EXPECT_THROW(encoded(*chain), InvalidArgument);
  std::vector<std::byte> deeper(13, std::byte{0});
  deeper[12] = std::byte{1};  // int 0, no kids, and a next one ...
  deeper.insert(deeper.end(), bytes.begin(), bytes.end());
  EXPECT_THROW((void)decoded<Tree>(deeper), CacheError);
}

struct Ring {
  std::shared_ptr<Ring> next;
};

TEST(Codec, CyclesAreRefused) {
  const auto ring = std::make_shared<Ring>();
  ring->next = ring;
  EXPECT_THROW(encoded(*ring), InvalidArgument);
  ring->next.reset();
}

TEST(Codec, UnorderedContainersHaveOneDigest) {
  std::unordered_map<std::string, std::vector<int>> a, b;
  a.reserve(5000);
  for (int i = 0; i < 1000; ++i) {
    a[std::to_string(i)] = {i};
    b[std::to_string(999 - i)] = {999 - i};
  }
  EXPECT_EQ(encoded(a), encoded(b));
}

TEST(Codec, PaddingNeverReachesTheBytes) {
  struct Padded {
    char c;
    double d;
    long double l;
  };
  alignas(Padded) unsigned char dirty[sizeof(Padded)];
  std::memset(dirty, 0xff, sizeof dirty);
  auto* padded = new (dirty) Padded;
  padded->c = 'a';
  padded->d = 1;
  padded->l = 2;
  EXPECT_EQ(encoded(*padded), encoded(Padded{'a', 1, 2}));
}

TEST(Codec, LargeArraysAreBorrowed) {
  const std::vector<double> big(Writer::borrow_from / sizeof(double), 1.5);
  const std::vector<double> small(10, 1.5);
  Writer writer;
  Codec<std::vector<double>>::encode(writer, small);
  Codec<std::vector<double>>::encode(writer, big);
  Codec<int>::encode(writer, 3);
  const auto pieces = writer.pieces();
  ASSERT_EQ(pieces.size(), 3U);
  EXPECT_EQ(static_cast<const void*>(pieces[1].data()), big.data());
  EXPECT_EQ(writer.size(), bytes_of(writer).size());
  const std::vector<std::byte> all = bytes_of(writer);
  Reader reader(all);
  EXPECT_EQ(Codec<std::vector<double>>::decode(reader), small);
  EXPECT_EQ(Codec<std::vector<double>>::decode(reader), big);
  EXPECT_EQ(Codec<int>::decode(reader), 3);
  reader.finish();
  writer.clear();
  EXPECT_EQ(writer.size(), 0U);
  EXPECT_TRUE(writer.pieces().empty());
}

TEST(Codec, DigestDoesNotDependOnThePieces) {
  Writer borrowing, copying;
  copying.set_may_borrow(false);
  const std::vector<int> big(100000, 7);
  Codec<std::vector<int>>::encode(borrowing, big);
  Codec<std::vector<int>>::encode(copying, big);
  EXPECT_EQ(borrowing.pieces().size(), 2U);
  EXPECT_EQ(copying.pieces().size(), 1U);
  EXPECT_EQ(digest_of(borrowing), digest_of(copying));
  EXPECT_NE(digest(std::string(100, 'x')), digest(std::string(101, 'x')));
  for (const std::size_t size : {200UL, 240UL, 241UL, 242UL, 243UL, 300UL}) {
    Writer writer;
    writer.write(std::string(size, 'x').data(), size);
    EXPECT_EQ(digest_of(writer),
              Digest{detail::hash_bytes("stook result 1" + std::string(size, 'x'))});
  }
}

TEST(Codec, UnalignedArrays) {
  std::vector<double> numbers(3000);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<double>(i);
  const std::vector<std::byte> bytes = encoded(numbers);
  for (std::size_t offset = 0; offset < 8; ++offset) {
    std::vector<std::byte> shifted(offset);
    shifted.insert(shifted.end(), bytes.begin(), bytes.end());
    Reader reader(std::span<const std::byte>(shifted).subspan(offset));
    EXPECT_EQ(Codec<std::vector<double>>::decode(reader), numbers);
  }
}

std::string path_again(const std::string& path, const std::string& from, const std::string& to) {
  Writer writer;
  writer.set_root(from);
  Codec<std::filesystem::path>::encode(writer, path);
  const std::vector<std::byte> bytes = bytes_of(writer);
  Reader reader(bytes);
  reader.set_root(to);
  return Codec<std::filesystem::path>::decode(reader).string();
}

TEST(Codec, PathsBelowTheRootMoveWithIt) {
  EXPECT_EQ(path_again("/cache/tasks/a/1/data/x", "/cache", "/new"), "/new/tasks/a/1/data/x");
  EXPECT_EQ(path_again("/cache/x", "/cache/", "/new/"), "/new/x");
  EXPECT_EQ(path_again("/cache", "/cache", "/new"), "/new");
  EXPECT_EQ(path_again("/cache//x", "/cache", "/new"), "/new/x");
  EXPECT_EQ(path_again("/cache2/x", "/cache", "/new"), "/cache2/x");
  EXPECT_EQ(path_again("/cache/../x", "/cache", "/new"), "/cache/../x");
  EXPECT_EQ(path_again("x", "/cache", "/new"), "x");
  EXPECT_EQ(path_again("/cache/..x", "/cache", "/new"), "/new/..x");
  EXPECT_EQ(path_again("", "/cache", "/new"), "");
  EXPECT_EQ(path_again("/x", "", "/new"), "/x");
  EXPECT_THROW(path_again("/cache/x", "/cache", ""), CacheError);
}

TEST(Codec, PathsInUnorderedContainersMoveToo) {
  Writer writer;
  writer.set_root("/cache");
  Codec<std::unordered_map<std::string, std::filesystem::path>>::encode(writer,
                                                                        {{"a", "/cache/x"}});
  const std::vector<std::byte> bytes = bytes_of(writer);
  Reader reader(bytes);
  reader.set_root("/new");
  EXPECT_EQ((Codec<std::unordered_map<std::string, std::filesystem::path>>::decode(reader).at("a")),
            "/new/x");
}

TEST(Codec, HostilePaths) {
  for (const std::string path : {"../x", "a/../../x", "/etc/passwd", "a/.."}) {
    Writer writer;
    writer.put<std::uint8_t>(1);
    writer.write_text(path);
    const std::vector<std::byte> bytes = bytes_of(writer);
    Reader reader(bytes);
    reader.set_root("/new");
    EXPECT_THROW((void)Codec<std::filesystem::path>::decode(reader), CacheError) << path;
  }
}

struct Everything {
  std::vector<double> numbers{1, 2, 3};
  std::map<std::string, std::vector<int>> map{{"a", {1}}, {"b", {}}};
  std::unordered_map<int, std::string> names{{1, "x"}};
  std::set<std::string> set{"p", "q"};
  std::optional<Point> point = Point{};
  std::variant<int, std::string> either = "e";
  Json json{{"a", {1, 2.5, nullptr}}};
  std::vector<bool> bits{true};
  std::filesystem::path path = "/a";
  std::shared_ptr<std::string> shared = std::make_shared<std::string>("s");
  Configured configured;
  std::tuple<int, std::string> tuple{1, "t"};
  std::array<bool, 2> flags{};
};

TEST(CodecProperty, EveryTruncationIsRefused) {
  const std::vector<std::byte> bytes = encoded(Everything{});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<std::byte> cut(bytes.begin(),
                                     bytes.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THROW((void)decoded<Everything>(cut), CacheError) << size;
  }
  std::vector<std::byte> longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_THROW((void)decoded<Everything>(longer), CacheError);
}

TEST(CodecProperty, DamageIsRefusedOrAnotherValue) {
  std::mt19937_64 random(3);
  const std::vector<std::byte> bytes = encoded(Everything{});
  for (int i = 0; i < 50000; ++i) {
    std::vector<std::byte> damaged = bytes;
    for (std::uint64_t n = 1 + random() % 4; n > 0; --n) {
      damaged[random() % damaged.size()] =
          static_cast<std::byte>(random() % 3 == 0 ? 0xff : random());
    }
    try {
      (void)decoded<Everything>(damaged);
    } catch (const CacheError&) {}
  }
}

template <class T> void expect_hostile_count_refused() {
  for (const std::uint64_t count :
       {std::uint64_t{100}, std::uint64_t{1} << 32, UINT64_MAX, UINT64_MAX / 8 + 2}) {
    Writer writer;
    writer.put(count);
    writer.put<std::uint64_t>(0);
    EXPECT_THROW((void)decoded<T>(bytes_of(writer)), CacheError);
  }
}

TEST(Codec, HostileCounts) {
  expect_hostile_count_refused<std::vector<double>>();
  expect_hostile_count_refused<std::vector<std::string>>();
  expect_hostile_count_refused<std::vector<std::array<double, 1000>>>();
  expect_hostile_count_refused<std::vector<std::monostate>>();
  expect_hostile_count_refused<std::string>();
  expect_hostile_count_refused<std::map<int, int>>();
  expect_hostile_count_refused<std::unordered_map<std::string, int>>();
  expect_hostile_count_refused<std::list<std::tuple<>>>();
  expect_hostile_count_refused<Json>();
}

TEST(Codec, HostileSmallThings) {
  EXPECT_THROW((void)decoded<bool>({std::byte{2}}), CacheError);
  EXPECT_THROW((void)decoded<std::optional<int>>({std::byte{2}}), CacheError);
  EXPECT_THROW((void)(decoded<std::variant<int, bool>>({std::byte{2}, std::byte{0}})), CacheError);
  EXPECT_THROW((void)decoded<std::monostate>({std::byte{1}}), CacheError);
  Writer writer;
  writer.write_count(2);
  writer.put(1);
  writer.put(1);
  EXPECT_THROW((void)decoded<std::set<int>>(bytes_of(writer)), CacheError);
  EXPECT_THROW((void)decoded<std::unordered_set<int>>(bytes_of(writer)), CacheError);
  EXPECT_EQ(decoded<std::multiset<int>>(bytes_of(writer)).size(), 2U);
  writer.clear();
  writer.write_text("n");
  EXPECT_THROW((void)decoded<Configured>(bytes_of(writer)), CacheError);
}

TEST(Codec, ValueTypes) {
  const detail::ValueType& type = detail::value_type_of<std::vector<int>>();
  EXPECT_EQ(&type, &detail::value_type_of<std::vector<int>>());
  EXPECT_TRUE(*type.type == typeid(std::vector<int>));
  Writer writer;
  const std::vector<int> value{1, 2};
  type.encode(&value, writer);
  const std::vector<std::byte> bytes = bytes_of(writer);
  Reader reader(bytes);
  const detail::Value back = type.decode(reader);
  EXPECT_EQ(*static_cast<const std::vector<int>*>(back.get()), value);
  EXPECT_EQ(&detail::value_type_of<void>(), &detail::value_type_of<void>());
  EXPECT_EQ(detail::value_type_of<void>().signature, "void");
}

struct Serializable {
  int a = 0;
  template <class A> void serialize(A& archive) { archive(a); }
};
class Opaque {
 public:
  ~Opaque() {}

 private:
  [[maybe_unused]] int* pointer_ = nullptr;
};

TEST(Codec, TheConceptKnowsWhatHasOne) {
  static_assert(!HasCodec<Opaque>);
  static_assert(!HasCodec<std::vector<Opaque>>);
  static_assert(!HasCodec<Serializable>);  // without <stook/cereal.hpp>
  static_assert(!HasCodec<int*>);
  static_assert(HasCodec<Everything> && HasCodec<Tree> && HasCodec<ByHand>);
}

}  // namespace
}  // namespace stook
