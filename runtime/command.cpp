#include <stook/command.hpp>

#include <cstdio>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "runtime/command_attempt.h"
#include "runtime/command_files.h"
#include "runtime/command_text.h"
#include "runtime/found_inputs.h"
#include "runtime/kept_files.h"
#include "runtime/process.h"
#include "runtime/task_output.h"
#include "src/context.h"
#include "src/hash.h"
#include "src/mutant.h"
#include "src/shown.h"

#include <stook/errors.hpp>

namespace stook {
namespace {

namespace fs = std::filesystem;
using namespace detail;

template <class... F> struct Overloaded : F... { using F::operator()...; };
template <class... F> Overloaded(F...) -> Overloaded<F...>;  // clang 14 does not find it itself

// Which commands that are planned or running in this process make which file.
class OutputOwners {
 public:
  void enter(const std::string& output, const Hash128& owner) {
    const std::lock_guard lock(mutex_);
    Owner& entry = owners_.try_emplace(output, Owner{owner, 0}).first->second;
    if (entry.owner != owner) {
      throw InvalidArgument("two commands of this run make " + output +
                            ": give one of them another output");
    }
    ++entry.count;
  }
  void leave(const std::string& output) {
    const std::lock_guard lock(mutex_);
    const auto entry = owners_.find(output);
    if (entry != owners_.end() && --entry->second.count == 0) owners_.erase(entry);
  }

 private:
  struct Owner {
    Hash128 owner;
    int count;
  };
  std::mutex mutex_;
  std::unordered_map<std::string, Owner> owners_;
};

OutputOwners& output_owners() {
  static OutputOwners owners;
  return owners;
}

Digest digest_from_hex(const std::string& hex) {
  Digest digest;
  if (hex.size() != 32) return digest;
  digest.high = std::stoull(hex.substr(0, 16), nullptr, 16);
  digest.low = std::stoull(hex.substr(16), nullptr, 16);
  return digest;
}

// Its ".." is not the directory above it then.
bool leads_through_link(const fs::path& directory) {
  fs::path at;
  for (const fs::path& part : directory) {
    std::error_code ignored;
    if (fs::is_symlink(fs::symlink_status(at /= part, ignored))) return true;
  }
  return false;
}

// As a program that runs in `directory` has to name it.
std::string seen_from(const std::string& directory, const std::string& path) {
  if (directory.empty() || fs::path(path).is_absolute()) return path;
  const fs::path from = fs::path(directory).lexically_normal();
  const bool is_outside = from.is_absolute() || *from.begin() == "..";  // the way back has no name
  if (is_outside || leads_through_link(directory)) return normal_path(fs::absolute(path));
  const fs::path relative = fs::path(normal_path(path)).lexically_relative(from);
  return relative.empty() ? fs::absolute(path).string() : relative.string();
}

std::vector<std::string> seen_from(const std::string& directory, std::vector<std::string> paths) {
  for (std::string& path : paths) path = seen_from(directory, path);
  return paths;
}

// The names of inputs are looked at by stook::File.
void refuse_zero_bytes(const CommandArguments& arguments) {
  for (const std::string& word : arguments.argv) refuse_zero_byte(word, "a word of a command");
  for (const std::string& output : arguments.outputs) {
    refuse_zero_byte(output, "an output of a command");
  }
  refuse_zero_byte(arguments.depfile, "the depfile of a command");
  refuse_zero_byte(arguments.directory, "the directory of a command");
  for (const auto& [name, value] : arguments.environment) {
    refuse_zero_byte(name, "a variable of a command");
    refuse_zero_byte(value, "the variable " + name + " of a command");
  }
}

}  // namespace

void Argument<CommandInput>::encode(CanonicalWriter& writer, const CommandInput& input) {
  std::visit([&]<class T>(const T& given) { Argument<T>::encode(writer, given); }, input.given());
}

CommandInput Argument<CommandInput>::decode(const Json& json, std::string_view where) {
  if (!json.is_future()) return Argument<std::string>::decode(json, where);
  const std::type_info& type = *decode_spec(json, where)->value_type.type;
  if (type == typeid(fs::path)) return Argument<Future<fs::path>>::decode(json, where);
  if (type == typeid(CommandResult)) return Argument<Future<CommandResult>>::decode(json, where);
  return Argument<Future<std::vector<CommandResult>>>::decode(json, where);
}

// One execution.
struct Command::Work {
  explicit Work(const Command& command)
      : task(command), arguments(command.arguments_), found(command.task_context().found_inputs()),
        attempt(command.task_context().cache_root(), command.task_context().spec().key),
        mark{to_hex(command.task_context().spec().key).substr(0, 12), attempt.number()} {
    collect(arguments.inputs, in);
    collect(arguments.implicit_inputs, implicit);
  }

