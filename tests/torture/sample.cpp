#include "tests/torture/sample.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>

#include "cache/maintain.h"
#include "runtime/task_directory.h"
#include "src/external.h"
#include "src/hash.h"
#include "src/os.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;
using detail::ByteSpan;
using detail::Entry;
using detail::RecordState;

Key key_of(std::string_view name) { return Key{detail::hash_bytes(name)}; }

ByteSpan bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

const SampleTask& task_named(std::string_view name) {
  for (const auto* tasks : {&sample_tasks(), &later_tasks()}) {
    for (const SampleTask& task : *tasks) {
      if (task.name == name) return task;
    }
  }
  throw std::logic_error("no such task");
}

std::string text_of(RecordState state) {
  switch (state) {
    case RecordState::fresh: return "fresh";
    case RecordState::suspect: return "suspect";
    default: return "missing";
  }
}

// Three megabytes of which a few pages are in use.
void copy_sparse(const fs::path& from, const fs::path& to) {
  const detail::Fd in = detail::os_open(from, O_RDONLY);
  const detail::Fd out = detail::os_open(to, O_CREAT | O_EXCL | O_WRONLY);
  std::array<char, 4096> page;
  off_t at = 0;
  while (in && (at = lseek(in.get(), at, SEEK_DATA)) >= 0) {
    const ssize_t n =
        detail::os_pread(in.get(), page.data(), page.size(), static_cast<std::uint64_t>(at));
    if (n <= 0 || !detail::os_pwrite(out.get(), page.data(), static_cast<std::size_t>(n),
                                     static_cast<std::uint64_t>(at)))
      break;
    at += n;
  }
  fs::resize_file(to, fs::file_size(from));
}

Digest directory_of(std::string_view value) {
  detail::DirectoryHasher hasher;
  hasher.file("file", false);
  hasher.content(value.data(), value.size());
  hasher.end_file();
  return hasher.finish();
}

// As a run makes it.
Digest digest_of(const SampleTask& task, std::string_view value) {
  detail::Hasher hasher;
  hasher.update(detail::kResultDomain);
  hasher.update(value);
  const Digest digest{hasher.finish()};
  return task.directory ? detail::combine_digests(digest, directory_of(value)) : digest;
}

fs::path file_of(const detail::Store& store, const SampleTask& task, std::uint64_t id) {
  return store.task_path(task.class_name, id) / "data" / "file";
}

}  // namespace

// `old` is replaced once and `cleared` cleared once, so that there is garbage in the packs.
const std::vector<SampleTask>& sample_tasks() {
  static const std::vector<SampleTask> tasks = {
      {"a", "Leaf", {}, false, true}, {"b", "Inner", {"a"}, false, true},
      {"c", "Inner", {"b", "lone"}},  {"lone", "Leaf", {}},
      {"large", "Large", {}, true},   {"old", "Leaf", {}},
      {"cleared", "Other", {}},       {"gone", "Large", {}, true}};
  return tasks;
}

const std::vector<SampleTask>& later_tasks() {
  static const std::vector<SampleTask> tasks = {{"new", "Inner", {"a", "c"}},
                                                {"new large", "Large", {"new"}, true}};
  return tasks;
}

namespace {

std::string make_value(std::string_view name) {
  if (name.find("large") == std::string_view::npos && name != "gone") {
    return "the value of " + std::string(name) + std::string(300, 'v');
  }
  std::mt19937_64 random(detail::hash_bytes(name).low);  // does not shrink
  std::string value(1200 << 10, '\0');
  for (std::size_t at = 0; at + 8 <= value.size(); at += 8) {
    const std::uint64_t word = random();
    std::memcpy(value.data() + at, &word, sizeof word);
  }
  return value;
}

}  // namespace

// Made once, by the parent of those who ask: make_sample() sees to that.
std::string value_of(std::string_view name) {
  static const auto values = [] {
    std::map<std::string, std::string, std::less<>> made;
    for (const auto* tasks : {&sample_tasks(), &later_tasks()}) {
      for (const SampleTask& task : *tasks) made[task.name] = make_value(task.name);
    }
    return made;
  }();
  const auto found = values.find(name);
  return found != values.end() ? found->second : make_value(name);
}

std::string to_text(const Picture& picture) {
  std::string text;
  for (const auto& [name, state] : picture) text += name + " " + state + ", ";
  return text;
}

Sample::Sample(const fs::path& directory, detail::StoreOptions options) {
  if (!options.warn) options.warn = [](std::string_view) {};
  store_ = detail::open_store(directory, options);
}

void publish_value(detail::Store& store, const SampleTask& task, std::string_view value,
                   int compress_level) {
  const ByteSpan piece = bytes_of(value);
  detail::Publication p;
  p.key = key_of(task.name);
  p.id = store.id_of(p.key);
  p.class_name = task.class_name;
  p.arguments = task.name;
  std::vector<detail::UpstreamSeen> upstream;
  for (const std::string& up : task.upstream) {
    // What a run saw it has in memory, whatever becomes of the index.
    const Digest seen = entry_of(store, up).digest;
    upstream.push_back(
        {key_of(up), seen.is_zero() ? digest_of(task_named(up), value_of(up)) : seen});
  }
  p.upstream = upstream;
  p.digest = digest_of(task, value);
  if (task.directory) p.directory = directory_of(value);
  p.codec = "text";
  p.duration_ns = 1'000'000;
  p.compress_level = compress_level;
  p.value = {&piece, 1};
  if (task.directory) {
    store.expose_id(p.key, p.id, task.class_name);
    const fs::path file = file_of(store, task, p.id);
    fs::create_directories(file.parent_path());
    std::ofstream(file) << value;
  }
  store.publish(p);
}

