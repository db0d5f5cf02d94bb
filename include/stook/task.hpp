// task.hpp - Task<Derived, Result(Arguments...)>: the base of a user's class of tasks.
// Captures types and thunks only; everything that happens is in src/ and runtime/.
// Thread-safety: make() may be called from any thread; a task object belongs to its run.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <stook/canonical.hpp>
#include <stook/class_info.hpp>
#include <stook/describe.hpp>
#include <stook/future.hpp>
#include <stook/json.hpp>
#include <stook/reflect.hpp>
#include <stook/task_base.hpp>

namespace stook {

template <class Derived>
class TaskRef;

namespace detail {

template <class D>
std::vector<std::string> labels_of() {
  if constexpr (requires { D::task_labels; }) {
    return {std::begin(D::task_labels), std::end(D::task_labels)};
  } else if constexpr (requires { D::task_label; }) {
    return {std::string(D::task_label)};
  } else {
    return {};
  }
}

template <class D>
std::string class_name_of() {
  if constexpr (requires { D::task_alias; }) {
    return std::string(D::task_alias);
  } else if constexpr (requires { D::stook_class_name(); }) {
    return D::stook_class_name();
  } else {
    return std::string(type_name<D>());
  }
}

// One aggregate as the only parameter: its fields are the names of the arguments.
template <class... A>
inline constexpr bool is_named = false;
template <class A>
inline constexpr bool is_named<A> = is_named_argument<A>;

template <class Tuple, std::size_t... I>
void write_tuple(CanonicalWriter& writer, const Tuple& arguments, std::index_sequence<I...>) {
  // Trailing Added<> arguments that are neutral are left out, so that old keys are kept.
  std::size_t count = 0;
  ((is_neutral_argument(std::get<I>(arguments)) ? void() : void(count = I + 1)), ...);
  writer.begin_array(count);
  ((I < count ? Argument<std::tuple_element_t<I, Tuple>>::encode(writer, std::get<I>(arguments))
              : void()),
   ...);
  writer.end_array();
}

template <class Tuple>
void write_tuple(CanonicalWriter& writer, const Tuple& arguments) {
  write_tuple(writer, arguments, std::make_index_sequence<std::tuple_size_v<Tuple>>());
}

// Throws InvalidArgument where there are too few or too many.
void check_argument_count(const ClassInfo& info, const Json& arguments, std::size_t required);
[[nodiscard]] std::string argument_label(const ClassInfo& info, std::size_t index);

template <class D>
const ClassInfo& class_info();

template <class D>
class TaskSpecOf final : public TaskSpec {
 public:
  using Arguments = typename KeptArguments<typename D::StookArguments>::type;
  TaskSpecOf(const ClassInfo& class_info, const Key& task_key, Arguments&& arguments)
      : TaskSpec(class_info, task_key), arguments_(std::move(arguments)) {}

  TaskBase* construct(void* place) const override {
    return std::apply(
        [place]<class... A>(const A&... a) -> TaskBase* {
          constexpr bool constructible = std::is_constructible_v<D, const A&...>;
          static_assert(constructible,
                        "stook: the task needs a constructor that takes the arguments of its "
                        "signature");
          if constexpr (constructible) return ::new (place) D(a...);
        },
        arguments_);
  }
  void write_arguments(CanonicalWriter& writer) const override { write_tuple(writer, arguments_); }

 private:
  const Arguments arguments_;
};

template <class D>
SpecPtr make_spec(typename D::StookArguments&& arguments) {
  const ClassInfo& info = class_info<D>();
  CanonicalWriter writer;
  try {
    write_tuple(writer, arguments);
  } catch (...) {
    rethrow_argument_error(info);
  }
  return SpecPtr(new TaskSpecOf<D>(info, task_key(info, writer.bytes()), std::move(arguments)));
}

template <class D, std::size_t... I>
SpecPtr spec_from_json(const Json& json, std::index_sequence<I...>) {
  const ClassInfo& info = class_info<D>();
  using Arguments = typename D::StookArguments;
  constexpr std::size_t required =
      sizeof...(I) - (std::size_t{0} + ... + std::size_t{is_added<std::tuple_element_t<I, Arguments>>});
  check_argument_count(info, json, required);
  [[maybe_unused]] auto argument = [&]<std::size_t N>(std::integral_constant<std::size_t, N>) {
    using T = std::tuple_element_t<N, Arguments>;
    if constexpr (is_added<T>) {
      if (N >= json.size()) return T{};
    }
    return Argument<T>::decode(json.at(N), argument_label(info, N));
  };
  return make_spec<D>(Arguments{argument(std::integral_constant<std::size_t, I>{})...});
}

template <class D>
SpecPtr spec_from_json(const Json& json) {
  return spec_from_json<D>(
      json, std::make_index_sequence<std::tuple_size_v<typename D::StookArguments>>());
}

template <class D>
std::vector<Parameter> parameters_of() {
  using Arguments = typename D::StookArguments;
  std::vector<Parameter> parameters;
  if constexpr (D::stook_named_arguments) {
    describe_fields<std::tuple_element_t<0, Arguments>>(
        [&](std::string_view name, std::string type, std::string default_text) {
          parameters.push_back({std::string(name), std::move(type), std::move(default_text)});
        });
  } else {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (parameters.push_back(
           {"arg" + std::to_string(I), argument_type_text<std::tuple_element_t<I, Arguments>>(),
            default_argument_text<std::tuple_element_t<I, Arguments>>()}),
       ...);
    }(std::make_index_sequence<std::tuple_size_v<Arguments>>());
    if constexpr (requires { D::task_parameters; }) {
      static_assert(std::size(D::task_parameters) == std::tuple_size_v<Arguments>,
                    "stook: task_parameters needs one name for each argument of the task");
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        parameters[i].name = D::task_parameters[i];
      }
    }
  }
  return parameters;
}