  struct Input {
    std::string path;
    std::string digest;    // of a command's output; empty: of a file
    bool checked = false;  // a plain file or a command's output
  };

  void collect(const std::vector<CommandInput>& inputs, std::vector<Input>& into) {
    const auto add_outputs = [&](const CommandResult& result) {
      for (const CommandOutput& output : result.outputs) {
        into.push_back({output.path, output.digest, true});
      }
    };
    for (const CommandInput& input : inputs) {
      std::visit(
          Overloaded{
              [&](const std::string& path) {
                into.push_back({path, {}, true});
                ++next_file;
              },
              [&](const Future<fs::path>& file) {
                const bool external = file.spec()->kind == SpecKind::external;
                const std::string path = (*task.files_)[next_file++].string();
                into.push_back({path, {}, external && !fs::is_directory(path)});
              },
              [&](const Future<CommandResult>&) { add_outputs((*task.commands_)[next_command++]); },
              [&](const Future<std::vector<CommandResult>>&) {
                for (const auto& result : (*task.lists_)[next_list++]) add_outputs(result);
              },
          },
          input.given());
    }
  }

  [[nodiscard]] CommandNames names(const std::vector<std::string>& outputs,
                                   const std::string& depfile) const {
    CommandNames result;
    for (const Input& input : in) {
      result.in.push_back(seen_from(arguments.directory, input.path));
    }
    result.out = seen_from(arguments.directory, outputs);
    result.depfile = seen_from(arguments.directory, depfile);
    return result;
  }

  CommandResult run() {
    CommandFiles files(arguments.outputs, arguments.depfile, mark);
    CommandUse use;
    const auto words =
        expand_words(arguments.argv, names(files.temporary(), files.temporary_depfile()), &use);
    files.prepare(use);
    const bool finds = use.depfile || !arguments.depfile.empty();
    Reading reading = finds ? found.begin_reading() : Reading(Moment::now());
    note_places(reading.paths);
    const ProcessEnd end = start_and_wait(words, files);
    if (end.stopped) throw Error("killed, because the run is to end:" + shown(files));
    if (end.exit.code != 0 || end.exit.signal != 0) {
      std::string text = "the command ended with " + describe_exit(end.exit) + ":" + shown(files);
      if (!end.output.empty()) {
        text += std::string("\n  ") + (end.cut ? "the end of its output:" : "its output:") + "\n" +
                quoted_lines(last_of(end.output));
      }
      throw Error(text);
    }
    auto depends = from_here(files.take_depfile());
    const fs::path keep = arguments.keep_outputs ? fresh_keep_directory() : fs::path();
    const std::vector<MadeFile> made = files.publish(keep);
    CommandResult result = enter(made);
    forget_own(depends, files.temporary());
    KeptFiles kept = recheck(depends, reading);
    if (arguments.keep_outputs && files.kept_all() && !kept.declared.empty()) {
      kept.outputs = result.outputs;
      write_kept(keep / "manifest", kept);
    }
    show(end);
    return result;
  }

  // Where an output was lost, and all that it was made of is as it was.
  std::optional<CommandResult> restored() {
    const fs::path keep = task.task_checkpoint_directory() / "kept";
    const auto kept = read_kept(keep / "manifest");
    if (!kept || kept->outputs.size() != arguments.outputs.size()) return {};
    if (all_as_recorded(kept->outputs)) return {};  // that is not why it runs
    if (!all_as_recorded(kept->declared) || !all_as_recorded(kept->found)) return {};
    std::vector<MadeFile> made;
    for (std::size_t i = 0; i < kept->outputs.size(); ++i) {
      const fs::path file = keep / std::to_string(i);
      if (to_hex(digest_of_file(file.string())) != kept->outputs[i].digest) return {};
    }
    for (std::size_t i = 0; i < kept->outputs.size(); ++i) {
      made.push_back(restore_kept(keep / std::to_string(i), arguments.outputs[i], mark,
                                  digest_from_hex(kept->outputs[i].digest)));
    }
    std::vector<FoundInput> now;
    for (const CommandOutput& file : kept->found) {
      now.push_back(found.look(file.path));
      if (to_hex(now.back().digest) != file.digest) return {};  // changed just now: it runs
    }
    for (FoundInput& file : now) found.add(std::move(file));
    return enter(made);
  }

