// Line 5: bytes of an object, of a pack and of the index flipped, zeroed and cut off. All of it is
// noticed: a miss, never a crash, never a wrong value; and recomputing what was hit gives it back.
#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>

#include "cache/maintain.h"
#include "src/os.h"
#include "tests/torture/line.h"
#include "tests/torture/sample.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

// A file whose bytes are spoilt and given back.
class Victim {
 public:
  explicit Victim(fs::path path)
      : path_(std::move(path)), fd_(detail::os_open(path_, O_RDWR)), good_(read_all()) {}

  [[nodiscard]] std::size_t size() const { return good_.size(); }
  void put(std::size_t at, char byte) const { write(at, &byte, 1); }
  void flip(std::size_t at, unsigned bit) const {
    put(at, static_cast<char>(good_[at] ^ (1 << bit)));
  }
  // False: it was zero already.
  [[nodiscard]] bool zero(std::size_t at) const {
    if (good_[at] != 0) put(at, 0);
    return good_[at] != 0;
  }
  void cut(std::size_t size) const {
    if (ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) throw std::runtime_error("cut");
  }
  void heal(std::size_t at) const { write(at, &good_[at], 1); }
  void heal() const { write(0, good_.data(), good_.size()); }

 private:
  [[nodiscard]] std::string read_all() const {
    std::stringstream text;
    text << std::ifstream(path_, std::ios::binary).rdbuf();
    return text.str();
  }
  void write(std::size_t at, const char* from, std::size_t size) const {
    if (!detail::os_pwrite(fd_.get(), from, size, at)) throw std::runtime_error("spoil");
  }

  const fs::path path_;
  const detail::Fd fd_;
  const std::string good_;
};

fs::path only_file(const fs::path& directory) {
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) return entry.path();
  }
  throw std::logic_error("no file in " + directory.string());
}

detail::StoreOptions silent() {
  detail::StoreOptions options;
  options.warn = [](std::string_view) {};
  return options;
}

enum class Read { right, refused, wrong };

Read read_value(detail::Store& store, const SampleTask& task, std::string_view value) {
  const auto got = store.read_value(entry_of(store, task.name), "text");
  if (!got) return Read::refused;
  const auto bytes = (*got)->bytes();
  const bool same =
      std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()) == value;
  return same ? Read::right : Read::wrong;
}

// --- A small object: every byte ----------------------------------------------------------------

std::uint64_t spoil_small_object(Line& line, const fs::path& cache) {
  const auto store = detail::open_store(cache, silent());
  const SampleTask task{"small", "Object", {}, true, false};
  const std::string value(1200 << 10, 'v');  // an object for its size; stored, it is small
  publish_value(*store, task, value);
  store->flush();
  const Victim object(only_file(cache / "objects"));
  std::uint64_t done = 0;
  const auto expect_refused = [&](const char* what, std::size_t at) {
    ++done;
    if (read_value(*store, task, value) == Read::refused) return;
    line.violation("small object, byte " + std::to_string(at) + " " + what + ": not noticed");
  };
  for (std::size_t at = 0; at < object.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      object.flip(at, bit);
      expect_refused("flipped", at);
    }
    if (object.zero(at)) expect_refused("zeroed", at);
    object.heal(at);
    object.cut(at);
    expect_refused("cut off", at);
    object.heal();
  }
  object.cut(0);
  publish_value(*store, task, value);
  if (read_value(*store, task, value) != Read::right) line.violation("recomputing does not help");
  return done;
}

// --- A pack: every byte of its header and records ------------------------------------------------

struct Published {
  SampleTask task;
  std::string value;
};

const std::vector<Published>& published() {
  static const std::vector<Published> all = {
      {{"up", "Pack", {}}, "short"},
      {{"compressed", "Pack", {"up"}}, std::string(2000, 'c')},
      {{"down", "Pack", {"up", "compressed"}}, "made of both"}};
  return all;
}

// Nothing wrong is read; false: and nothing is noticed either.
bool is_noticed(Line& line, detail::Store& store, const std::string& what) {
  bool noticed = false;
  for (const Published& each : published()) {
    const Read got = read_value(store, each.task, each.value);
    if (got == Read::wrong) line.violation(what + ": a wrong value");
    const auto entry = entry_of(store, each.task.name);
    noticed = noticed || got == Read::refused || !store.read_record(entry);
  }
  return noticed;
}

std::uint64_t spoil_pack(Line& line, const fs::path& cache) {
  {
    const auto store = detail::open_store(cache, silent());
    for (const Published& each : published()) publish_value(*store, each.task, each.value);
  }
  const Victim pack(only_file(cache / "packs"));
  std::uint64_t done = 0;
  const auto expect_noticed = [&](const char* what, std::size_t at) {
    ++done;
    const auto store = detail::open_store(cache, silent());  // none has the pack's header in memory
    const std::string text = "pack, byte " + std::to_string(at) + " " + what;
    if (!is_noticed(line, *store, text)) line.violation(text + ": not noticed");
  };
  std::mt19937_64 random(line.seed());
  for (std::size_t at = 0; at < pack.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      if (!line.nightly() && bit != random() % 8) continue;
      pack.flip(at, bit);
      expect_noticed("flipped", at);
    }
    pack.heal(at);
    if (pack.zero(at)) {
      expect_noticed("zeroed", at);
      pack.heal(at);
    }
    pack.cut(at);
    expect_noticed("cut off", at);
    pack.heal();
  }
  return done;
}

// --- The index: every page -----------------------------------------------------------------------