template <class D>
Value run_object(TaskBase* base) {
  D& task = *static_cast<D*>(base);
  using Result = typename D::result_type;
  if constexpr (std::is_void_v<Result>) {
    task.run_task();
    return std::make_shared<const std::monostate>();
  } else {
    return std::make_shared<const Result>(task.run_task());
  }
}

template <class D>
ClassInfo describe_class() {
  ClassInfo info;
  info.name = class_name_of<D>();
  info.type = &typeid(D);
  if constexpr (requires { D::task_version; }) info.version = D::task_version;
  if constexpr (requires { D::task_compress_level; }) info.compress_level = D::task_compress_level;
  if constexpr (requires { D::task_store; }) info.store = D::task_store;
  if constexpr (requires { D::task_timeout; }) info.timeout = D::task_timeout;
  if constexpr (requires { D::task_memory; }) info.memory = D::task_memory;
  if constexpr (requires { D::task_in_process; }) info.in_process = D::task_in_process;
  info.labels = labels_of<D>();
  info.object_size = sizeof(D);
  info.object_alignment = alignof(D);
  info.result = &value_type_of<typename D::result_type>();
  info.named_arguments = D::stook_named_arguments;
  info.parameter_count = std::tuple_size_v<typename D::StookArguments>;
  info.destroy = [](TaskBase* object) { static_cast<D*>(object)->~D(); };
  info.run = &run_object<D>;
  info.parameters = &parameters_of<D>;
  info.from_json = &spec_from_json<D>;
  return info;
}

template <class D>
const ClassInfo& class_info() {
  static const ClassInfo& info = register_class(describe_class<D>());
  return info;
}

// Entered before main() in every program that mentions the class's constructor or make().
template <class D>
inline const bool registered = (class_info<D>(), true);

int run_command_line(const ClassInfo& entry, int argc, char** argv);
std::size_t clear_class(const ClassInfo& info);
std::size_t clear_one(const TaskSpec& spec);
[[nodiscard]] Json arguments_json(const TaskSpec& spec);
[[nodiscard]] std::string explain(const TaskSpec& spec);
[[nodiscard]] std::uint64_t id_in_cache(const TaskSpec& spec);
[[nodiscard]] std::filesystem::path path_in_cache(const TaskSpec& spec, std::string_view name);
[[nodiscard]] std::uint64_t seed_of(const Key& key);

}  // namespace detail

// A handle on one task: the future of its result, and what can be done with the task itself.
template <class Derived>
class TaskRef : public Future<typename Derived::result_type> {
 public:
  explicit TaskRef(detail::SpecPtr spec)
      : Future<typename Derived::result_type>(std::move(spec)) {}

  // Removes the result, in the current cache, and marks all that was made from it suspect.
  // Returns how many recorded dependents that were.
  std::size_t clear_task() const { return detail::clear_one(task()); }

  // The arguments: a JSON array, or an object where they are named.
  [[nodiscard]] Json to_json() const { return detail::arguments_json(task()); }
  [[nodiscard]] Json task_args() const { return to_json(); }

  // Why the task ran, or did not, or would run now: from the record in the current cache.
  [[nodiscard]] std::string why() const { return detail::explain(task()); }

  [[nodiscard]] const std::string& task_name() const { return task().info.name; }
  [[nodiscard]] std::uint64_t task_id() const { return detail::id_in_cache(task()); }
  [[nodiscard]] std::uint64_t task_seed() const { return detail::seed_of(task().key); }
  [[nodiscard]] std::filesystem::path task_directory() const { return path("data"); }
  [[nodiscard]] std::filesystem::path task_stdout() const { return path("stdout"); }
  [[nodiscard]] std::filesystem::path task_stderr() const { return path("stderr"); }
  [[nodiscard]] std::filesystem::path task_checkpoint_directory() const {
    return path("checkpoint");
  }

 private:
  [[nodiscard]] const detail::TaskSpec& task() const {
    return static_cast<const detail::TaskSpec&>(*this->spec());
  }
  [[nodiscard]] std::filesystem::path path(std::string_view name) const {
    return detail::path_in_cache(task(), name);
  }
};

template <class Derived, class Signature>
class Task;

// struct Train : stook::Task<Train, double(int epochs)> { ...; double run_task(); };
template <class Derived, class Result, class... Args>
class Task<Derived, Result(Args...)> : public detail::TaskBase {
 public:
  using result_type = Result;
  using StookArguments = std::tuple<std::remove_cvref_t<Args>...>;
  static constexpr bool stook_named_arguments = detail::is_named<std::remove_cvref_t<Args>...>;

  // Names the task with these arguments. Constructs nothing, needs no cache.
  // Throws InvalidArgument where an argument has no canonical form (NaN, invalid UTF-8, ...).
  [[nodiscard]] static TaskRef<Derived> make(std::remove_cvref_t<Args>... arguments) {
    (void)&detail::registered<Derived>;
    return TaskRef<Derived>(detail::make_spec<Derived>(StookArguments(std::move(arguments)...)));
  }

  // Removes the results of all tasks of this class in the current cache.
  // Returns how many recorded dependents became suspect.
  static std::size_t clear_all_tasks() {
    return detail::clear_class(detail::class_info<Derived>());
  }

  // A program's entry: `int main(int argc, char** argv) { return Main::cli(argc, argv); }`
  static int cli(int argc, char** argv) {
    return detail::run_command_line(detail::class_info<Derived>(), argc, argv);
  }

 protected:
  Task() {
    (void)&detail::registered<Derived>;
    static_assert(requires(Derived & d) { d.run_task(); },
                  "stook: the task needs a public member function run_task()");
  }
};

}  // namespace stook
