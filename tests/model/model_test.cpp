// The engine against the model: random graphs, random edits. A failure prints the seed that
// repeats it: STOOK_MODEL_SEED=N STOOK_MODEL_SEQUENCES=1 test_model
#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <mutex>
#include <random>

#include "src/registry.h"
#include "src/store.h"
#include "tests/model/model.h"
#include "tests/support/temp_cache.h"

namespace {

using namespace stook;
using model::NodeId;

constexpr int levels = 4;
constexpr int per_level = 4;
constexpr int file_count = 3;

// The world the tasks below live in; one sequence at a time.
struct Scene {
  std::uint64_t seed = 0;
  int sequence = 0;
  std::array<int, levels> versions{};
  std::map<NodeId, int> files;
  std::filesystem::path directory;
  std::mutex mutex;
  std::multiset<NodeId> executed;
};
Scene scene;

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = (a ^ (b + 0x9e3779b97f4a7c15)) * 0xbf58476d1ce4e5b9;
  x ^= x >> 29;
  return x * 0x94d049bb133111eb;
}

int level_of(NodeId node) { return node / per_level; }
std::filesystem::path file_path(NodeId file) {
  return scene.directory / (std::to_string(scene.sequence) + "-" + std::to_string(-file));
}

// Which nodes a node uses depends on the version of its class, as in a program that is edited.
std::vector<NodeId> upstream_of(NodeId node) {
  const int level = level_of(node);
  std::mt19937_64 random(mix(mix(scene.seed, static_cast<std::uint64_t>(node)),
                             static_cast<std::uint64_t>(scene.versions[level])));
  std::vector<NodeId> upstream;
  if (level == 0 || random() % 4 == 0) {
    upstream.push_back(-1 - static_cast<int>(random() % file_count));
  }
  for (int i = 0; level > 0 && i < 3; ++i) {
    const NodeId up = static_cast<int>(random() % (level * per_level));
    if (std::find(upstream.begin(), upstream.end(), up) == upstream.end()) upstream.push_back(up);
  }
  return upstream;
}

// Few different values, so that many a rebuilt task comes out as it was.
int compute(NodeId node, const std::vector<int>& values) {
  int sum = node;
  for (const int value : values) sum += value;
  return sum % 3;
}

template <int Level> struct Step;
Future<int> make_step(NodeId node);

template <int Level> struct Step : Task<Step<Level>, int(int, int)> {
  const NodeId node;
  FutureList<std::filesystem::path> files;
  FutureList<int> steps;
  std::vector<NodeId> order;

  Step(int, int id) : node(id), order(upstream_of(id)) {
    for (const NodeId up : order) {
      if (up < 0) {
        files.push_back(File(file_path(up)));
      } else {
        steps.push_back(make_step(up));
      }
    }
  }
  int run_task() {
    std::vector<int> values;
    for (const auto& path : *files) {
      int value = 0;
      std::ifstream(path) >> value;
      values.push_back(value);
    }
    for (const int value : *steps) values.push_back(value);
    const std::lock_guard lock(scene.mutex);
    scene.executed.insert(node);
    return compute(node, values);
  }
};

Future<int> make_step(NodeId node) {
  switch (level_of(node)) {
    case 0: return Step<0>::make(scene.sequence, node);
    case 1: return Step<1>::make(scene.sequence, node);
    case 2: return Step<2>::make(scene.sequence, node);
    default: return Step<3>::make(scene.sequence, node);
  }
}

void set_versions() {
  using detail::class_info;
  detail::override_version(class_info<Step<0>>(), static_cast<std::uint32_t>(scene.versions[0]));
  detail::override_version(class_info<Step<1>>(), static_cast<std::uint32_t>(scene.versions[1]));
  detail::override_version(class_info<Step<2>>(), static_cast<std::uint32_t>(scene.versions[2]));
  detail::override_version(class_info<Step<3>>(), static_cast<std::uint32_t>(scene.versions[3]));
}

model::World world_now() {
  model::World world;
  world.upstream = upstream_of;
  world.version = [](NodeId node) { return scene.versions[level_of(node)]; };
  world.compute = compute;
  world.files = scene.files;
  return world;
}

void write_file(NodeId file, int value) {
  scene.files[file] = value;
  std::ofstream(file_path(file)) << value << '\n';
}

