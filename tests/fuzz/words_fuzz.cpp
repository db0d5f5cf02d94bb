// Any text as a prefix command, as a command's word and as a depfile: refused with a reason, or
// words. What a shell would do something about stays what it is.
#include <string>

#include "runtime/command_text.h"
#include "runtime/executors/words.h"
#include "src/depfile.h"
#include "tests/fuzz/fuzz.h"

#include <stook/errors.hpp>

using namespace stook::detail;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(stook::fuzz::text(data, size));
  try {
    // Quoted as the README says, a text is one word again.
    std::string quoted = "\"";
    for (const char c : text)
      quoted += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    quoted += '"';
    const auto one = split_words(quoted);
    stook::fuzz::require(one.size() == 1 && one[0] == text, "a quoted text is one word");
  } catch (const stook::Error&) {
    stook::fuzz::require(text.find('\0') != std::string::npos, "only a zero byte is refused");
  }
  try {
    for (const std::string& word : split_words(text)) {
      stook::fuzz::require(word.find('\0') == std::string::npos, "no word holds a zero byte");
      (void)fill_fields(word, {{"task_name", text}, {"cache", "{cache}"}});
    }
  } catch (const stook::Error&) {}
  try {
    const std::string words[] = {text, "{in}"};
    const CommandNames names{{"a", "b c"}, {"d"}, "e.d"};
    const auto expanded = expand_words(words, names);
    stook::fuzz::require(expanded.size() >= 2, "no word is lost");
    (void)command_line_text(expanded);
  } catch (const stook::Error&) {}
  try {
    for (const std::string& name : parse_depfile(text)) {
      stook::fuzz::require(!name.empty(), "a prerequisite has a name");
    }
  } catch (const stook::Error&) {}
  return 0;
}
