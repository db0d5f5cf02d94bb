// What two processes do to one cache at the same time without knowing it of each other.
#include "tests/unit/cache/support.h"

namespace stook::detail {
namespace {

// As a run does that looks at an input: the id is taken before the file is read.
void publish_input(TestStore& store, std::uint64_t id) {
  Publication input;
  input.key = key_of("input");
  input.id = id;
  input.kind = RecordKind::external;
  input.class_name = "File";
  input.arguments = "input";
  input.digest = digest_of("content");
  input.codec = "stamp";
  (void)store->publish(input);
}

struct Apart : testing::Test {
  const TemporaryDirectory dir;
  TestStore one{dir.path()}, two{dir.path()};

  // Whoever clears the input finds what was made of it.
  void expect_found(const char* name) {
    one->flush();
    two->flush();
    ASSERT_EQ(one.state(name), RecordState::fresh);
    (void)one->clear(key_of("input"));
    EXPECT_EQ(one.state(name), RecordState::suspect);
    EXPECT_EQ(two.state(name), RecordState::suspect);
  }
};

TEST_F(Apart, AnInputThatAnotherHasBroughtIn) {
  const std::uint64_t first = one->id_of(key_of("input")), second = two->id_of(key_of("input"));
  ASSERT_NE(first, second);
  publish_input(one, first);
  one->flush();
  publish_input(two, second);
  two->make_readable(two.entry("input"));
  one->flush();  // brings in what two has written
  two.publish("made", "value", {two.seen("input")});
  expect_found("made");
}

TEST_F(Apart, AnInputOfWhichAnotherIsBroughtInFirst) {
  const std::uint64_t first = one->id_of(key_of("input")), second = two->id_of(key_of("input"));
  publish_input(one, first);
  publish_input(two, second);
  two.publish("made", "value", {two.seen("input")});
  two->make_readable(two.entry("made"));
  one->flush();
  expect_found("made");
}

TEST_F(Apart, AnInputThatIsBroughtInAfterWhatAnotherMadeOfIt) {
  const std::uint64_t first = one->id_of(key_of("input")), second = two->id_of(key_of("input"));
  publish_input(one, first);
  one.publish("made", "value", {one.seen("input")});
  one->flush();
  publish_input(two, second);
  one.publish("later", "value", {one.seen("input")});
  one->make_readable(one.entry("later"));
  two->flush();
  two.publish("last", "value", {two.seen("input")});
  expect_found("later");
  EXPECT_EQ(two.state("made"), RecordState::suspect);
  EXPECT_EQ(two.state("last"), RecordState::suspect);
}

// A user asks for the directory of a task that another process executes.
TEST_F(Apart, TheIdIsThatOfWhoExecutes) {
  const Key key = key_of("task");
  Entry entry;
  ASSERT_EQ(one->claim(key, entry), Claim::acquired);
  EXPECT_EQ(two->show_id(key, "Task"), entry.id);
  EXPECT_EQ(one->show_id(key, "Task"), entry.id);
  one.publish("task", "value");
  EXPECT_EQ(two.entry("task").id, entry.id);
}

TEST_F(Apart, TheIdIsWhatWasShownBeforeTheExecution) {
  const Key key = key_of("task");
  (void)one->id_of(key);
  const std::uint64_t shown = two->show_id(key, "Task");
  Entry entry;
  ASSERT_EQ(one->claim(key, entry), Claim::acquired);
  EXPECT_EQ(entry.id, shown);
}

// What was thought of and not shown is not the id when somebody else has begun.
TEST_F(Apart, TheIdOfAnAttemptThatShowedNothingIsForgotten) {
  const Key key = key_of("task");
  Entry first, second;
  ASSERT_EQ(one->claim(key, first), Claim::acquired);
  one->release(key);
  ASSERT_EQ(two->claim(key, second), Claim::acquired);
  EXPECT_EQ(one->show_id(key, "Task"), second.id);
  EXPECT_EQ(two->show_id(key, "Task"), second.id);
  two.publish("task", "value");
  two->make_readable(two.entry("task"));
  EXPECT_EQ(one.entry("task").id, second.id);
}

}  // namespace
}  // namespace stook::detail
