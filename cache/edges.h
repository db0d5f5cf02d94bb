// edges.h - the table `edges`, from the id of an upstream task to those of its dependents, and the
// walk along it that makes dependents suspect.
// Belongs to one connection; not thread-safe.
#pragma once

#include <functional>
#include <span>
#include <unordered_set>
#include <vector>

#include "cache/database.h"
#include "cache/rows.h"

namespace stook::detail {

struct Edge {
  std::uint64_t up, down;
  friend auto operator<=>(const Edge&, const Edge&) = default;
};

class Edges {
 public:
  explicit Edges(Database& database);

  void insert(const Edge& edge);  // nothing happens if it is there
  void erase(const Edge& edge);
  void dependents(std::uint64_t up, std::vector<std::uint64_t>& downs);  // replaces `downs`
  void erase_all();

 private:
  Database& database_;
  Statement insert_, erase_, dependents_;
};

// Makes every dependent of these ids, near and far, suspect because of `doubt`; returns how many
// became so. What is suspect already ends the walk: its dependents are suspect. What is missing
// passes it on: its dependents may have been made of an earlier result.
// `touched` is told of each row as it is now.
std::size_t suspect_dependents(Rows& rows, Edges& edges, std::span<const std::uint64_t> of,
                               Doubt doubt, const std::function<void(const Row&)>& touched);

}  // namespace stook::detail
