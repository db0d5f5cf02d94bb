// class_info.hpp - what stook knows of a class of tasks, type-erased, and the registry of them.
// Unaware of runs and caches. The registry is filled before main() and only read afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

#include <stook/options.hpp>
#include <stook/spec.hpp>

namespace stook {
class CanonicalWriter;
class Json;
}  // namespace stook

namespace stook::detail {

class TaskBase;

// A parameter of a class of tasks, as a command line shows it.
struct Parameter {
  std::string name;            // "n", or "arg0" where nothing names it
  std::string type;            // for --help
  std::string default_text;    // JSON; empty: required
};

struct ClassInfo {
  std::string name;                   // of the class, or its task_alias
  const std::type_info* type = nullptr;
  std::uint32_t version = 0;
  std::vector<std::string> labels;    // without the class name
  std::optional<int> compress_level;   // unset: that of the run
  stook::Store store = stook::Store::always;
  double timeout = 0;                 // seconds, in a process of its own; 0: that of the run
  std::uint64_t memory = 0;           // bytes, the same
  bool in_process = false;            // runs in the driver, whatever the executor
  std::size_t object_size = 0;
  std::size_t object_alignment = 0;
  const ValueType* result = nullptr;
  bool named_arguments = false;       // one aggregate is the only parameter
  std::size_t parameter_count = 0;

  void (*destroy)(TaskBase* object) = nullptr;
  Value (*run)(TaskBase* object) = nullptr;
  std::vector<Parameter> (*parameters)() = nullptr;
  // A task of this class from a JSON array of its arguments. Throws InvalidArgument.
  SpecPtr (*from_json)(const Json& arguments) = nullptr;

  std::string key_prefix;             // set by the registry: what every key of the class begins with
};

// A task that is named and not built.
class TaskSpec : public Spec {
 public:
  TaskSpec(const ClassInfo& info, const Key& key)
      : Spec(SpecKind::task, key, *info.result), info(info) {}

  // Constructs the task in `place` (info.object_size bytes) and returns its base.
  virtual TaskBase* construct(void* place) const = 0;
  virtual void write_arguments(CanonicalWriter& writer) const = 0;

  const ClassInfo& info;
};

// Enters a class; the reference stays valid. Names that cannot be are reported by the first
// run, not here, where nobody could catch it.
const ClassInfo& register_class(ClassInfo info);

// Throws InvalidArgument where two classes have one name, naming both, and where a name or a label
// is empty, more than one line, not UTF-8 or has control characters.
void check_registry();

[[nodiscard]] const ClassInfo* find_class(std::string_view name);
[[nodiscard]] std::vector<const ClassInfo*> all_classes();

[[nodiscard]] Key task_key(const ClassInfo& info, std::string_view arguments);

// Rethrows the exception in flight, saying whose argument it speaks of.
[[noreturn]] void rethrow_argument_error(const ClassInfo& info);

}  // namespace stook::detail