Entry entry_of(detail::Store& store, std::string_view name) {
  const Key key = key_of(name);
  Entry found;
  store.lookup({&key, 1}, {&found, 1});
  return found;
}

void Sample::publish(const SampleTask& task) { publish_value(*store_, task, value_of(task.name)); }

void Sample::clear(std::string_view name) { store_->clear(key_of(name)); }

Entry Sample::entry(std::string_view name) const { return entry_of(*store_, name); }

std::string Sample::state(const SampleTask& task) const {
  const Entry found = entry(task.name);
  if (found.state == RecordState::missing) return "missing";
  const auto value = store_->read_value(found, "text");
  if (!value) {
    if (found.state == RecordState::suspect) return "unreadable";
    throw std::logic_error(task.name + " is fresh and cannot be read: " + value.reason());
  }
  const ByteSpan bytes = (*value)->bytes();
  const std::string_view got(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (got != value_of(task.name)) throw std::logic_error(task.name + " has a wrong value");
  return text_of(found.state);
}

bool has_its_directory(const detail::Store& store, const SampleTask& task, std::uint64_t id) {
  std::stringstream text;
  text << std::ifstream(file_of(store, task, id)).rdbuf();
  return text.str() == value_of(task.name);
}

Picture Sample::look() const {
  Picture picture;
  for (const auto* tasks : {&sample_tasks(), &later_tasks()}) {
    for (const SampleTask& task : *tasks) {
      picture[task.name] = state(task);
      if (!task.directory) continue;
      const bool there = has_its_directory(*store_, task, entry(task.name).id);
      picture[task.name + "/"] = there ? "there" : "gone";
      if (picture[task.name] == "fresh" && picture[task.name + "/"] == "gone") {
        throw std::logic_error(task.name + " is fresh and its directory is gone");
      }
    }
  }
  for (const auto* tasks : {&sample_tasks(), &later_tasks()}) {
    for (const SampleTask& task : *tasks) {
      if (picture[task.name] != "fresh") continue;
      for (const std::string& up : task.upstream) {
        if (picture[up] == "fresh" || entry(up).doubt == detail::Doubt::not_kept) continue;
        throw std::logic_error(task.name + " is fresh, " + up + " of which it was made is not");
      }
    }
  }
  return picture;
}

// The other process tells what it found line by line, through a file.
Finding find_in(const fs::path& directory, bool verified) {
  const fs::path report = directory.string() + ".found";
  const Ending ending = run_child([&] {
    std::ofstream out(report);
    try {
      const auto start = std::chrono::steady_clock::now();
      const Sample sample(directory);
      restore_directories(*sample);  // as a program does that runs tasks
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      out << "seconds\t" << took.count() << '\n';
      for (const auto& [name, state] : sample.look()) out << name << '\t' << state << '\n';
      if (!verified) return 0;
      for (const std::string& defect : verify(*sample).defects) out << "fault\t" << defect << '\n';
    } catch (const std::exception& error) { out << "fault\t" << error.what() << '\n'; }
    return 0;
  });
  Finding finding;
  std::ifstream in(report);
  for (std::string line; std::getline(in, line);) {
    const std::size_t tab = line.find('\t');
    const std::string name = line.substr(0, tab), text = line.substr(tab + 1);
    if (name == "fault") {
      finding.fault = text;
    } else if (name == "seconds") {
      finding.open_seconds = std::stod(text);
    } else {
      finding.picture[name] = text;
    }
  }
  if (!ending.exited || ending.status != 0) {
    finding.fault = ending.signal == kHungSignal
                        ? "looking at it hangs"
                        : "looking at it ends by signal " + std::to_string(ending.signal);
  }
  fs::remove(report);
  return finding;
}

void make_sample(const fs::path& directory) {
  (void)value_of("large");
  { const Sample sample(directory); }
  const auto session = [&](const std::function<void(Sample&)>& use) {
    (void)run_child([&] {
      Sample sample(directory);
      use(sample);
      sample->flush();
      return 0;
    });
  };
  session([](Sample& sample) {
    for (const SampleTask& task : sample_tasks()) {
      if (task.upstream.empty()) sample.publish(task);
    }
    sample.publish(task_named("old"));
  });
  session([](Sample& sample) {
    sample.publish(task_named("b"));
    sample.publish(task_named("c"));
    sample.clear("cleared");
    sample.clear("gone");
  });
}

void copy_cache(const fs::path& from, const fs::path& to) {
  fs::remove_all(to);
  fs::create_directory(to);
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const fs::path inside = fs::relative(entry.path(), from), place = to / inside;
    if (entry.is_directory()) {
      fs::create_directory(place);
    } else if (*inside.begin() == "objects" || *inside.begin() == "packs") {
      fs::create_hard_link(entry.path(), place);
    } else if (inside == ".claims") {
      copy_sparse(entry.path(), place);
    } else {
      fs::copy_file(entry.path(), place);
    }
  }
}

}  // namespace stook::torture
