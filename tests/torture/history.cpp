#include "tests/torture/history.h"

#include <algorithm>
#include <limits>
#include <set>

namespace stook::torture {
namespace {

// How far each process has come, and what the key holds then. Of Wing and Gong's search with Lowe's
// memory of where it has been; a read of what is there never stands in the way of anything, so only
// writes are tried one by one.
class Search {
 public:
  explicit Search(const std::vector<std::vector<Done>>& histories) : histories_(histories) {}

  bool run() {
    std::vector<Place> work{{std::vector<std::uint32_t>(histories_.size()), 0}};
    while (!work.empty()) {
      Place place = work.back();
      work.pop_back();
      take_reads(place);
      if (is_end(place)) return true;
      if (!seen_.insert({place.at, place.value}).second) continue;
      const std::int64_t latest = first_end(place);
      for (std::size_t p = 0; p < histories_.size(); ++p) {
        const Done* const next = next_of(place, p);
        if (next == nullptr || next->kind == Done::Kind::read || next->begin > latest) continue;
        Place then = place;
        ++then.at[p];
        then.value = next->value;
        work.push_back(std::move(then));
      }
    }
    return false;
  }

 private:
  struct Place {
    std::vector<std::uint32_t> at;
    std::uint64_t value = 0;
  };

  [[nodiscard]] const Done* next_of(const Place& place, std::size_t p) const {
    return place.at[p] < histories_[p].size() ? &histories_[p][place.at[p]] : nullptr;
  }
  [[nodiscard]] bool is_end(const Place& place) const {
    for (std::size_t p = 0; p < histories_.size(); ++p) {
      if (next_of(place, p) != nullptr) return false;
    }
    return true;
  }
  // Nothing that begins after this can be next: something else has ended by then.
  [[nodiscard]] std::int64_t first_end(const Place& place) const {
    std::int64_t first = std::numeric_limits<std::int64_t>::max();
    for (std::size_t p = 0; p < histories_.size(); ++p) {
      if (const Done* const next = next_of(place, p)) first = std::min(first, next->end);
    }
    return first;
  }
  void take_reads(Place& place) const {
    for (bool more = true; more;) {
      more = false;
      const std::int64_t latest = first_end(place);
      for (std::size_t p = 0; p < histories_.size(); ++p) {
        const Done* const next = next_of(place, p);
        if (next == nullptr || next->kind == Done::Kind::write) continue;
        if (next->value != place.value || next->begin > latest) continue;
        ++place.at[p];
        more = true;
      }
    }
  }

  const std::vector<std::vector<Done>>& histories_;
  std::set<std::pair<std::vector<std::uint32_t>, std::uint64_t>> seen_;
};

}  // namespace

bool is_linearizable(const std::vector<std::vector<Done>>& histories) {
  return Search(histories).run();
}

}  // namespace stook::torture