 private:
  ProcessEnd start_and_wait(const std::vector<std::string>& words, const CommandFiles& files) {
    try {
      return run_process({words, arguments.environment, arguments.directory},
                         [this] { return task.stop_requested(); });
    } catch (const ExecutorError& error) {
      throw Error(std::string(error.what()) +
                  (arguments.directory.empty() ? "" : " (in " + arguments.directory + ")") + ":" +
                  shown(files));
    }
  }

  // The command line with the names that stay.
  [[nodiscard]] std::string shown(const CommandFiles& files) const {
    const std::string depfile =
        arguments.depfile.empty() ? files.temporary_depfile() : arguments.depfile;
    return "\n    " +
           command_line_text(expand_words(arguments.argv, names(arguments.outputs, depfile)));
  }

  [[nodiscard]] static std::string last_of(const std::string& output) {
    constexpr std::size_t most = 8000;
    return output.size() <= most ? output : "..." + output.substr(output.size() - most);
  }

  static void show(const ProcessEnd& end) {
    if (end.output.empty()) return;
    const std::string text =
        (end.cut ? "[...]\n" : "") + end.output + (end.output.back() == '\n' ? "" : "\n");
    std::fwrite(text.data(), 1, text.size(), stderr);
  }

  [[nodiscard]] fs::path fresh_keep_directory() const {
    fs::path keep = task.task_checkpoint_directory() / "kept";
    fs::remove_all(keep);
    fs::create_directories(keep);
    return keep;
  }

  // The names in a depfile count from the command's directory.
  [[nodiscard]] std::vector<std::string> from_here(std::vector<std::string> paths) const {
    for (std::string& path : paths) { path = normal_path(fs::path(arguments.directory) / path); }
    return paths;
  }

  // What it made and read itself is entered as made, whatever it is called there.
  void forget_own(std::vector<std::string>& depends,
                  const std::vector<std::string>& temporary) const {
    const auto whole = [](const std::string& path) {
      return fs::absolute(path).lexically_normal().string();
    };
    const auto file = [](const FileStamp& stamp) { return std::pair(stamp.device, stamp.inode); };
    std::unordered_map<std::string, std::pair<std::int64_t, std::int64_t>> own;
    std::unordered_set<fs::path::string_type> last_parts;
    for (const auto* names : {&temporary, &arguments.outputs}) {
      for (const std::string& name : *names) {
        own.emplace(whole(name), file(stamp_of(name)));
        last_parts.insert(fs::path(name).filename());
      }
    }
    std::erase_if(depends, [&](const std::string& path) {
      if (!last_parts.contains(fs::path(path).filename())) return false;
      const auto made = own.find(whole(path));  // the names look the same, and the files are
      return made != own.end() && made->second == file(stamp_of(path));
    });
  }

  CommandResult enter(const std::vector<MadeFile>& made) {
    CommandResult result;
    for (std::size_t i = 0; i < made.size(); ++i) {
      result.outputs.push_back({arguments.outputs[i], to_hex(made[i].digest)});
      found.add(found.made(arguments.outputs[i], made[i].stamp, made[i].settled, made[i].digest));
    }
    return result;
  }

  // Where this command reads and makes files, which changes the directories.
  void note_places(PathHistory& paths) const {
    for (const auto* inputs : {&in, &implicit}) {
      for (const Input& input : *inputs) paths.note(input.path);
    }
    for (const std::string& output : arguments.outputs) paths.note(output);
    if (!arguments.depfile.empty()) paths.note(arguments.depfile);
  }

  // A file that was read, as it is now.
  struct Looked {
    FoundInput found;
    std::string path;
    std::string expected;  // the digest of a command's output
    bool declared;
  };

