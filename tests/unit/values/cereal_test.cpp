#include <stook/cereal.hpp>

#include "stub_future.h"

#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>
#include <gtest/gtest.h>

namespace stook {
namespace {

struct Model {
  int layers = 0;
  std::vector<std::string> names;
  bool operator==(const Model&) const = default;
  template <class A> void serialize(A& archive) { archive(layers, names); }
};

class Hidden {
 public:
  Hidden() = default;
  explicit Hidden(int v) : value_(v) {}
  [[nodiscard]] int value() const { return value_; }

 private:
  friend class cereal::access;
  template <class A> void serialize(A& archive) { archive(value_); }
  int value_ = 0;
};

TEST(Cereal, RoundTrips) {
  const Model model{3, {"a", "b"}};
  EXPECT_EQ(test::round_trip(model), model);
  EXPECT_EQ(test::round_trip(std::vector<Model>{model, {}}).at(0), model);
  EXPECT_EQ(test::round_trip(Hidden(7)).value(), 7);
  EXPECT_EQ(Codec<Model>::signature(), "cereal:stook::(anonymous namespace)::Model");
}

TEST(Cereal, OtherCodecsAreLeftAlone) {
  EXPECT_EQ(detail::value_type_of<std::vector<int>>().signature, "seq<i32>");
  EXPECT_EQ(detail::value_type_of<std::string>().signature, "str");
}

TEST(Cereal, DamageIsACacheError) {
  const std::vector<std::byte> bytes = test::encoded(Model{3, {"a"}});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    Writer writer;  // a consistent length around a torn archive
    const std::size_t part = size < 8 ? 0 : size - 8;
    writer.write_count(part);
    writer.write(bytes.data() + 8, part);
    EXPECT_THROW((void)test::decoded<Model>(test::bytes_of(writer)), CacheError);
  }
}

}  // namespace
}  // namespace stook
