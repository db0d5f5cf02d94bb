// run.hpp - runs several roots as one graph.
#pragma once

#include <initializer_list>
#include <vector>

#include <stook/future.hpp>

namespace stook {

// Any future, as a root of a run.
class AnyFuture {
 public:
  AnyFuture(const detail::FutureBase& future) : spec_(future.spec()) {}
  [[nodiscard]] const detail::SpecPtr& spec() const { return spec_; }

 private:
  detail::SpecPtr spec_;
};

// Runs the graph above all `roots` in the current cache. Their values are then there for
// get_result(). Throws as Future::run_graph.
Stats run_graphs(const std::vector<AnyFuture>& roots, const RunOptions& options = {});

}  // namespace stook
