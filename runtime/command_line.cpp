#include "runtime/command_line.h"

#include <CLI/CLI.hpp>

#include <iostream>
#include <sstream>

#include "src/shown.h"

#include <stook/defaults.hpp>
#include <stook/errors.hpp>

namespace stook {
namespace {

DefaultArguments& defaults() {
  static DefaultArguments instance;
  return instance;
}

}  // namespace

void DefaultArguments::populate() const { defaults() = *this; }

}  // namespace stook

namespace stook::detail {
namespace {

constexpr int usage_error = 2;

// LABEL=VALUE, split at the last '=' where the value is a number, so that labels may hold one.
std::pair<std::string, std::string> split_assignment(const std::string& text, const char* flag) {
  const auto at = text.rfind('=');
  if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
    throw InvalidArgument(std::string(flag) + " takes LABEL=NUMBER, not '" + text + "'");
  }
  return {text.substr(0, at), text.substr(at + 1)};
}

int whole_number(const std::string& text, const std::string& what) {
  std::size_t used = 0;
  int number = 0;
  try {
    number = std::stoi(text, &used);
  } catch (const std::exception&) { used = 0; }
  if (used == 0 || used != text.size()) {
    throw InvalidArgument(what + " must be a whole number, not '" + text + "'");
  }
  return number;
}

// JSON where the text is JSON, else the text itself: --name foo needs no quotes.
Json json_or_text(const std::string& text, const Parameter& parameter) {
  if (parameter.type == "string") return Json(text);
  try {
    return Json::parse(text);
  } catch (const InvalidArgument&) { return Json(text); }
}

std::string flag_names(const std::string& name) {
  std::string dashed = name;
  std::replace(dashed.begin(), dashed.end(), '_', '-');
  std::string flags = "--" + dashed;
  if (dashed != name) flags += ",--" + name;
  return flags;
}

// The entry task's own flags: one for each parameter.
struct EntryFlags {
  std::vector<Parameter> parameters;
  std::vector<std::string> texts;
  std::vector<CLI::Option*> options;
  std::string whole;
  CLI::Option* whole_option = nullptr;

  void add(CLI::App& app, const ClassInfo& entry) {
    parameters = entry.parameters();
    texts.resize(parameters.size());
    for (std::size_t i = 0; i < parameters.size(); ++i) add_one(app, entry, i);
    whole_option = app.add_option("--args", whole,
                                  "All arguments of " + entry.name +
                                      " as JSON: an array, or an object of names")
                       ->type_name("JSON")
                       ->group("Arguments");
  }

  void add_one(CLI::App& app, const ClassInfo& entry, std::size_t i) {
    const Parameter& parameter = parameters[i];
    std::string help = "Argument of " + entry.name;
    if (parameter.default_text.empty()) help += " (required)";
    try {
      CLI::Option* option = app.add_option(flag_names(parameter.name), texts[i], help)
                                ->type_name(parameter.type)
                                ->group("Arguments");
      if (!parameter.default_text.empty()) option->default_str(parameter.default_text);
      if (parameter.type == "boolean") option->expected(0, 1);
      options.push_back(option);
    } catch (const CLI::OptionAlreadyAdded&) {
      options.push_back(nullptr);  // a common flag has that name: --args still reaches it
    }
  }

  [[nodiscard]] bool given(std::size_t i) const {
    return options[i] != nullptr && options[i]->count() > 0;
  }
  [[nodiscard]] Json value(std::size_t i) const {
    if (parameters[i].type == "boolean" && texts[i].empty()) return Json(true);
    return json_or_text(texts[i], parameters[i]);
  }

  [[nodiscard]] Json arguments(const ClassInfo& entry) const {
    return entry.named_arguments ? named() : positional(entry);
  }

 private:
  [[nodiscard]] Json named() const {
    Json object = whole_option->count() > 0 ? Json::parse(whole) : Json::object({});
    if (object.is_array() && object.size() == 1) object = Json(object.at(0));
    if (!object.is_object()) throw InvalidArgument("--args must be a JSON object here");
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (given(i)) {
        object[parameters[i].name] = value(i);
      } else if (parameters[i].default_text.empty() && !object.contains(parameters[i].name)) {
        throw InvalidArgument("the argument --" + parameters[i].name + " is missing");
      }
    }
    return Json::array({object});
  }

  [[nodiscard]] Json positional(const ClassInfo& entry) const {
    Json given_whole = whole_option->count() > 0 ? Json::parse(whole) : Json::array({});
    Json array = Json::array({});
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::string& name = parameters[i].name;
      if (given(i)) {
        array.push_back(value(i));
      } else if (given_whole.is_array() && i < given_whole.size()) {
        array.push_back(given_whole.at(i));
      } else if (given_whole.is_object() && given_whole.contains(name)) {
        array.push_back(given_whole.at(name));
      } else if (!parameters[i].default_text.empty()) {
        array.push_back(Json::parse(parameters[i].default_text));
      } else {
        throw InvalidArgument("the argument --" + name + " of " + entry.name + " is missing");
      }
    }
    return array;
  }
};

struct CommonFlags {
  std::vector<std::string> rate_limits;
  std::vector<std::string> prefixes;
  std::string executor = "threads";
  SlurmOptions slurm;
  std::string rebuild = "changed";
  std::string progress = "auto";
  std::string why;
  CLI::Option* why_option = nullptr;

