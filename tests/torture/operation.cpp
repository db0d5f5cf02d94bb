#include "tests/torture/operation.h"

#include <fcntl.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "cache/bundle_export.h"
#include "cache/maintain.h"
#include "runtime/bundle_import.h"
#include "runtime/task_directory.h"
#include "src/os.h"
#include "tests/torture/failing.h"
#include "tests/torture/tracer.h"

#include <stook/errors.hpp>

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

constexpr int kImportSteps = 6;

void publish(const fs::path& cache, Steps& steps) {
  Sample sample(cache);
  steps.opened();
  for (const SampleTask& task : later_tasks()) {
    sample.publish(task);
    sample->flush();
    steps.done();
  }
}

void clear(const fs::path& cache, Steps& steps) {
  Sample sample(cache);
  steps.opened();
  sample.clear("a");
  steps.done();
}

void collect_garbage(const fs::path& cache, Steps& steps) {
  const Sample sample(cache);
  steps.opened();
  collect(*sample);
  steps.done();
}

void evict(const fs::path& cache, Steps& steps) {
  const Sample sample(cache);
  steps.opened();
  detail::CollectOptions options;
  options.max_bytes = 0;
  options.keep_classes = {"Leaf", "Inner"};
  collect(*sample, options);
  steps.done();
}

void make_index_anew(const fs::path& cache, Steps& steps) {
  const Sample sample(cache);
  steps.opened();
  reindex(*sample);
  steps.done();
}

void export_bundle(const fs::path& cache, Steps& steps) {
  const Sample sample(cache);
  steps.opened();
  const detail::Fd to = detail::os_open(cache.string() + ".exported", O_CREAT | O_TRUNC | O_WRONLY);
  if (detail::export_bundle(*sample, to.get(), "bundle", {}).left_out != 0) {
    throw std::logic_error("something is left out");
  }
  steps.done();
}

void import_bundle(const fs::path& bundle, const fs::path& cache, Steps& steps) {
  const Sample sample(cache);
  detail::restore_directories(*sample);
  steps.opened();
  const detail::Fd from = detail::os_open(bundle, O_RDONLY);
  if (detail::import_bundle(*sample, from.get(), "bundle", false).left_out != 0) {
    throw CacheError("import: something is left out");  // what the index says cannot be read
  }
  for (int i = 0; i < kImportSteps; ++i) steps.done();
}

// What is in the bundle and not in the cache: one that is cleared with its directory, what it made
// suspect, one of each that are new. Each is a step.
void make_bundle(const fs::path& bundle, const fs::path& from, const fs::path& to) {
  (void)run_child([&] {
    Sample sample(from);
    for (const SampleTask& task : later_tasks()) sample.publish(task);
    sample->flush();
    const detail::Fd file = detail::os_open(bundle, O_CREAT | O_WRONLY);
    (void)detail::export_bundle(*sample, file.get(), "bundle", {"Inner", "Large"});
    return 0;
  });
  (void)run_child([&] {
    Sample sample(to);
    sample.clear("a");
    sample.clear("large");
    return 0;
  });
}

void open_only(const fs::path& cache, Steps& steps) {
  const Sample sample(cache);
  steps.opened();
  steps.done();
}

// A process that has published and been killed: its pack has a tail that no index knows.
void crash(const fs::path& cache) {
  (void)run_child([&] {
    Sample sample(cache);
    for (const SampleTask& task : later_tasks()) sample.publish(task);
    sample->make_readable(sample.entry(later_tasks().back().name));
    return raise(SIGKILL);
  });
}

Picture picture_of(const fs::path& cache) {
  const Finding finding = find_in(cache);
  if (!finding.fault.empty()) throw std::logic_error(finding.fault);
  return finding.picture;
}

}  // namespace

int perform(const Operation& operation, const fs::path& cache, Steps& steps,
            const fs::path& error_file) {
  return perform(
      [&] {
        operation.perform(cache, steps);
        return 0;
      },
      error_file);
}

