#include "runtime/select.h"

#include <fnmatch.h>

#include <charconv>
#include <set>

#include "runtime/explain.h"
#include "src/context.h"

#include <stook/canonical.hpp>
#include <stook/errors.hpp>
#include <stook/json.hpp>
#include <stook/task.hpp>

namespace stook::detail {
namespace {

struct Selected {
  KeyParts parts;
  Entry entry;
};

constexpr std::size_t most_explained = 20;

std::string known_classes() {
  std::string names;
  for (const ClassInfo* info : all_classes()) names += " " + info->name;
  return names;
}

// NAME(1, "foo") or NAME({"lr": 0.1}): a task of a class that this program knows.
SpecPtr spec_of(std::string_view name, std::string_view arguments) {
  const ClassInfo* const info = find_class(name);
  if (info == nullptr) {
    throw InvalidArgument("this program has no class of tasks named '" + std::string(name) +
                          "'; it has" + known_classes());
  }
  return info->from_json(Json::parse("[" + std::string(arguments) + "]"));
}

std::vector<Selected> records(Store& store, std::string_view pattern, std::uint64_t id,
                              std::size_t most) {
  std::vector<Selected> found;
  store.for_each(pattern, [&](const Key& key, const Entry& entry) {
    if (id != 0 && entry.id != id) return true;
    if (entry.pack == 0) return true;
    if (auto record = store.read_record(entry)) {
      found.push_back({{key, record->class_name, record->version, record->arguments}, entry});
    }
    return found.size() < most;
  });
  return found;
}

std::vector<Selected> select(Store& store, std::string_view what, std::size_t most) {
  const auto open = what.find('(');
  if (open != std::string_view::npos && what.ends_with(')')) {
    const SpecPtr spec =
        spec_of(what.substr(0, open), what.substr(open + 1, what.size() - open - 2));
    const auto& task = static_cast<const TaskSpec&>(*spec);
    Entry entry;
    store.lookup({&task.key, 1}, {&entry, 1});
    return {{{task.key, task.info.name, task.info.version, arguments_of(task)}, entry}};
  }
  if (what.starts_with('#')) {
    std::uint64_t id = 0;
    const auto [end, error] = std::from_chars(what.data() + 1, what.data() + what.size(), id);
    if (error != std::errc() || end != what.data() + what.size() || id == 0) {
      throw InvalidArgument("a task's id is a number: #17, not '" + std::string(what) + "'");
    }
    return records(store, "", id, 1);
  }
  return records(store, what, 0, most);
}

}  // namespace

Invalidated clear_selected(Store& store, std::string_view what) {
  Invalidated total;
  const auto add = [&total](const Invalidated& cleared) {
    total.removed += cleared.removed;
    total.suspected += cleared.suspected;
  };
  const bool one = what.find('(') != std::string_view::npos || what.starts_with('#');
  if (one) {
    for (const Selected& selected : select(store, what, 1)) add(store.clear(selected.parts.key));
    return total;
  }
  std::set<std::string> classes;
  for (const ClassHistory& history : store.history()) classes.insert(history.name);
  for (const ClassInfo* info : all_classes()) classes.insert(info->name);
  bool matched = false;
  for (const std::string& name : classes) {
    if (::fnmatch(std::string(what).c_str(), name.c_str(), 0) != 0) continue;
    matched = true;
    add(store.clear_class(name));
  }
  if (!matched) {
    throw InvalidArgument("no class of tasks matches '" + std::string(what) + "'; known are" +
                          known_classes());
  }
  return total;
}

std::string explain_selected(Store& store, std::string_view what) {
  std::string text;
  for (const Selected& selected : select(store, what, most_explained)) {
    text += explain_key(store, selected.parts, selected.entry);
  }
  if (text.empty()) {
    throw InvalidArgument("there is no record of '" + std::string(what) +
                          "' in this cache; classes of this program:" + known_classes());
  }
  return text;
}

}  // namespace stook::detail
