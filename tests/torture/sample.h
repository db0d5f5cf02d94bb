// sample.h - a small cache whose content is known: tasks by name, each with one right value.
// Works on the Store, as a run does. Not thread-safe.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cache/open.h"

namespace stook::torture {

struct SampleTask {
  std::string name;
  std::string class_name;
  std::vector<std::string> upstream;
  bool large = false;      // its value is an object
  bool directory = false;  // it leaves a file in its task directory
};

// What every cache begins with, and what is published into it under torture.
[[nodiscard]] const std::vector<SampleTask>& sample_tasks();
[[nodiscard]] const std::vector<SampleTask>& later_tasks();

[[nodiscard]] std::string value_of(std::string_view name);

// Other tasks than the sample's, with values of their own.
void publish_value(detail::Store& store, const SampleTask& task, std::string_view value,
                   int compress_level = 3);
[[nodiscard]] detail::Entry entry_of(detail::Store& store, std::string_view name);

// What can be seen of the tasks in a cache: "missing", "fresh", "suspect"; and of their
// directories: "NAME/": "there" or "gone". A value that is there has been read, and was right.
using Picture = std::map<std::string, std::string>;
[[nodiscard]] std::string to_text(const Picture& picture);

class Sample {
 public:
  explicit Sample(const std::filesystem::path& directory, detail::StoreOptions options = {});

  detail::Store& operator*() const { return *store_; }
  detail::Store* operator->() const { return store_.get(); }
  void publish(const SampleTask& task);
  void clear(std::string_view name);
  [[nodiscard]] detail::Entry entry(std::string_view name) const;

  // Throws std::logic_error for what must never be: a wrong value, a fresh one that cannot be read,
  // a fresh one made of something that is not.
  [[nodiscard]] Picture look() const;

 private:
  [[nodiscard]] std::string state(const SampleTask& task) const;

  std::unique_ptr<detail::Store> store_;
};

// For tasks that leave a file in their directory: is it there?
[[nodiscard]] bool has_its_directory(const detail::Store& store, const SampleTask& task,
                                     std::uint64_t id);

// What another process finds: opens the cache, looks, closes it.
struct Finding {
  Picture picture;
  double open_seconds = 0;
  std::string fault;  // why it is not as it must be, whatever the picture; empty: it is
};
// `verified`: verify() must find nothing either.
[[nodiscard]] Finding find_in(const std::filesystem::path& directory, bool verified = false);

// The cache that is tortured, and a copy of it; packs and objects, in which nothing is ever written
// again, are shared with it.
void make_sample(const std::filesystem::path& directory);
void copy_cache(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace stook::torture
