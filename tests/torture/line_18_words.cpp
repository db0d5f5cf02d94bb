// Line 18: words that would do something if anybody let them: in arguments, labels, texts of
// errors, on command lines. Each is only ever one word of a command, and inert where it is shown.
//
// `PROGRAM pipeline ...` is the pipeline that is tried.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <sstream>

#include "tests/torture/line.h"
#include "tests/torture/tracer.h"

#include <stook/command.hpp>
#include <stook/stook.hpp>

namespace fs = std::filesystem;

constexpr const char* kLabel = "; touch owned; $(touch owned) `touch owned` </script> \"'\\ *";

bool is_worker = true;  // there a task may print what it likes: it goes to a file

struct Say : stook::Task<Say, std::string(std::string)> {
  static constexpr const char* task_label = kLabel;
  const std::string word;
  explicit Say(std::string given) : word(std::move(given)) {}
  std::string run_task() {
    if (is_worker) std::cout << word << std::endl;
    return word;
  }
};

struct Fail : stook::Task<Fail, std::string(std::string)> {
  static constexpr const char* task_alias = "Fail$(touch owned)</script>";
  const std::string word;
  explicit Fail(std::string given) : word(std::move(given)) {}
  std::string run_task() {
    if (is_worker) std::cerr << word << std::endl;
    throw std::runtime_error(word);
  }
};

struct Main : stook::Task<Main, void(std::string)> {
  stook::Future<std::string> said;
  explicit Main(const std::string& word) : said(Fail::make(word)) {}
  void run_task() {}
};