class IndexDamage {
 public:
  IndexDamage(Line& line, const fs::path& good, fs::path cache)
      : line_(line), good_(good), cache_(std::move(cache)), truth_(find_in(good).picture) {}

  void spoil(const std::string& what, const std::function<void(const Victim&)>& how) {
    copy_cache(good_, cache_);
    how(Victim(cache_ / "index.sqlite"));
    // Either opening rebuilds it, or answers are missed, or nothing that is asked for was hit; and
    // then verify() finds it.
    bool noticed = false, verified = false;
    const fs::path report = cache_.string() + ".noticed";
    const Ending ending = run_child([&] {
      detail::StoreOptions options;
      options.warn = [&](std::string_view) { noticed = true; };
      const Sample sample(cache_, options);
      for (const auto& [name, state] : sample.look()) {  // throws for what is wrong
        if (state != "missing" && state != "gone" && state != truth_.at(name)) return 3;
      }
      verified = !verify(*sample).good();
      return noticed || verified ? 0 : 4;
    });
    ++done;
    if (!ending.exited || ending.status != 0) {
      return line_.violation("index, " + what + ": " +
                             (ending.status == 3   ? "a wrong state"
                              : ending.status == 4 ? "not noticed"
                                                   : "it crashes, or a value is wrong"));
    }
    const Finding after = find_in(cache_);
    if (!after.fault.empty() || after.picture != truth_) {
      line_.violation("index, " + what + ": opened again it shows " + to_text(after.picture) +
                      after.fault);
    }
  }

  std::uint64_t done = 0;

 private:
  Line& line_;
  const fs::path good_;
  const fs::path cache_;
  const Picture truth_;
};

std::uint64_t spoil_index(Line& line, int slice) {
  const fs::path good = line.directory() / ("good" + std::to_string(slice));
  make_sample(good);
  IndexDamage damage(line, good, line.directory() / ("index" + std::to_string(slice)));
  constexpr std::size_t kPage = 4096;
  const std::size_t pages = fs::file_size(good / "index.sqlite") / kPage;
  std::mt19937_64 random(line.seed() + static_cast<std::uint64_t>(slice));
  for (std::size_t page = static_cast<std::size_t>(slice); page < pages; page += kSlices) {
    const std::string name = "page " + std::to_string(page);
    const auto at = [&] { return page * kPage + random() % kPage; };
    for (int i = 0; i < (line.nightly() ? 2000 : 20); ++i) {
      damage.spoil(name + " flipped", [&](const Victim& file) { file.flip(at(), random() % 8); });
    }
    // What is used of a page is at its ends.
    for (std::size_t edge = 0; edge < kPage; edge = edge == 15 ? kPage - 96 : edge + 1) {
      damage.spoil(name + " flipped at byte " + std::to_string(edge),
                   [&](const Victim& file) { file.flip(page * kPage + edge, random() % 8); });
      if (!line.nightly() && edge >= kPage - 96) edge += 8;
    }
    damage.spoil(name + " zeroed", [&](const Victim& file) {
      for (std::size_t i = 0; i < kPage; ++i) (void)file.zero(page * kPage + i);
    });
    damage.spoil(name + " cut off", [&](const Victim& file) { file.cut(page * kPage); });
    damage.spoil(name + " cut through", [&](const Victim& file) { file.cut(at()); });
    for (const std::size_t lost : {1, 8, 9, 64}) {
      damage.spoil(name + " without its last " + std::to_string(lost) + " bytes",
                   [&](const Victim& file) { file.cut((page + 1) * kPage - lost); });
    }
  }
  return damage.done;
}

// --- A large object: random bits -----------------------------------------------------------------

std::uint64_t spoil_large_object(Line& line, int slice, std::uint64_t count) {
  const fs::path cache = line.directory() / ("large" + std::to_string(slice));
  const auto store = detail::open_store(cache, silent());
  const SampleTask task{"large", "Object", {}, true, false};
  std::mt19937_64 random(line.seed() * 31 + static_cast<std::uint64_t>(slice));
  std::string value(std::size_t{64} << 20, '\0');
  for (std::size_t at = 0; at < value.size(); at += 8) {
    const std::uint64_t word = random();
    std::copy_n(reinterpret_cast<const char*>(&word), 8, value.data() + at);
  }
  publish_value(*store, task, value, 0);
  store->flush();
  const Victim object(only_file(cache / "objects"));
  const auto entry = entry_of(*store, task.name);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t at = random() % object.size();
    object.flip(at, random() % 8);
    if (store->read_value(entry, "text")) {
      line.violation("large object, a bit of byte " + std::to_string(at) + ": not noticed");
    }
    object.heal(at);
  }
  if (read_value(*store, task, value) != Read::right) line.violation("healed, it is not itself");
  return count;
}

int run(Line& line) {
  const std::uint64_t bits = line.nightly() ? 10'000 : 1'000;
  std::uint64_t small = 0, pack = 0, index = 0, large = 0;
  if (line.wants("small")) small = spoil_small_object(line, line.directory() / "small");
  if (line.wants("pack")) {
    pack = line.in_slices(1, [&](int) { return spoil_pack(line, line.directory() / "pack"); });
  }
  if (line.wants("index")) {
    index = line.in_slices(kSlices, [&](int slice) { return spoil_index(line, slice); });
  }
  if (line.wants("large")) {
    large = line.in_slices(
        kSlices, [&](int slice) { return spoil_large_object(line, slice, bits / kSlices); });
  }
  return line.finish("spoilt and noticed: small object " + std::to_string(small) + ", pack " +
                     std::to_string(pack) + ", index " + std::to_string(index) +
                     ", bits of 64 MiB " + std::to_string(large));
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
