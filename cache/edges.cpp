#include "cache/edges.h"

namespace stook::detail {

Edges::Edges(Database& database)
    : database_(database), insert_(database, "INSERT OR IGNORE INTO edges VALUES(?1,?2)"),
      erase_(database, "DELETE FROM edges WHERE up=?1 AND down=?2"),
      dependents_(database, "SELECT down FROM edges WHERE up=?1") {}

void Edges::insert(const Edge& edge) { insert_.run(edge.up, edge.down); }

void Edges::erase(const Edge& edge) { erase_.run(edge.up, edge.down); }

void Edges::dependents(std::uint64_t up, std::vector<std::uint64_t>& downs) {
  downs.clear();
  for (dependents_.start(up); dependents_.step();) {
    downs.push_back(static_cast<std::uint64_t>(dependents_.integer(0)));
  }
}

void Edges::erase_all() { database_.execute("DELETE FROM edges"); }

std::size_t suspect_dependents(Rows& rows, Edges& edges, std::span<const std::uint64_t> of,
                               Doubt doubt, const std::function<void(const Row&)>& touched) {
  struct Step {
    std::uint64_t id, cause;
  };
  std::vector<Step> work;
  for (const std::uint64_t id : of) work.push_back({id, id});
  std::unordered_set<std::uint64_t> passed;  // missing rows that passed it on
  std::vector<std::uint64_t> downs;
  std::size_t count = 0;
  while (!work.empty()) {
    const Step step = work.back();
    work.pop_back();
    edges.dependents(step.id, downs);
    for (const std::uint64_t down : downs) {
      auto row = rows.find_id(down);
      if (!row || row->entry.state == RecordState::suspect) continue;
      const bool fresh = row->entry.state == RecordState::fresh;
      if (!fresh && !passed.insert(down).second) continue;
      work.push_back({down, step.cause});
      // A digest that was only remembered is no longer to be relied on either.
      if (!fresh && row->entry.doubt != Doubt::not_kept) continue;
      row->entry.state = fresh ? RecordState::suspect : RecordState::missing;
      row->entry.doubt = doubt;
      row->entry.cause = step.cause;
      rows.set_state(down, row->entry.state, doubt, step.cause);
      touched(*row);
      if (fresh) ++count;
    }
  }
  return count;
}

}  // namespace stook::detail
