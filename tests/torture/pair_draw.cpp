#include "tests/torture/pair_draw.h"

#include <sstream>
#include <stdexcept>
#include <vector>

namespace stook::torture {
namespace {

const PairOperation& operation_named(const std::string& name) {
  for (const PairOperation& operation : pair_operations()) {
    if (operation.name == name) return operation;
  }
  throw std::logic_error("there is no operation " + name);
}

}  // namespace

std::string to_text(const Draw& draw) {
  std::string text = draw.first->name + "," + std::to_string(draw.stop) +
                     (draw.lasting ? "l" : "") + "," + draw.second->name;
  if (draw.keeper == Keeper::meanwhile) text += ",meanwhile";
  if (draw.keeper == Keeper::longer) text += ",longer";
  if (draw.killed) text += ",killed";
  if (draw.without_index) text += ",lost";
  return text;
}

Draw to_draw(const std::string& text) {
  std::vector<std::string> words;
  std::stringstream all(text);
  for (std::string word; std::getline(all, word, ',');) words.push_back(word);
  if (words.size() < 3) throw std::logic_error("--only FIRST,STOP[l],SECOND,...");
  Draw draw;
  draw.first = &operation_named(words[0]);
  draw.lasting = words[1].ends_with('l');
  draw.stop = std::stoull(words[1]);
  draw.second = &operation_named(words[2]);
  for (const std::string& word : words) {
    if (word == "meanwhile") draw.keeper = Keeper::meanwhile;
    if (word == "longer") draw.keeper = Keeper::longer;
    if (word == "killed") draw.killed = true;
    if (word == "lost") draw.without_index = true;
  }
  return draw;
}

}  // namespace stook::torture
