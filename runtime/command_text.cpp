#include "runtime/command_text.h"

#include <charconv>
#include <optional>

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

struct Placeholder {
  enum class What { in, out, depfile } what;
  std::optional<std::size_t> index;
};

// "in", "out[3]", "depfile"
std::optional<Placeholder> placeholder(std::string_view text) {
  using What = Placeholder::What;
  if (text == "in") return Placeholder{What::in, {}};
  if (text == "out") return Placeholder{What::out, {}};
  if (text == "depfile") return Placeholder{What::depfile, {}};
  const auto bracket = text.find('[');
  if (bracket == std::string_view::npos || !text.ends_with(']')) return {};
  const auto base = placeholder(text.substr(0, bracket));
  if (!base || base->index || base->what == What::depfile) return {};
  const std::string_view digits = text.substr(bracket + 1, text.size() - bracket - 2);
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), index);
  if (error != std::errc() || end != digits.end()) return {};
  return Placeholder{base->what, index};
}

class Expansion {
 public:
  Expansion(const CommandNames& names, CommandUse* use) : names_(names), use_(use) {
    if (use_ != nullptr) use_->out.assign(names.out.size(), false);
  }

  void add(const std::string& word) {
    if (word.size() > 2 && word.front() == '{' && word.back() == '}') {
      const auto whole = placeholder(std::string_view(word).substr(1, word.size() - 2));
      if (whole && !whole->index && whole->what != Placeholder::What::depfile) {
        const auto& all = whole->what == Placeholder::What::in ? names_.in : names_.out;
        words.insert(words.end(), all.begin(), all.end());
        if (use_ != nullptr && whole->what == Placeholder::What::out) {
          use_->out.assign(names_.out.size(), true);
        }
        return;
      }
    }
    words.push_back(replaced(word));
  }

  std::vector<std::string> words;

 private:
  std::string replaced(const std::string& word) {
    std::string out;
    for (std::size_t at = 0; at < word.size();) {
      const auto close = word[at] == '{' ? word.find('}', at) : std::string::npos;
      if (close == std::string::npos) {
        out += word[at++];
        continue;
      }
      const bool literal = at + 1 < word.size() && word[at + 1] == '{';
      const std::size_t begin = at + (literal ? 2 : 1);
      const auto found = placeholder(std::string_view(word).substr(begin, close - begin));
      if (found && !literal) {
        out += name(*found, word);
        at = close + 1;
      } else if (found && close + 1 < word.size() && word[close + 1] == '}') {
        out += word.substr(at + 1, close - at);
        at = close + 2;
      } else {
        out += word[at++];
      }
    }
    return out;
  }

  const std::string& name(const Placeholder& found, const std::string& word) {
    using What = Placeholder::What;
    if (found.what == What::depfile) {
      if (use_ != nullptr) use_->depfile = true;
      return names_.depfile;
    }
    const auto& all = found.what == What::in ? names_.in : names_.out;
    const char* kind = found.what == What::in ? " inputs" : " outputs";
    if (!found.index && all.size() != 1) {
      throw InvalidArgument("'" + word + "' in argv needs exactly one file, and the command has " +
                            std::to_string(all.size()) + kind + ": write " +
                            (found.what == What::in ? "{in[0]}" : "{out[0]}") +
                            ", or the placeholder as a word of its own");
    }
    const std::size_t index = found.index.value_or(0);
    if (index >= all.size()) {
      throw InvalidArgument("'" + word + "' in argv counts from 0, and the command has " +
                            std::to_string(all.size()) + kind);
    }
    if (use_ != nullptr && found.what == What::out) use_->out[index] = true;
    return all[index];
  }

  const CommandNames& names_;
  CommandUse* const use_;
};

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-_./=+:,@%").find(c) != std::string_view::npos;
}

}  // namespace

std::vector<std::string> expand_words(std::span<const std::string> words, const CommandNames& names,
                                      CommandUse* use) {
  Expansion expansion(names, use);
  for (const std::string& word : words) expansion.add(word);
  return std::move(expansion.words);
}

std::string command_line_text(std::span<const std::string> words) {
  constexpr std::size_t most = 2000;
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ' ';
    bool plain = !word.empty();
    for (const char c : word) plain = plain && is_plain(c);
    if (plain) {
      text += word;
    } else {
      text += '\'';
      for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
      text += '\'';
    }
    if (text.size() > most) return text.substr(0, most) + " ...";
  }
  return text;
}

}  // namespace stook::detail
