#include "runtime/job_settler.h"

#include <cstdio>
#include <set>

#include "runtime/task_output.h"
#include "src/context.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace fs = std::filesystem;

constexpr int kShownLines = 20;

void add_place(const std::string& host, int attempt, double seconds, Completion& completion) {
  char text[64];
  std::snprintf(text, sizeof text, ", attempt %d, after %.3g s", attempt, seconds);
  completion.cause += "\n  on host " + host + text;
}

}  // namespace

fs::path JobSettler::path_of(const Node& node) const {
  return fs::absolute(store_.task_path(node.task().info.name, node.entry.id));
}

std::string JobSettler::give_back_directory(const Node& node) const {
  try {
    undo_attempt(store_, node.spec->key, node.entry, path_of(node));
  } catch (const std::exception& error) { return std::string("\n  ") + error.what(); }
  return {};
}

void JobSettler::settle(Node& node, JobResult& result, Completion& completion) {
  const TaskSpec& task = node.task();
  if (result.failed) {
    const std::string trouble = give_back_directory(node);
    settle_failure(node, result, completion);
    completion.cause += trouble;
    return;
  }
  if (result.key != task.key || result.signature != task.value_type.signature) {
    completion.kind = Completion::Kind::failed;
    completion.cause = "the worker sent the result of another task or of another type (" +
                       result.signature + ")" + give_back_directory(node);
    return;
  }
  std::unique_ptr<TaskDirectory> directory;  // given back, unless the result is accepted
  if (result.moved_directory) {
    directory =
        std::make_unique<TaskDirectory>(fs::absolute(store_.root()), task.key, path_of(node));
    directory->adopt(node.entry);
  }
  publish(node, result, directory.get());
  completion.seconds = static_cast<float>(static_cast<double>(result.duration_ns) * 1e-9);
}

void JobSettler::publish(Node& node, const JobResult& result, TaskDirectory* directory) {
  CanonicalWriter arguments;
  node.task().write_arguments(arguments);
  take_upstream(plan_, node, upstream_);
  recheck_files(plan_, node, looked_, digests_, upstream_);
  enter_found_by(result);
  Publication publication = publication_of(node, run_);
  publication.arguments = arguments.bytes();
  publication.upstream = upstream_;
  publication.digest = result.digest;
  publication.directory = result.directory;
  publication.started_ns = result.started_ns;
  publication.duration_ns = result.duration_ns;
  if (publication.kind == RecordKind::transient) take_transient(node, result);
  else publication.stored = &result.value;
  node.entry = publish_with(store_, publication, directory);
  node.digest = result.digest;
  node.outside = publication.kind != RecordKind::transient;
  if (node.outside) node.value.reset();
}

void JobSettler::enter_found_by(const JobResult& result) {
  std::vector<FoundInput> inputs;
  std::set<Key> keys;
  for (const JobFound& found : result.found) {
    // An absolute path stays itself.
    FoundInput input{file_spec((directory_ / found.path).string()), found.digest, found.fingerprint,
                     found.certain, false};
    const auto& file = static_cast<const ExternalSpec&>(*input.spec);
    const UpstreamSeen now = recheck_file(file, input.digest, input.fingerprint, looked_, digests_);
    input.certain = input.certain && now.digest == input.digest;
    if (keys.insert(input.spec->key).second) inputs.push_back(std::move(input));
  }
  enter_found(store_, inputs, upstream_);
}

// Nothing is kept of it: the value has to stay in memory.
void JobSettler::take_transient(Node& node, const JobResult& result) {
  JobInput place;
  place.place = result.value.in_object ? JobInput::Place::object : JobInput::Place::here;
  place.stored = result.value;
  const auto payload = files_.read(place, node.spec->value_type.signature);
  if (!payload) throw CacheError("take the result of a worker: " + payload.reason());
  Reader reader((*payload)->bytes());
  reader.set_root(store_.root().string());
  node.value = node.spec->value_type.decode(reader);
}

void JobSettler::settle_failure(Node& node, JobResult& result, Completion& completion) {
  const NodeIndex damaged =
      result.damaged_input.is_zero() ? KeyTable::none : plan_.find(result.damaged_input);
  if (damaged != KeyTable::none && plan_.nodes[damaged].is_task()) {
    const Node& input = plan_.nodes[damaged];
    store_.mark_damaged(input.spec->key, input.entry,
                        task_text(input.task()) + ": " + result.cause);
    completion.kind = Completion::Kind::damaged;
    completion.input = damaged;
    completion.cause = std::move(result.cause);
    return;
  }
  completion.kind = result.cache_failed ? Completion::Kind::cache_failed : Completion::Kind::failed;
  completion.cause = std::move(result.cause);
  if (result.cache_failed) return;
  add_place(result.host, result.attempt, static_cast<double>(result.duration_ns) * 1e-9,
            completion);
  add_logs(node, result.wrote_stdout, result.wrote_stderr, completion);
}

TaskOutput::Written JobSettler::collect_output(const Node& node, const LostJob& lost) const {
  return detail::collect_output(lost.stem, store_.task_path(node.task().info.name, node.entry.id),
                                log_limit_);
}

void JobSettler::settle_lost(Node& node, const EndedJob& ended, Completion& completion) {
  const LostJob& lost = ended.job;
  completion.kind = Completion::Kind::failed;
  completion.cause = lost.cause;
  if (!lost.host.empty()) add_place(lost.host, lost.attempt, lost.seconds, completion);
  if (!ended.may_live) completion.cause += give_back_directory(node);
  add_logs(node, ended.written.out, ended.written.err, completion);
}

void JobSettler::add_logs(const Node& node, bool out, bool err, Completion& completion) {
  const fs::path directory = store_.task_path(node.task().info.name, node.entry.id);
  if (out) completion.stdout_path = (directory / "stdout.failed").string();
  if (!err) return;
  completion.stderr_path = (directory / "stderr.failed").string();
  const std::string end = last_lines(completion.stderr_path, kShownLines);
  if (!end.empty()) completion.cause += "\n  the end of its stderr:\n" + quoted_lines(end);
}

}  // namespace stook::detail
