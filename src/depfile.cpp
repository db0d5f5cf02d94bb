#include "src/depfile.h"

#include <unordered_set>

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

class DepfileParser {
 public:
  explicit DepfileParser(std::string_view text) : text_(text) {}

  std::vector<std::string> parse() {
    if (text_.size() > most_depfile_bytes) fail("it is larger than 64 MiB");
    while (skip_to_word()) parse_rule();
    return std::move(names_);
  }

 private:
  [[nodiscard]] char at(std::size_t place) const {
    return place < text_.size() ? text_[place] : '\n';
  }
  [[nodiscard]] bool ended() const { return at_ >= text_.size(); }
  [[nodiscard]] static bool is_blank(char c) { return c == ' ' || c == '\t'; }
  // The length of the end of a line at `place`; 0: there is none.
  [[nodiscard]] std::size_t line_end(std::size_t place) const {
    if (at(place) == '\n') return 1;
    return at(place) == '\r' && at(place + 1) == '\n' ? 2 : 0;
  }

  // Blanks and continued lines; stops before a word or the end of the line.
  void skip_blanks() {
    while (!ended()) {
      if (is_blank(at(at_))) {
        ++at_;
      } else if (at(at_) == '\\' && line_end(at_ + 1) != 0) {
        at_ += 1 + line_end(at_ + 1);
        ++line_;
      } else if (at(at_) == '#') {
        while (!ended() && line_end(at_) == 0) ++at_;
      } else {
        return;
      }
    }
  }

  bool skip_to_word() {
    for (;;) {
      skip_blanks();
      if (ended()) return false;
      if (line_end(at_) == 0) return true;
      at_ += line_end(at_);
      ++line_;
    }
  }

  void parse_rule() {
    bool has_target = false;
    std::string word;
    for (bool in_targets = true; in_targets; skip_blanks()) {
      if (ended() || line_end(at_) != 0) fail("there is no ':' after the target");
      in_targets = !read_word(word, true);
      has_target = has_target || !word.empty();
    }
    if (!has_target) fail("there is no target before the ':'");
    for (skip_blanks(); !ended() && line_end(at_) == 0; skip_blanks()) {
      read_word(word, false);
      if (seen_.insert(word).second) names_.push_back(word);
    }
  }

  // True where the word ended at the colon that ends the targets.
  bool read_word(std::string& word, bool target) {
    word.clear();
    while (!ended() && !is_blank(at(at_)) && line_end(at_) == 0) {
      const char c = at(at_);
      const char next = at(at_ + 1);
      if (c == '\0') fail("it holds a zero byte");
      if (target && c == ':' &&
          (is_blank(next) || line_end(at_ + 1) != 0 || at_ + 1 == text_.size())) {
        ++at_;
        return true;
      }
      if (c == '\\') {
        if (!read_backslashes(word)) break;
      } else if (c == '$' && next == '$') {
        word += '$';
        at_ += 2;
      } else {
        word += c;
        ++at_;
      }
    }
    return false;
  }

  // Before a blank, two backslashes are one, and one that is left makes the blank a character.
  // False where the line is continued, which ends the word.
  bool read_backslashes(std::string& word) {
    std::size_t count = 0;
    while (at(at_ + count) == '\\' && at_ + count < text_.size()) ++count;
    const std::size_t after = at_ + count;
    if (is_blank(at(after)) && after < text_.size()) {
      word.append(count / 2, '\\');
      at_ = after;
      if (count % 2 == 0) return true;
      word += at(at_++);
    } else if (line_end(after) != 0 && after < text_.size()) {
      word.append(count - 1, '\\');
      at_ = after - 1;
      return false;
    } else if (at(after) == '#' || at(after) == ':') {
      const bool name = at(after) == '#' || !(is_blank(at(after + 1)) || line_end(after + 1) != 0);
      word.append(name ? count - 1 : count, '\\');
      at_ = after;
      if (name) word += at(at_++);
    } else {
      word.append(count, '\\');
      at_ = after;
    }
    return true;
  }

  [[noreturn]] void fail(const char* what) const {
    throw Error("line " + std::to_string(line_) + ": " + what);
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::vector<std::string> names_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

std::vector<std::string> parse_depfile(std::string_view text) {
  return DepfileParser(text).parse();
}

}  // namespace stook::detail