  void add(CLI::App& app, CommandLine& line) {
    app.add_option("-o,--cache", line.cache, "Directory of the cache")->capture_default_str();
    app.add_option("-j,--jobs", line.run.jobs, "Tasks at once; 0: the number of cores")
        ->capture_default_str();
    app.add_option(
           "--executor", executor,
           "Where tasks are executed: in threads, in -j worker processes, or on a cluster under "
           "Slurm")
        ->check(CLI::IsMember({"threads", "processes", "slurm"}))
        ->capture_default_str();
    app.add_option("--slurm-args", slurm.arguments, "Arguments for sbatch or srun")
        ->type_name("WORDS");
    app.add_option(
           "--slurm-mode", slurm.mode,
           "pilots: jobs that execute tasks as long as there are any; array: an element of a job "
           "array per task; srun: one per task")
        ->check(CLI::IsMember({"pilots", "array", "srun"}))
        ->capture_default_str();
    app.add_option("--slurm-transport", slurm.transport,
                   "How this process and its pilots talk: over files below the cache, or over TCP")
        ->check(CLI::IsMember({"files", "tcp"}))
        ->capture_default_str();
    app.add_option("--slurm-address", slurm.address,
                   "Address of this host for TCP, as the nodes reach it; default: its name")
        ->type_name("HOST");
    app.add_option("--slurm-timeout", slurm.command_timeout,
                   "Seconds sbatch, squeue and scancel may take")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--max-workers", slurm.max_workers, "Pilots at once")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option(
           "--show-output", line.run.show_output,
           "Show what a task prints in a process of its own as it comes: a pattern of class "
           "names, NAME(ARGUMENTS) or #ID")
        ->type_name("TASK");
    app.add_option("--timeout", line.run.timeout,
                   "Seconds a task may take in a process of its own; 0: for ever")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--memory", line.run.memory,
                   "Bytes a task may allocate in a process of its own (1G, 512M); 0: all there is")
        ->transform(CLI::AsSizeValue(false));
    app.add_option("-l,--rate-limit", rate_limits,
                   "At most N tasks with this label (or of this class) at once; repeatable")
        ->type_name("LABEL=N");
    app.add_option("-p,--prefix", prefixes,
                   "Start tasks with this label (or of this class) by a command, each in a process "
                   "of its own; repeatable")
        ->type_name("LABEL=CMD");
    app.add_option("--compress-level", line.compress_level,
                   "zstd level of new results; 0: not compressed")
        ->check(CLI::Range(0, 19))
        ->capture_default_str();
    app.add_flag("-k,--keep-going", line.run.keep_going,
                 "After a failure go on with what does not need it");
    app.add_flag("-n,--dry-run", line.dry_run, "List what would run, and why; run nothing");
    why_option =
        app.add_option("--why", why, "Explain a task from its record: NAME, NAME(ARGUMENTS) or #ID")
            ->type_name("TASK");
    app.add_option("--clear", line.clear,
                   "Remove results and stop: a pattern of class names, or NAME(ARGUMENTS)")
        ->type_name("PATTERN");
    app.add_option("--rebuild", rebuild,
                   "What runs below a task that ran: what changed, or everything downstream")
        ->check(CLI::IsMember({"changed", "downstream"}))
        ->capture_default_str();
    app.add_flag("--cached-entry", line.cached_entry,
                 "Do not run the entry task itself where its result is in the cache");
    app.add_option("--progress", progress, "How to show what is going on, on stderr")
        ->check(CLI::IsMember({"auto", "bar", "plain", "none"}))
        ->capture_default_str();
    app.add_flag("--json", line.json, "Print the run's statistics as JSON on stdout at the end");
    app.add_option("--stats", line.stats_file, "Write the run's statistics as JSON to a file")
        ->type_name("FILE");
  }

  void apply(CommandLine& line) const {
    line.run.rebuild = rebuild == "downstream" ? Rebuild::downstream : Rebuild::changed;
    line.run.progress = progress == "bar"     ? Progress::bar
                        : progress == "plain" ? Progress::plain
                        : progress == "none"  ? Progress::none
                                              : Progress::automatic;
    if (executor == "processes") line.run.executor = processes();
    if (executor == "slurm") line.run.executor = stook::slurm(slurm);
    if (why_option->count() > 0) line.why = why;
    line.run.rate_limits = default_rate_limits();
    line.run.prefixes = default_prefixes();
    for (const std::string& text : prefixes) {
      const auto at = text.find('=');
      if (at == std::string::npos || at == 0) {
        throw InvalidArgument("--prefix takes LABEL=CMD, not '" + text + "'");
      }
      line.run.prefixes[text.substr(0, at)] = text.substr(at + 1);
    }
    for (const std::string& text : rate_limits) {
      const auto [label, number] = split_assignment(text, "--rate-limit");
      line.run.rate_limits[label] = whole_number(number, "the rate limit of '" + label + "'");
    }
  }
};

}  // namespace

const std::map<std::string, int>& default_rate_limits() { return defaults().rate_limits; }
const std::map<std::string, std::string>& default_prefixes() { return defaults().prefixes; }

CommandLine read_command_line(const ClassInfo& entry, int argc, char** argv) {
  CommandLine line;
  CLI::App app("Runs " + entry.name + " and what it needs; results are kept and reused.");
  app.get_formatter()->column_width(34);
  CommonFlags common;
  EntryFlags own;
  common.add(app, line);
  own.add(app, entry);
  try {
    app.parse(argc, argv);
    common.apply(line);
    line.arguments = own.arguments(entry);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out, err;
    line.exit = app.exit(error, out, err) == 0 ? 0 : usage_error;
    std::cout << out.str();
    std::cerr << shown(err.str());
  } catch (const InvalidArgument& error) {
    std::cerr << shown(error.what()) << "\nRun with --help for more information.\n";
    line.exit = usage_error;
  }
  return line;
}

}  // namespace stook::detail
