// Line 21: caches that earlier versions wrote (tests/golden), read by today's code. Every key is
// there with its state, its record and its value, and so it is when the index is made anew; a run
// executes nothing but what was cleared.
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "cache/schema.h"
#include "src/hash.h"
#include "src/store.h"
#include "tests/golden/tasks.h"
#include "tests/torture/line.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;
using detail::Entry;
using detail::RecordState;

const char* name_of(RecordState state) {
  return state == RecordState::fresh     ? "fresh"
         : state == RecordState::suspect ? "suspect"
                                         : "missing";
}

std::string value_text(detail::Store& store, const Entry& entry, const detail::Record& record) {
  if (record.kind != detail::RecordKind::result) return "-";
  const auto value = store.read_value(entry, record.codec);
  if (!value) return "none";
  const auto bytes = (*value)->bytes();
  return to_hex(detail::hash_bytes(bytes.data(), bytes.size()));
}

// Nothing of a file outside: its fingerprint has its times in it.
std::string codec_text(const detail::Record& record) {
  return record.kind == detail::RecordKind::external ? "-" : record.codec;
}

std::string describe(const fs::path& cache_directory, detail::Store& store) {
  std::set<std::string> lines;
  store.for_each("", [&](const Key& key, const Entry& entry) {
    std::ostringstream line;
    line << to_hex(key) << ' ' << name_of(entry.state) << ", id " << entry.id;
    // Of suspects a new index knows less.
    if (entry.state == RecordState::missing) line << ", doubt " << static_cast<int>(entry.doubt);
    if (const auto record = store.read_record(entry)) {
      line << "\n  " << record->class_name << canonical_to_text(record->arguments, 60)
           << " version " << record->version << ", digest " << to_hex(record->digest)
           << ", directory " << to_hex(record->directory) << "\n  kind "
           << static_cast<int>(record->kind) << ", encoded as " << codec_text(*record) << ", "
           << record->stored_bytes << " of " << record->raw_bytes << " bytes, value "
           << value_text(store, entry, *record) << ", by " << record->host;
      for (const auto& seen : record->upstream) {
        line << "\n  made of " << to_hex(seen.key) << ' ' << to_hex(seen.digest);
      }
    } else {
      line << "\n  " << record.reason();
    }
    lines.insert(line.str());
    return true;
  });
  for (const auto& file : fs::recursive_directory_iterator(cache_directory / "tasks")) {
    if (!file.is_regular_file()) continue;
    std::stringstream text;
    text << std::ifstream(file.path()).rdbuf();
    lines.insert("tasks/" + fs::relative(file.path(), cache_directory / "tasks").string() + ' ' +
                 to_hex(detail::hash_bytes(text.str())));
  }
  std::string all;
  for (const std::string& line : lines) all += line + '\n';
  return all;
}

// Where they differ first.
std::string difference(const std::string& a, const std::string& b) {
  std::istringstream left(a), right(b);
  std::string one, two;
  while (one == two) {
    const bool more = static_cast<bool>(std::getline(left, one));
    if (!more && !std::getline(right, two)) return {};
    if (more && !std::getline(right, two)) two.clear();
    if (!more) one.clear();
  }
  return "\"" + one + "\", not \"" + two + "\"";
}

class Golden {
 public:
  Golden(Line& line, const fs::path& archive)
      : line_(line), name_(fs::path(archive.stem()).stem()),
        text_file_(archive.parent_path() / (name_ + ".txt")), place_(line.directory() / name_) {
    fs::create_directory(place_);
    const std::string command = "tar -xzf '" + archive.string() + "' -C '" + place_.string() + "'";
    if (std::system(command.c_str()) != 0) line_.violation(name_ + " cannot be unpacked");
    std::stringstream text;
    text << std::ifstream(text_file_).rdbuf();
    truth_ = text.str();
  }

  void read() {
    fs::current_path(place_);  // input.txt is there
    expect_truth("as it was", true);
    fs::remove("cache/index.sqlite");
    expect_truth("without its index", false);
    run();
  }

 private:
  CacheOptions options() {
    CacheOptions options;
    options.warn = [this](std::string_view line) { warnings_ += std::string(line) + '\n'; };
    return options;
  }

  // An index of another version is made anew, and says which. Others are taken as they are.
  void expect_truth(const std::string& when, bool with_index) {
    warnings_.clear();
    const auto version =
        with_index ? detail::schema_version_in("cache/index.sqlite") : detail::kSchemaVersion;
    Cache cache("cache", options());
    const std::string text = describe("cache", cache.store());
    if (std::getenv("STOOK_WRITE_GOLDEN") != nullptr && with_index) {
      std::ofstream(text_file_) << text;
      truth_ = text;
    }
    if (text != truth_) line_.violation(name_ + ", " + when + ": " + difference(text, truth_));
    for (const std::string& defect : cache.verify().defects) line_.violation(name_ + ": " + defect);
    const std::string said = "has version " + std::to_string(version);
    const bool other = version != detail::kSchemaVersion;
    if (other ? warnings_.find(said) == std::string::npos : !warnings_.empty()) {
      line_.violation(name_ + ", " + when + ", is told: " + warnings_);
    }
  }

  void run() {
    const Cache cache("cache", options());
    const auto root = golden::Root::make().run_graph();
    if (root.value != golden::kRoot) line_.violation(name_ + ": the root is " + root.value);
    const auto above = golden::AboveCleared::make(0.5).run_graph();
    if (above.value != 6) line_.violation(name_ + ": what was above the cleared is wrong");
    if (root.stats.ran != 0 || above.stats.ran != 1) {
      line_.violation(name_ + ": " + std::to_string(root.stats.ran) + " and " +
                      std::to_string(above.stats.ran) + " tasks ran, not 0 and 1");
    }
  }

  Line& line_;
  const std::string name_;
  const fs::path text_file_, place_;
  std::string truth_, warnings_;
};

int run(Line& line) {
  unsetenv("STOOK_GOLDEN");
  const fs::path folder = fs::path(__FILE__).parent_path().parent_path() / "golden";
  int caches = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".gz") continue;
    Golden(line, entry.path()).read();
    ++caches;
  }
  if (caches == 0) line.violation("there are no golden caches");
  fs::current_path(folder);  // the directory goes away
  return line.finish(std::to_string(caches) + " golden caches read, with their index and without");
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
