#include "runtime/job_maker.h"

#include "src/external.h"
#include "src/hash.h"
#include "src/mutant.h"
#include "src/task_object.h"

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

bool is_other_directory(const fs::path& directory) {
  std::error_code ignored;
  return !directory.empty() && !fs::equivalent(directory, fs::current_path(), ignored);
}

}  // namespace

JobMaker::JobMaker(Store& store, Plan& plan, Execution& execution, const ValueFiles& files,
                   const JobDefaults& defaults)
    : store_(store), plan_(plan), execution_(execution), files_(files), defaults_(defaults),
      is_elsewhere_(is_other_directory(defaults.directory)) {}

bool JobMaker::make(const Node& node, Job& job, Completion& completion) {
  const TaskSpec& task = node.task();
  job.key = task.key;
  job.id = node.entry.id;
  job.class_name = task.info.name;
  job.version = task.info.version;
  const bool kept = task.info.store != stook::Store::never;
  job.compress_level = kept ? task.info.compress_level.value_or(defaults_.compress_level) : 0;
  job.made_of = made_of(plan_, node);
  job.has_result = node.entry.pack != 0 || !node.entry.known;
  if (job.has_result) {
    settle_attempt(store_, task.key, node.entry, store_.task_path(job.class_name, job.id));
  }
  job.allow_other_build = defaults_.allow_other_build;
  job.memory = task.info.memory != 0 ? task.info.memory : defaults_.memory;
  job.log_limit = defaults_.log_limit;
  CanonicalWriter arguments;
  std::vector<SpecPtr> futures;
  arguments.set_futures(&futures);
  task.write_arguments(arguments);
  job.arguments = arguments.bytes();
  for (std::uint32_t i = 0; i < node.input_count; ++i) {
    const NodeIndex input = plan_.inputs[node.first_input + i];
    if (plan_.nodes[input].spec->kind == SpecKind::external) {
      add_external(job, static_cast<const ExternalSpec&>(*plan_.nodes[input].spec));
    }
    if (!plan_.nodes[input].is_task()) continue;  // the worker makes it itself
    if (add_task(job, plan_.nodes[input], completion.cause)) continue;
    completion.kind = Completion::Kind::damaged;
    completion.input = input;
    return false;
  }
  inputs_.clear();
  for (std::uint32_t i = 0; i < node.input_count && !futures.empty(); ++i) {
    inputs_.insert(plan_.inputs[node.first_input + i]);
  }
  // The worker knows futures among the arguments by their keys only.
  for (const SpecPtr& future : futures) {
    if (future->kind == SpecKind::task) continue;
    if (!add_future(job, future, completion)) return false;
  }
  return true;
}

bool JobMaker::add_task(Job& job, Node& input, std::string& damage) {
  JobInput place;
  place.key = input.spec->key;
  place.digest = input.digest;
  if (static_cast<const TaskSpec&>(*input.spec).info.store == stook::Store::never) {
    if (!execution_.load(input, damage)) return false;
    add_value(job, std::move(place), input.spec->value_type, input.value);
    return true;
  }
  store_.make_readable(input.entry);
  place.pack = input.entry.pack;
  place.offset = input.entry.offset;
  job.inputs.push_back(std::move(place));
  return true;
}

// The driver has looked at it, and the worker may have other variables and another directory: it
// gets what was looked at. A path, where both are in one directory, it makes itself.
void JobMaker::add_external(Job& job, const ExternalSpec& input) {
  const bool same = input.what != ExternalSpec::What::variable && !is_elsewhere_;
  if (same || STOOK_MUTANT("send-external")) return;
  JobInput place;
  place.key = input.key;
  add_value(job, std::move(place), input.value_type, value_for_worker(input));
}

Value JobMaker::value_for_worker(const ExternalSpec& input) const {
  const bool is_path = input.what != ExternalSpec::What::variable;
  if (!is_path || !is_elsewhere_) return plan_.value_for(input);
  return std::make_shared<const fs::path>(fs::absolute(input.name));
}

void JobMaker::add_value(Job& job, JobInput place, const ValueType& type, const Value& value) {
  Writer writer;
  writer.set_root(store_.root().string());
  type.encode(value.get(), writer);
  place.digest = digest_of(writer);
  place.stored = files_.keep(writer.pieces(), 0);
  place.place = place.stored.in_object ? JobInput::Place::object : JobInput::Place::here;
  job.inputs.push_back(std::move(place));
}

// An element of a result, a list, a constant that was passed as an argument.
bool JobMaker::add_future(Job& job, const SpecPtr& future, Completion& completion) {
  bool held = true;
  for_each_leaf(future, [&](const SpecPtr& leaf) {
    const NodeIndex input = plan_.find(leaf->key);
    if (!inputs_.contains(input)) held = STOOK_MUTANT("held-inputs") && input != KeyTable::none;
    if (!held || execution_.load(plan_.nodes[input], completion.cause)) return;
    completion.kind = Completion::Kind::damaged;
    completion.input = input;
    held = false;
  });
  if (completion.kind == Completion::Kind::damaged) return false;
  if (!held) return true;  // not as a member: then the worker does not need it either
  JobInput place;
  place.key = future->key;
  const Value bound = value_of(*future, [this](const Spec& leaf) {
    return leaf.kind == SpecKind::external
               ? value_for_worker(static_cast<const ExternalSpec&>(leaf))
               : plan_.value_for(leaf);
  });
  add_value(job, std::move(place), future->value_type, plain_value(*future, bound));
  return true;
}

}  // namespace stook::detail