// Flips a byte inside the record of a node, as a bad disk would. False: it has none.
bool hurt_record(Cache& cache, NodeId node) {
  cache.store().flush();
  const Key key = make_step(node).key();
  detail::Entry entry;
  cache.store().lookup({&key, 1}, {&entry, 1});
  if (entry.pack == 0 || entry.state == detail::RecordState::missing) return false;
  char name[32];
  std::snprintf(name, sizeof name, "%04u.pack", entry.pack);
  const int fd = ::open((cache.directory() / "packs" / name).c_str(), O_RDWR);
  if (fd < 0) return false;
  char byte = 0;
  const auto at = static_cast<off_t>(entry.offset + 40);
  const bool done =
      ::pread(fd, &byte, 1, at) == 1 && (byte ^= 0x20, ::pwrite(fd, &byte, 1, at) == 1);
  ::close(fd);
  return done;
}

class Sequence {
 public:
  Sequence(test::TempCache& cache, std::uint64_t seed, int number) : cache_(cache), random_(seed) {
    scene.seed = seed;
    scene.sequence = number;
    scene.versions.fill(1);
    scene.files.clear();
    set_versions();
    for (int i = 1; i <= file_count; ++i) write_file(-i, static_cast<int>(random_() % 3));
  }

  void run() {
    for (int step = 0; step < 8; ++step) {
      edit();
      if (::testing::Test::HasFailure()) return;
      build(random_node(), random_() % 6 == 0);
      if (::testing::Test::HasFailure()) return;
    }
  }

 private:
  NodeId random_node() { return static_cast<int>(random_() % (levels * per_level)); }

  void edit() {
    switch (random_() % 8) {
      case 0:
      case 1: clear(random_node()); break;
      case 2:
      case 3: write_file(-1 - static_cast<int>(random_() % file_count), random_() % 3); break;
      case 4:
        scene.versions[random_() % levels] = 1 + static_cast<int>(random_() % 2);
        set_versions();
        break;
      case 5: {
        const NodeId node = random_node();
        const model::NodeKey key{node, scene.versions[level_of(node)]};
        const auto known = model_.records().find(key);
        if (known == model_.records().end() || known->second.damaged) break;
        if (hurt_record(*cache_, node)) model_.damage(key);
        break;
      }
      case 6:
        if (random_() % 8 == 0) cache_.reopen();
        break;
      default: break;  // the same again
    }
  }

  void clear(NodeId node) {
    const Key key = make_step(node).key();
    cache_->store().clear(key);
    model_.clear({node, scene.versions[level_of(node)]});
  }

  void build(NodeId node, bool downstream) {
    scene.executed.clear();
    std::multiset<NodeId> expected;
    const int value = model_.run(world_now(), node, downstream, expected);
    const auto outcome =
        make_step(node).run_graph({.rebuild = downstream ? Rebuild::downstream : Rebuild::changed});
    EXPECT_EQ(outcome.value, value) << "value of node " << node;
    EXPECT_EQ(scene.executed, expected) << "executions for node " << node;
    EXPECT_EQ(outcome.stats.ran, expected.size());
  }

  test::TempCache& cache_;
  std::mt19937_64 random_;
  model::Model model_;
};

long from_environment(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atol(text);
}

// A quarter of the sequences each, so that they can run side by side.
class Model : public ::testing::TestWithParam<int> {};

TEST_P(Model, EngineAgreesOverRandomSequences) {
  const bool repeated = std::getenv("STOOK_MODEL_SEED") != nullptr;
  if (repeated && GetParam() != 0) return;
  const long count = from_environment("STOOK_MODEL_SEQUENCES", 2'500);
  const auto first =
      static_cast<std::uint64_t>(from_environment("STOOK_MODEL_SEED", 1 + GetParam() * count));
  // Durability is not what is judged here: memory is faster than waiting for a disk.
  if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 1);
  constexpr int per_cache = 20;  // every known file is looked at by every run
  for (long done = 0; done < count; done += per_cache) {
    test::TempCache cache;
    test::TempDirectory files;
    scene.directory = files.path();
    for (int i = 0; i < per_cache && done + i < count; ++i) {
      const std::uint64_t seed = first + static_cast<std::uint64_t>(done + i);
      Sequence(cache, seed, i).run();
      ASSERT_FALSE(HasFailure()) << "repeat with STOOK_MODEL_SEED=" << seed
                                 << " STOOK_MODEL_SEQUENCES=1";
    }
  }
  std::cout << count << " sequences from seed " << first << '\n';
}

INSTANTIATE_TEST_SUITE_P(Quarters, Model, ::testing::Range(0, 4));

}  // namespace
