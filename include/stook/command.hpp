// command.hpp - Command: a task that runs a program which makes files from files.
//
//   auto object = stook::Command::make({.argv = {"c++", "-c", "{in}", "-o", "{out}", "-MD", "-MF",
//                                                "{depfile}"},
//                                       .inputs = {"a.cc"}, .outputs = {"build/a.o"}});
//   auto program = stook::Command::make({.argv = {"c++", "{in}", "-o", "{out}"},
//                                        .inputs = {object}, .outputs = {"build/a"}});
//   program.run_graph();
//
// It runs again when its arguments, the content of an input, or of a file named by its depfile
// changes, and when an output in the tree is changed or deleted. Where the outputs come out as they
// were, what is made from them does not run.
// Unaware of how a run works. Design: runtime/README.md, "Commands"
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <stook/composite.hpp>
#include <stook/external.hpp>
#include <stook/task.hpp>

namespace stook {

// A file that a command made.
struct CommandOutput {
  std::string path;     // as in CommandArguments::outputs
  std::string digest;   // of its content, 32 hexadecimal digits
};

struct CommandResult {
  std::vector<CommandOutput> outputs;   // in the order of CommandArguments::outputs
};

// What a command reads: a file by its path, or what tasks upstream make. A file made by a command
// of the same graph must be given as that command.
class CommandInput {
 public:
  CommandInput(const char* path) : given_(std::string(path)) {}
  CommandInput(std::string path) : given_(std::move(path)) {}
  CommandInput(const std::filesystem::path& path) : given_(path.string()) {}
  // A stook::File, or any task that gives a path.
  CommandInput(const Future<std::filesystem::path>& file) : given_(file) {}
  // All outputs of a command, of many commands: a FutureList of them is one as well.
  CommandInput(const Future<CommandResult>& command) : given_(command) {}
  CommandInput(const Future<std::vector<CommandResult>>& commands) : given_(commands) {}

  using Given = std::variant<std::string, Future<std::filesystem::path>, Future<CommandResult>,
                             Future<std::vector<CommandResult>>>;
  [[nodiscard]] const Given& given() const { return given_; }

 private:
  Given given_;
};

// Paths are relative to the working directory of this program, absolute ones stay what they are.
// In a word of argv these are replaced, each path as seen from `directory`:
//   {in}        as a word of its own: all inputs, a word each; inside a word: the only input
//   {out}       the same with the outputs, under temporary names
//   {in[1]}     one of them, counted from 0; {out[0]}
//   {depfile}   a temporary name, read and removed when the command has ended
//   {{in}}      the text "{in}"; the same with the others
struct CommandArguments {
  // The program and its arguments. No shell; a program without a slash is looked up in PATH.
  std::vector<std::string> argv;
  std::vector<CommandInput> inputs = {};
  // Inputs that {in} does not stand for: a generated header, the compiler itself.
  std::vector<CommandInput> implicit_inputs = {};
  // Files the command makes; their directories are made before. They come into the tree by rename
  // when the command has succeeded. An output that argv does not name by {out} is made where it is;
  // what was there is moved aside before, and comes back when the command fails.
  std::vector<std::string> outputs = {};
  // The file in Makefile syntax (gcc -MD) that says what else was read, where the command itself
  // chooses the name. Not needed with {depfile}.
  std::string depfile = {};
  // Replace or add to the variables of this program, which are no part of the key.
  std::map<std::string, std::string> environment = {};
  // Where the command runs; empty: here.
  std::string directory = {};
  // The outputs are also kept in the cache, and those in the tree are hard links to them, read-only
  // (copies, on another file system). One that is lost is put back without running the command,
  // where all inputs are plain files or outputs of commands, and as they were.
  bool keep_outputs = false;
};

template <>
struct Argument<CommandInput> {
  static void encode(CanonicalWriter& writer, const CommandInput& input);
  static CommandInput decode(const Json& json, std::string_view where);
};

// Fails where the program cannot be started, ends with another status than 0 or by a signal (with
// its command line and the end of its output), does not make an output, or writes a depfile that
// cannot be read. What a successful command writes to stdout and stderr is shown on stderr at its
// end. When the run is to end the program and all it started are killed.
class Command : public Task<Command, CommandResult(CommandArguments)> {
 public:
  // With any executor: the program is a process of its own already.
  static constexpr bool task_in_process = true;

  // Throws InvalidArgument as Task::make.
  [[nodiscard]] static TaskRef<Command> make(CommandArguments arguments);

  // Throws InvalidArgument: no argv, an output given twice or made by another command of the run,
  // a {word} that stands for nothing, a zero byte.
  explicit Command(const CommandArguments& arguments);
  ~Command();
  CommandResult run_task();

 private:
  struct Work;
  CommandArguments arguments_;
  FutureList<std::filesystem::path> files_;
  FutureList<CommandResult> commands_;
  FutureList<std::vector<CommandResult>> lists_;
};

}  // namespace stook
