#include <deque>
#include <map>
#include <mutex>
#include <set>

#include "src/context.h"
#include "src/hash.h"
#include "src/registry.h"
#include "src/shown.h"

#include <stook/canonical.hpp>
#include <stook/class_info.hpp>
#include <stook/errors.hpp>
#include <stook/json.hpp>
#include <stook/reflect.hpp>
#include <stook/task.hpp>

namespace stook::detail {
namespace {

// The version of the encoding of keys: raised when the bytes below change.
constexpr std::string_view key_domain = "stook key 1";

struct Registry {
  std::mutex mutex;
  std::deque<ClassInfo> classes;  // addresses are stable
  std::map<std::string, const ClassInfo*, std::less<>> by_name;
  std::vector<std::string> conflicts;
};

Registry& registry() {
  static auto* instance = new Registry;  // never destroyed: static tasks may outlive it
  return *instance;
}

// Domain, name and version, each with its length: no two classes have one prefix.
std::string make_key_prefix(const ClassInfo& info) {
  std::string prefix;
  const auto append = [&prefix](std::string_view text) {
    const auto size = static_cast<std::uint32_t>(text.size());
    for (int i = 0; i < 4; ++i) prefix.push_back(static_cast<char>(size >> (8 * i)));
    prefix.append(text);
  };
  append(key_domain);
  append(info.name);
  for (int i = 0; i < 4; ++i) prefix.push_back(static_cast<char>(info.version >> (8 * i)));
  return prefix;
}

// Names stand in reports, on terminals and in commands: none may have what those do not show.
void check_names(const ClassInfo& info, std::vector<std::string>& faults) {
  if (!is_name(info.name)) {
    faults.push_back("the name of the class " + demangled(*info.type) + " is \"" +
                     shown(info.name) +
                     "\": give it a task_alias of one line of UTF-8, without "
                     "control characters");
  }
  for (const std::string& label : info.labels) {
    if (is_name(label)) continue;
    faults.push_back("a label of the class " + demangled(*info.type) + " is \"" + shown(label) +
                     "\": a label is one line of UTF-8, without control characters");
  }
}

}  // namespace

const ClassInfo& register_class(ClassInfo info) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  info.key_prefix = make_key_prefix(info);
  check_names(info, all.conflicts);
  const auto found = all.by_name.find(info.name);
  if (found != all.by_name.end() && *found->second->type == *info.type) return *found->second;
  const ClassInfo& added = all.classes.emplace_back(std::move(info));
  if (found != all.by_name.end()) {
    all.conflicts.push_back("two classes of tasks are named '" + added.name + "': " +
                            demangled(*found->second->type) + " and " + demangled(*added.type) +
                            "; give one of them another name with `static constexpr task_alias`");
  } else {
    all.by_name.emplace(added.name, &added);
  }
  return added;
}

void check_registry() {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  if (all.conflicts.empty()) return;
  throw InvalidArgument(all.conflicts.front());
}

const ClassInfo* find_class(std::string_view name) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto found = all.by_name.find(name);
  return found == all.by_name.end() ? nullptr : found->second;
}

std::vector<const ClassInfo*> all_classes() {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  std::vector<const ClassInfo*> classes;
  for (const auto& [name, info] : all.by_name) classes.push_back(info);
  return classes;
}

void override_version(const ClassInfo& info, std::uint32_t version) {
  auto& changed = const_cast<ClassInfo&>(info);  // the registry owns it, and it is not const
  changed.version = version;
  changed.key_prefix = make_key_prefix(changed);
}

Key task_key(const ClassInfo& info, std::string_view arguments) {
  const std::size_t size = info.key_prefix.size() + arguments.size();
  char local[512];
  if (size <= sizeof local) {
    info.key_prefix.copy(local, info.key_prefix.size());
    arguments.copy(local + info.key_prefix.size(), arguments.size());
    return Key{hash_bytes(local, size)};
  }
  Hasher hasher;
  hasher.update(info.key_prefix);
  hasher.update(arguments);
  return Key{hasher.finish()};
}

void rethrow_argument_error(const ClassInfo& info) {
  try {
    throw;
  } catch (const InvalidArgument& error) {
    throw InvalidArgument("cannot name a task of class " + info.name + ": " + error.what());
  }
}

}  // namespace stook::detail
