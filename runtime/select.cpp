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

// Where the arguments of NAME(ARGUMENTS) begin; npos: it is no such thing. Names may hold brackets
// themselves: "(anonymous namespace)::Train(1)".
std::size_t start_of_arguments(std::string_view what) {
  if (!what.ends_with(')')) return std::string_view::npos;
  const auto first = what.find('(');
  for (auto open = first; open != std::string_view::npos; open = what.find('(', open + 1)) {
    if (find_class(what.substr(0, open)) != nullptr) return open;
  }
  return first;
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

std::uint64_t id_of(std::string_view what) {
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(what.data() + 1, what.data() + what.size(), id);
  if (error != std::errc() || end != what.data() + what.size() || id == 0) {
    throw InvalidArgument("a task's id is a number: #17, not '" + std::string(what) + "'");
  }
  return id;
}

std::vector<Selected> select(Store& store, std::string_view what, std::size_t most) {
  const auto open = start_of_arguments(what);
  if (open != std::string_view::npos) {
    const SpecPtr spec =
        spec_of(what.substr(0, open), what.substr(open + 1, what.size() - open - 2));
    const auto& task = static_cast<const TaskSpec&>(*spec);
    Entry entry;
    store.lookup({&task.key, 1}, {&entry, 1});
    return {{{task.key, task.info.name, task.info.version, arguments_of(task)}, entry}};
  }
  if (what.starts_with('#')) return records(store, "", id_of(what), 1);
  return records(store, what, 0, most);
}

}  // namespace

Selection::Selection(std::string_view what) {
  const auto open = start_of_arguments(what);
  if (open != std::string_view::npos) {
    key_ = spec_of(what.substr(0, open), what.substr(open + 1, what.size() - open - 2))->key;
  } else if (what.starts_with('#')) {
    id_ = id_of(what);
  } else {
    pattern_ = what;
  }
}

bool Selection::has(const TaskSpec& task, std::uint64_t id) const {
  if (!key_.is_zero()) return task.key == key_;
  if (id_ != 0) return id == id_;
  return !pattern_.empty() && ::fnmatch(pattern_.c_str(), task.info.name.c_str(), 0) == 0;
}

Invalidated clear_selected(Store& store, std::string_view what) {
  Invalidated total;
  const auto add = [&total](const Invalidated& cleared) {
    total.removed += cleared.removed;
    total.suspected += cleared.suspected;
  };
  const bool one = start_of_arguments(what) != std::string_view::npos || what.starts_with('#');
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