  // What was read; empty where something changed while the command ran.
  KeptFiles recheck(const std::vector<std::string>& depends, Reading& reading) {
    KeptFiles kept;
    bool certain = true, all_checked = true;
    std::vector<Looked> looked;
    std::unordered_set<std::string> known;
    for (const auto* inputs : {&in, &implicit}) {
      for (const Input& input : *inputs) {
        if (!input.checked) {  // what it holds is not in the lists that restored() goes by
          all_checked = STOOK_MUTANT("kept-unchecked");
          continue;
        }
        known.insert(normal_path(input.path));
        if (!found.is_as_seen(input.path)) {
          looked.push_back({found.look(input.path, reading), input.path, input.digest, true});
        }
        if (arguments.keep_outputs) {
          all_checked = keep_digest(input.path, kept.declared) && all_checked;
        }
      }
    }
    for (const std::string& path : depends) {
      if (known.contains(path)) continue;
      looked.push_back({found.look(path, reading), path, {}, false});
      all_checked = all_checked && looked.back().found.is_file;
    }
    for (Looked& file : looked) certain = conclude(std::move(file), reading, kept) && certain;
    return certain && all_checked ? kept : KeptFiles{};
  }

  // False: it cannot be read just now.
  static bool keep_digest(const std::string& path, std::vector<CommandOutput>& files) {
    try {
      files.push_back({path, to_hex(digest_of_file(path))});
      return true;
    } catch (const UnreadableInput&) { return false; }
  }

  bool conclude(Looked file, Reading& reading, KeptFiles& kept) {
    FoundInput& input = file.found;
    InputFinder::conclude(input, reading);
    if (!file.expected.empty()) {
      if (input.certain && input.digest == digest_from_hex(file.expected)) return true;
      input.certain = false;
    }
    const bool certain = input.certain;
    if (!file.declared && arguments.keep_outputs) {
      kept.found.push_back({file.path, to_hex(input.digest)});
    }
    found.add(std::move(input));
    return certain;
  }

  const Command& task;
  const CommandArguments& arguments;
  InputFinder& found;
  const CommandAttempt attempt;
  const CommandMark mark;
  std::vector<Input> in;
  std::vector<Input> implicit;
  std::size_t next_file = 0;
  std::size_t next_command = 0;
  std::size_t next_list = 0;
};

TaskRef<Command> Command::make(CommandArguments arguments) {
  return Task::make(std::move(arguments));
}

Command::Command(const CommandArguments& arguments) : arguments_(arguments) {
  if (arguments.argv.empty() || arguments.argv[0].empty()) {
    throw InvalidArgument("a command needs a program: its argv is empty");
  }
  refuse_zero_bytes(arguments);
  std::set<std::string> outputs;
  for (const std::string& output : arguments.outputs) {
    if (output.empty()) throw InvalidArgument("an output of a command has an empty name");
    if (!outputs.insert(fs::path(output).lexically_normal().string()).second) {
      throw InvalidArgument("the output " + output + " is given twice");
    }
  }
  std::size_t known_inputs = 0;
  bool counted = true;
  for (const auto* inputs : {&arguments.inputs, &arguments.implicit_inputs}) {
    for (const CommandInput& input : *inputs) {
      std::visit(
          Overloaded{
              [&](const std::string& path) { files_.push_back(File(path)); },
              [&](const Future<fs::path>& file) { files_.push_back(file); },
              [&](const Future<CommandResult>& command) { commands_.push_back(command); },
              [&](const Future<std::vector<CommandResult>>& list) { lists_.push_back(list); },
          },
          input.given());
      if (inputs == &arguments.inputs) {
        counted = counted && input.given().index() < 2;
        ++known_inputs;
      }
    }
  }
  if (counted) {
    // Wrong words are told before anything has run, where the number of inputs is known.
    CommandNames names{std::vector<std::string>(known_inputs, "in"), arguments.outputs, "depfile"};
    (void)expand_words(arguments.argv, names);
  }
  CanonicalWriter writer;
  Argument<CommandArguments>::encode(writer, arguments);
  const Hash128 owner = hash_bytes(writer.bytes());
  for (auto output = outputs.begin(); output != outputs.end(); ++output) {
    try {
      output_owners().enter(*output, owner);
    } catch (...) {
      while (output != outputs.begin()) output_owners().leave(*--output);
      throw;
    }
  }
}

Command::~Command() {
  for (const std::string& output : arguments_.outputs) {
    output_owners().leave(fs::path(output).lexically_normal().string());
  }
}

CommandResult Command::run_task() {
  Work work(*this);
  if (arguments_.keep_outputs) {
    try {
      if (auto result = work.restored()) return std::move(*result);
    } catch (const UnreadableInput&) {}  // nobody knows what has changed
  }
  return work.run();
}

}  // namespace stook
