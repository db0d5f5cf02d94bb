#include "runtime/executors/prefixes.h"

#include <set>

#include "runtime/executors/words.h"
#include "src/context.h"

namespace stook::detail {
namespace {

std::vector<std::string> names_of(const ClassInfo& info) {
  std::vector<std::string> names{info.name};
  names.insert(names.end(), info.labels.begin(), info.labels.end());
  return names;
}

}  // namespace

const Prefix* prefix_of(const ClassInfo& info, const std::map<std::string, Prefix>& prefixes) {
  if (prefixes.empty()) return nullptr;
  for (const std::string& name : names_of(info)) {
    if (const auto found = prefixes.find(name); found != prefixes.end()) return &found->second;
  }
  const auto any = prefixes.find(any_class);
  return any == prefixes.end() ? nullptr : &any->second;
}

Prefix srun_prefix(const Executor& executor) {
  Prefix prefix{"srun",
                {"srun", "--ntasks=1", "--quiet", "--job-name=stook-{task_name}-{task_id}"}};
  const auto more = split_words(executor.slurm_options().arguments);
  prefix.words.insert(prefix.words.end(), more.begin(), more.end());
  return prefix;
}

std::map<std::string, Prefix> read_prefixes(const std::map<std::string, std::string>& commands,
                                            std::vector<std::string>& warnings) {
  std::map<std::string, Prefix> prefixes;
  for (const auto& [label, command] : commands) { prefixes[label] = {label, split_words(command)}; }
  if (prefixes.empty()) return prefixes;
  std::set<std::string> known;
  for (const ClassInfo* info : all_classes()) {
    std::string matching;
    int count = 0;
    for (const std::string& name : names_of(*info)) {
      known.insert(name);
      if (!prefixes.contains(name)) continue;
      ++count;
      matching += (matching.empty() ? "'" : ", '") + name + "'";
    }
    if (count > 1) {
      warnings.push_back("tasks of " + info->name + " have prefix commands by " + matching +
                         "; the one of '" + prefix_of(*info, prefixes)->label + "' is taken");
    }
  }
  for (const auto& [label, prefix] : prefixes) {
    if (known.contains(label)) continue;
    warnings.push_back("no task has the label '" + label +
                       "' that a prefix is given for; known are " + quoted_names(known, label));
  }
  return prefixes;
}

}  // namespace stook::detail
