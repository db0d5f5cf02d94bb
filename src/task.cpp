#include <stook/task.hpp>

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "src/context.h"
#include "src/external.h"
#include "src/hash.h"

#include <stook/call.hpp>
#include <stook/errors.hpp>
#include <stook/external.hpp>

namespace stook::detail {

TaskBase::TaskBase() {
  if (construction_frame == nullptr) {
    throw Error("a task is made with make(), not by declaring an object of its class");
  }
  context_ = construction_frame->context;
}

const std::string& TaskBase::task_name() const { return context_->spec().info.name; }
std::uint64_t TaskBase::task_id() const { return context_->id(); }
Json TaskBase::task_args() const { return arguments_json(context_->spec()); }
std::filesystem::path TaskBase::task_directory() const { return context_->directory(); }
std::filesystem::path TaskBase::task_stdout() const { return context_->log_path("stdout"); }
std::filesystem::path TaskBase::task_stderr() const { return context_->log_path("stderr"); }
std::uint64_t TaskBase::task_seed() const { return seed_of(context_->spec().key); }
std::filesystem::path TaskBase::task_checkpoint_directory() const {
  return context_->checkpoint_directory();
}
void TaskBase::progress(double fraction, std::string_view text) const {
  context_->progress(fraction, text);
}
void TaskBase::add_input(const File& file) const {
  context_->add_input(static_cast<const ExternalSpec&>(*file.spec()).name);
}
bool TaskBase::stop_requested() const { return context_->stop_requested(); }

std::uint64_t seed_of(const Key& key) {
  struct {
    char domain[16] = "stook seed";
    Key key;
  } bytes;
  bytes.key = key;
  return hash_bytes(&bytes, sizeof bytes).low;
}

// "stook::detail::FunctionTag<&(ns::train(int, double))>", with or without the parentheses.
std::string function_name(std::string_view tag) {
  const auto amp = tag.find('&');
  std::string_view name = tag.substr(amp == std::string_view::npos ? 0 : amp + 1);
  if (name.ends_with('>')) name.remove_suffix(1);
  constexpr std::string_view anonymous = "(anonymous namespace)";
  if (name.starts_with('(') && !name.starts_with(anonymous)) name.remove_prefix(1);
  // The parameter list is the first parenthesis that does not belong to an anonymous namespace.
  std::size_t at = 0;
  while ((at = name.find('(', at)) != std::string_view::npos &&
         name.substr(at).starts_with(anonymous)) {
    at += anonymous.size();
  }
  return std::string(name.substr(0, at));
}

Digest digest_of_value(const ValueType& type, const Value& value) {
  Writer writer;
  type.encode(value.get(), writer);
  return digest_of(writer);
}

std::string arguments_of(const TaskSpec& spec) {
  CanonicalWriter writer;
  spec.write_arguments(writer);
  return std::string(writer.bytes());
}

Json arguments_json(const TaskSpec& spec) {
  Json arguments = canonical_to_json(arguments_of(spec));
  return spec.info.named_arguments ? Json(arguments.at(0)) : arguments;
}

std::string task_text(const TaskSpec& spec) {
  std::string text = canonical_to_text(arguments_of(spec), 120);
  if (text.size() >= 2 && text.front() == '[') {
    text.front() = '(';
    if (text.back() == ']') text.back() = ')';
  }
  return spec.info.name + text;
}

std::string demangled(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  return status == 0 ? name.get() : type.name();
}

namespace {

// How many letters have to be changed, added or removed to make one of the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t corner = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = corner + (a[i - 1] != b[j - 1]);
      corner = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string quoted_names(const std::set<std::string>& names, std::string_view wanted) {
  constexpr std::size_t shown = 20;
  std::vector<std::pair<std::size_t, std::string_view>> order;
  for (const std::string& name : names) order.emplace_back(edit_distance(name, wanted), name);
  std::sort(order.begin(), order.end());
  std::string text;
  for (std::size_t i = 0; i < order.size() && i < shown; ++i) {
    text += (i == 0 ? "'" : " '") + std::string(order[i].second) + "'";
  }
  if (order.size() > shown) text += " and " + std::to_string(order.size() - shown) + " more";
  return text;
}

std::string describe_exception(std::exception_ptr error) {
  std::string text;
  constexpr int most_nested = 20;
  for (int depth = 0; error && depth < most_nested; ++depth) {
    if (depth > 0) text += "\n  because of ";
    std::exception_ptr inner;
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& exception) {
      text += demangled(typeid(exception)) + ": " + exception.what();
      if (const auto* nested = dynamic_cast<const std::nested_exception*>(&exception)) {
        inner = nested->nested_ptr();
      }
    } catch (const char* thrown) {
      text += std::string("const char*: ") + (thrown != nullptr ? thrown : "null");
    } catch (const std::string& thrown) { text += "std::string: " + thrown; } catch (...) {
      const std::type_info* type = abi::__cxa_current_exception_type();
      text += type != nullptr ? "an exception of type " + demangled(*type) : "a foreign exception";
    }
    error = inner;
  }
  return text;
}

std::string argument_label(const ClassInfo& info, std::size_t index) {
  const auto parameters = info.parameters();
  const std::string name = !info.named_arguments && index < parameters.size()
                               ? "argument '" + parameters[index].name + "'"
                               : "arguments";
  return name + " of " + info.name;
}

void check_argument_count(const ClassInfo& info, const Json& arguments, std::size_t required) {
  const std::size_t given = arguments.size();
  if (given >= required && given <= info.parameter_count) return;
  std::string names;
  for (const Parameter& parameter : info.parameters()) {
    names += (names.empty() ? "" : ", ") + parameter.name;
  }
  throw InvalidArgument(info.name + " takes " + std::to_string(info.parameter_count) +
                        " arguments (" + names + "), not " + std::to_string(given));
}

}  // namespace stook::detail