namespace stook::torture {
namespace {

struct Hostile {
  const char* what;
  std::string text;
};

std::vector<Hostile> hostile_words() {
  return {{"a command", "; touch owned; rm -rf owned*"},
          {"a substitution", "$(touch owned) `touch owned` ${IFS}"},
          {"quotes", "'\" \\' \\\" '\\''\\"},
          {"an option", "--help"},
          {"newlines", "one\ntwo\r\nthree\n"},
          {"markup", "</script><script>alert(1)</script><!-- -->\"]}'"},
          {"a terminal's commands", "\x1b]0;title\x07\x1b[2J\x1b[31m\x7f\xc2\x9b"
                                    "31m"},
          {"text turned around", "abc\u202egpj.exe\u2066"},
          {"template fields", "{in} {out} {stdout} {label} {{in}} %s %n"},
          {"nothing", ""},
          {"1 MB", std::string(1 << 20, 'x')},
          {"1 MB to be escaped", std::string(1 << 20, '\x1b')}};
}

// Only text, lines and tabs: nothing a terminal would obey.
std::string fault_in(const std::string& shown) {
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const auto byte = static_cast<unsigned char>(shown[i]);
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f) {
      return "it shows byte " + std::to_string(byte);
    }
    if (byte == 0xc2 && static_cast<unsigned char>(shown[i + 1]) < 0xa0) {
      return "it shows a control character of Unicode";
    }
  }
  if (shown.find("\u202e") != std::string::npos) return "it turns text around";
  if (shown.size() > 100'000) return "it shows " + std::to_string(shown.size()) + " bytes";
  return {};
}

std::string read_file(const fs::path& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// --- As arguments -------------------------------------------------------------------------------

// A wrapper that writes down its words, each with a zero byte behind it, and starts the rest.
fs::path make_wrapper(const fs::path& directory) {
  const fs::path path = directory / "wrapper";
  std::ofstream(path) << "#!/bin/sh\nprintf '%s\\0' \"$1\" \"$2\" > \"" << directory.string()
                      << "/words\"\nshift 2\nexec \"$@\"\n";
  fs::permissions(path, fs::perms::owner_all);
  return path;
}

class Words {
 public:
  explicit Words(Line& line)
      : line_(line), directory_(line.directory() / "here"),
        program_(fs::read_symlink("/proc/self/exe")) {
    fs::create_directory(directory_);
    fs::current_path(directory_);
    wrapper_ = make_wrapper(line.directory());
  }

  void as_argument(const Hostile& word) {
    const auto give_back = [&](const char* how, const RunOptions& options) {
      ++tried_;
      Say::make(word.text).clear_task();
      try {
        if (Say::make(word.text).run_graph(options).value == word.text) return;
        complain(word, how, "it is another word");
      } catch (const std::exception& error) { complain(word, how, error.what()); }
    };
    const Cache cache(line_.directory() / "cache");
    give_back("in a thread", {});
    give_back("in a worker", {.executor = processes(1)});
    give_back("behind a prefix",
              {.prefixes = {{kLabel, wrapper_.string() + " {label} '" + quoted_label() + "'"}}});
    const std::string one = std::string(kLabel) + '\0';
    if (read_file(line_.directory() / "words") != one + one) {
      complain(word, "behind a prefix", "the label is not one word");
    }
  }

  void as_word_of_a_command(const Hostile& word) {
    ++tried_;
    const Cache cache(line_.directory() / "cache");
    const std::string doubled = with_doubled_fields(word.text);
    const auto command = Command::make(
        {.argv = {"/bin/sh", "-c", R"(printf %s "$1" > "$2")", "sh", doubled, "{out}"},
         .outputs = {"made"}});
    try {
      command.run_graph();
      if (read_file("made") != word.text) complain(word, "in a command", "it is another word");
    } catch (const TaskFailed& error) {
      const std::string text = error.what();
      const bool too_long = word.text.size() > (128 << 10);  // for Linux: MAX_ARG_STRLEN
      if (!too_long || text.find("too long") == std::string::npos)
        complain(word, "in a command", text);
      if (const std::string fault = fault_in(text); !fault.empty()) {
        complain(word, "in the error of a command", fault);
      }
    }
  }

  // --- Where it is shown

  void in_an_error(const Hostile& word) {
    const Cache cache(line_.directory() / "cache");
    for (const bool outside : {false, true}) {
      ++tried_;
      try {
        RunOptions options;
        if (outside) options.executor = processes(1);
        Fail::make(word.text).run_graph(options);
        complain(word, "in an error", "nothing failed");
      } catch (const TaskFailed& error) {
        const std::string fault = fault_in(error.what());
        if (!fault.empty()) complain(word, outside ? "in a worker's error" : "in an error", fault);
        if (error.failures().at(0).arguments != Json({word.text}).dump()) {
          complain(word, "in an error", "the arguments are not whole");
        }
      }
    }
  }

  void on_a_screen(const Hostile& word) {
    if (word.text.size() > 100'000) return;  // no command line takes it
    const std::string arguments = Json({word.text}).dump();
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"--progress", "plain"},
          {"--progress", "bar"},
          {"--dry-run"},
          {"--executor", "processes", "--progress", "plain"},
          {"--why", "Fail*"},
          {"--clear", word.text},
          {"--rate-limit", word.text + "=1"},
          {"--executor", word.text},
          {"--prefix", word.text + "=env"}}) {
      ++tried_;
      std::vector<std::string> all{program_.string(), "pipeline", "--cache",
                                   (line_.directory() / "screen").string()};
      all.insert(all.end(), words.begin(), words.end());
      all.insert(all.end(), {"--args", arguments});
      const std::string text = what_it_prints(all);
      const std::string fault = fault_in(without_own_commands(text));
      if (!fault.empty() || text.empty()) complain(word, words[0].c_str(), fault + " in: " + text);
    }
  }

  // --- What is refused

