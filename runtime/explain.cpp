#include "runtime/explain.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "runtime/found_inputs.h"
#include "src/context.h"

#include <stook/canonical.hpp>
#include <stook/errors.hpp>

namespace stook::detail {
namespace {

std::string when_text(std::int64_t unix_ns) {
  const std::time_t seconds = unix_ns / 1'000'000'000;
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(seconds));
}

std::string seconds_text(std::int64_t ns) {
  const double seconds = static_cast<double>(ns) * 1e-9;
  return seconds < 1e-3  ? fmt::format("{:.0f} us", seconds * 1e6)
         : seconds < 1.0 ? fmt::format("{:.1f} ms", seconds * 1e3)
                         : fmt::format("{:.2f} s", seconds);
}

// What ids are called. All are read together when the first is asked for.
class TaskNames {
 public:
  explicit TaskNames(Store& store) : store_(store) {}

  std::string of(std::uint64_t id) {
    if (id == 0) return "something upstream";
    if (entries_.empty()) {
      store_.for_each("", [this](const Key&, const Entry& entry) {
        entries_.emplace(entry.id, entry);
        return true;
      });
    }
    const auto found = entries_.find(id);
    if (found != entries_.end()) {
      if (const auto record = store_.read_record(found->second)) {
        return fmt::format("{}{} #{}", record->class_name, canonical_to_text(record->arguments, 60),
                           id);
      }
    }
    return fmt::format("task #{}", id);
  }

 private:
  Store& store_;
  std::unordered_map<std::uint64_t, Entry> entries_;
};

// One clause: "was never run", "was cleared", "Upstream#3 was cleared", ...
std::string doubt_text(TaskNames& names, const Entry& entry) {
  switch (entry.doubt) {
    case Doubt::none: return "its record is fresh";
    case Doubt::never_ran: return "it has never run in this cache with these arguments and version";
    case Doubt::cleared: return "it was cleared";
    case Doubt::upstream_cleared: return names.of(entry.cause) + " above it was cleared";
    case Doubt::upstream_changed: return names.of(entry.cause) + " above it changed";
    case Doubt::version_changed:
      return "the class of " + names.of(entry.cause) + " has another version now";
    case Doubt::damaged: return "its stored result was damaged";
    case Doubt::not_kept: return "its class keeps no results (Store::never)";
  }
  return "?";
}

std::string state_text(RecordState state) {
  switch (state) {
    case RecordState::fresh: return "fresh";
    case RecordState::suspect: return "suspect";
    case RecordState::missing: return "missing";
  }
  return "?";
}

void describe_record(std::string& out, const Record& record) {
  out +=
      fmt::format("  last run    {}, took {}, host {}, process {}\n", when_text(record.started_ns),
                  seconds_text(record.duration_ns), record.host, record.process);
  out += fmt::format("  build       {}\n", record.build.empty() ? "unknown" : record.build);
  out += fmt::format("  result      {} ({} bytes, {} stored, {})\n", to_hex(record.digest),
                     record.raw_bytes, record.stored_bytes, record.codec);
  if (!record.directory.is_zero()) {
    out += fmt::format("  directory   {}\n", to_hex(record.directory));
  }
}

void describe_upstream(std::string& out, Store& store, const Record& record) {
  constexpr std::size_t shown = 20;
  for (std::size_t i = 0; i < record.upstream.size(); ++i) {
    if (i == shown) {
      out += fmt::format("  upstream    ... and {} more\n", record.upstream.size() - shown);
      break;
    }
    const UpstreamSeen& seen = record.upstream[i];
    if (is_found_mark(seen)) {
      out += "  found       while it ran:\n";
      continue;
    }
    Entry entry;
    store.lookup({&seen.key, 1}, {&entry, 1});
    if (is_constant(seen)) {
      out += fmt::format("  upstream    a constant {}\n", to_hex(seen.key));
      continue;
    }
    std::string name = "a task without a record";
    if (entry.pack != 0) {
      if (const auto upstream = store.read_record(entry)) {
        name = upstream->class_name + canonical_to_text(upstream->arguments, 60);
      }
    }
    const bool known = entry.pack != 0;
    const char* verdict = !known                        ? "not there any more"
                          : entry.digest != seen.digest ? "CHANGED since"
                                                        : "the same as seen";
    out += fmt::format("  upstream    {}: {}, saw {}{}\n", name, verdict, to_hex(seen.digest),
                       known ? ", is " + state_text(entry.state) : "");
  }
}

}  // namespace

std::string explain_task(Store& store, const TaskSpec& task) {
  // What this process has published is judged there only; on a full disk, as far as it is known.
  try {
    store.tell_index();
  } catch (const CacheError&) {}
  Entry entry;
  store.lookup({&task.key, 1}, {&entry, 1});
  return explain_key(store, {task.key, task.info.name, task.info.version, arguments_of(task)},
                     entry);
}

std::string explain_key(Store& store, const KeyParts& parts, const Entry& entry) {
  std::string out = parts.class_name + canonical_to_text(parts.arguments, 120) + ": ";
  switch (entry.state) {
    case RecordState::fresh: out += "would be reused: "; break;
    case RecordState::suspect: out += "would be checked against its upstream, because "; break;
    case RecordState::missing: out += "would run, because "; break;
  }
  TaskNames names(store);
  out += doubt_text(names, entry) + "\n";
  out += fmt::format("  key         {}\n", to_hex(parts.key));
  out += fmt::format("  class       {}\n  version     {}\n", parts.class_name, parts.version);
  out += fmt::format("  arguments   {}\n", canonical_to_text(parts.arguments, 2000));
  if (entry.pack == 0) return out;
  const auto record = store.read_record(entry);
  if (!record) return out + "  record      unreadable: " + record.reason() + "\n";
  describe_record(out, *record);
  describe_upstream(out, store, *record);
  return out;
}

std::string dry_run_text(Store& store, const Plan& plan) {
  std::string out;
  std::size_t would_run = 0;
  std::size_t would_check = 0;
  TaskNames names(store);
  const auto answered = std::count_if(plan.nodes.begin(), plan.nodes.end(), [](const Node& node) {
    return node.is_task() && node.state == NodeState::cached;
  });
  for (const NodeIndex index : plan.order) {
    const Node& node = plan.nodes[index];
    const bool checked = node.entry.state == RecordState::suspect && !node.forced;
    ++(checked ? would_check : would_run);
    const std::string why =
        node.forced ? "the entry task runs each time" : doubt_text(names, node.entry);
    out += fmt::format("{}  {}: {}\n", checked ? "check" : "run  ", task_text(node.task()), why);
  }
  out += fmt::format("{} would run, {} would be checked, {} are answered by the cache\n", would_run,
                     would_check, answered);
  return out;
}

}  // namespace stook::detail