namespace {

std::string judge(const Operation& operation, const Finding& finding, std::size_t steps) {
  if (!finding.fault.empty()) return finding.fault;
  if (finding.open_seconds > 1) {
    return "opening it takes " + std::to_string(finding.open_seconds) + " s";
  }
  for (std::size_t i = steps; i < operation.pictures.size(); ++i) {
    if (finding.picture == operation.pictures[i]) return {};
  }
  return "after " + std::to_string(steps) + " steps it shows " + to_text(finding.picture);
}

}  // namespace

std::string judge(const Operation& operation, const fs::path& cache, std::size_t steps,
                  Leftovers leftovers) {
  Finding finding = find_in(cache);
  for (auto& [name, state] : finding.picture) {
    if (!name.ends_with('/') || leftovers == Leftovers::none) continue;
    if (finding.picture[name.substr(0, name.size() - 1)] == "missing") state = "gone";
  }
  return judge(operation, finding, steps);
}

std::string complete(const Operation& operation, const fs::path& cache, bool verified) {
  Steps steps;
  const Ending again = run_child([&] { return perform(operation, cache, steps); });
  if (!again.exited || again.status != 0) return "it cannot be done again";
  return judge(operation, find_in(cache, verified), operation.pictures.size() - 1);
}

std::vector<Operation> all_operations(const fs::path& directory) {
  const fs::path plain = directory / "plain", crashed = directory / "crashed";
  make_sample(plain);
  copy_cache(plain, crashed);
  crash(crashed);
  const fs::path richer = directory / "richer", poorer = directory / "poorer";
  copy_cache(plain, richer);
  copy_cache(plain, poorer);
  const fs::path bundle = directory / "bundle";
  make_bundle(bundle, richer, poorer);
  const auto import = [bundle](const fs::path& cache, Steps& steps) {
    import_bundle(bundle, cache, steps);
  };
  std::vector<Operation> operations = {
      {"publish", publish, {}, plain},         {"clear", clear, {}, plain},
      {"collect", collect_garbage, {}, plain}, {"evict", evict, {}, plain},
      {"reindex", make_index_anew, {}, plain}, {"recover", open_only, {}, crashed, true},
      {"export", export_bundle, {}, plain},    {"import", import, {}, poorer}};
  // The pictures are what is seen when all goes well, step by step: each must be what it means.
  const Picture before = picture_of(plain);
  Picture first = before, second = before, cleared = before, evicted = before;
  first["new"] = second["new"] = second["new large"] = "fresh";
  cleared["a"] = "missing";
  cleared["a/"] = "gone";
  cleared["b"] = cleared["c"] = "suspect";
  evicted["large"] = "missing";
  operations[0].pictures = {before, first, second};
  operations[1].pictures = {before, cleared};
  operations[2].pictures = {before, before};
  operations[3].pictures = {before, evicted};
  operations[4].pictures = {before, before};
  operations[5].pictures = {second, second};
  operations[6].pictures = {before, before};
  operations[7].pictures = {picture_of(poorer)};
  for (const char* name : {"a", "b", "c", "new", "large", "new large"}) {
    Picture next = operations[7].pictures.back();
    next[name] = "fresh";
    if (next.contains(std::string(name) + "/")) next[std::string(name) + "/"] = "there";
    operations[7].pictures.push_back(next);
  }
  // What the others consist of, too, or what is rarer. No multiple of the ways a call can fail.
  for (const std::size_t rarer : {3, 5, 6, 7}) operations[rarer].quick_step = 7;
  for (const Operation& operation : operations) {
    const fs::path cache = directory / "good";
    copy_cache(operation.prepared, cache);
    if (const std::string fault = complete(operation, cache, true); !fault.empty()) {
      throw std::logic_error(operation.name + " does not do what it must: " + fault);
    }
  }
  return operations;
}

}  // namespace stook::torture