  void refused() {
    const Cache cache(line_.directory() / "cache");
    const std::string zero("a\0b", 3);
    const auto expect = [&](const char* what, const std::function<void()>& action) {
      ++tried_;
      try {
        action();
      } catch (const Error& error) {
        const std::string text = error.what();
        if (text.find("zero byte") == std::string::npos)
          line_.violation(std::string(what) + ": " + text);
        return;
      }
      line_.violation(std::string(what) + " with a zero byte is taken");
    };
    expect("a command", [&] { Command::make({.argv = {"true", zero}}).run_graph(); });
    expect("a command's variable", [&] {
      Command::make({.argv = {"true"}, .environment = {{"A", zero}}}).run_graph();
    });
    expect("a command's output",
           [&] { Command::make({.argv = {"true"}, .outputs = {zero}}).run_graph(); });
    expect("a command's input",
           [&] { Command::make({.argv = {"true"}, .inputs = {zero}}).run_graph(); });
    expect("a file", [&] { (void)File(zero).get_result(); });
    expect("a prefix", [&] { Say::make("x").run_graph({.prefixes = {{kLabel, zero}}}); });
    expect("a cache", [&] { const Cache other{fs::path(zero)}; });
    for (const char* bad : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80"}) {
      ++tried_;
      try {
        (void)Say::make(bad);
        line_.violation("bytes that are not UTF-8 are taken as an argument");
      } catch (const InvalidArgument&) {  // as it should
      }
    }
  }

  void nothing_was_obeyed() {
    for (const fs::path& place : {directory_, line_.directory()}) {
      for (const auto& entry : fs::directory_iterator(place)) {
        if (entry.path().filename() == "owned") line_.violation("a word was obeyed");
      }
    }
  }

  [[nodiscard]] int tried() const { return tried_; }

 private:
  // As part of a prefix, in single quotes.
  static std::string quoted_label() {
    std::string text;
    for (const char* c = kLabel; *c != '\0'; ++c)
      text += *c == '\'' ? std::string("'\\''") : std::string(1, *c);
    return text;
  }
  // What a command takes for its fields is written doubled.
  static std::string with_doubled_fields(const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::string_view rest = std::string_view(text).substr(i);
      bool is_field = false;
      for (const std::string_view field : {"{in}", "{out}"}) {
        if (!rest.starts_with(field)) continue;
        out += "{" + std::string(field) + "}";
        i += field.size() - 1;
        is_field = true;
      }
      if (!is_field) out += text[i];
    }
    return out;
  }
  // The bar goes up and clears, and has a colour.
  static std::string without_own_commands(std::string text) {
    for (std::size_t at = 0; (at = text.find("\x1b[", at)) != std::string::npos;) {
      const std::size_t end = text.find_first_not_of("0123456789", at + 2);
      if (end == std::string::npos ||
          std::string_view("AJm").find(text[end]) == std::string_view::npos) {
        ++at;
        continue;
      }
      text.erase(at, end + 1 - at);
    }
    return text;
  }

  std::string what_it_prints(const std::vector<std::string>& words) {
    const fs::path out = line_.directory() / "printed";
    const Ending ending = run_child([&] {
      const int fd = open(out.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
      dup2(fd, STDOUT_FILENO);
      dup2(fd, STDERR_FILENO);
      std::vector<char*> argv;
      for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      return 127;
    });
    if (!ending.exited || ending.status > 3) line_.violation("it crashes: " + words.back());
    return read_file(out);
  }

  void complain(const Hostile& word, const std::string& where, const std::string& how) {
    line_.violation(std::string(word.what) + ", " + where + ": " + how.substr(0, 600));
  }

  Line& line_;
  const fs::path directory_, program_;
  fs::path wrapper_;
  int tried_ = 0;
};

int run(Line& line) {
  Words words(line);
  for (const Hostile& word : hostile_words()) {
    words.as_argument(word);
    words.as_word_of_a_command(word);
    words.in_an_error(word);
    words.on_a_screen(word);
  }
  words.refused();
  words.nothing_was_obeyed();
  fs::current_path("/");
  return line.finish("hostile words: " + std::to_string(words.tried()) + " uses");
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::init(argc, argv);
  is_worker = false;
  if (argc > 1 && std::string_view(argv[1]) == "pipeline") return Main::cli(argc - 1, argv + 1);
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
