#include "tests/torture/history.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

namespace stook::torture {
namespace {

// How far each process has come, and what the key holds then. Of Wing and Gong's search with Lowe's
// memory of where it has been; a read of what is there never stands in the way of anything, so only
// writes are tried one by one.
class Search {
 public:
  explicit Search(const std::vector<std::vector<Done>>& histories) : histories_(histories) {}

  // True: there is an order.
  bool run() {
    std::vector<Place> work{{std::vector<std::uint32_t>(histories_.size()), 0}};
    while (!work.empty()) {
      Place place = work.back();
      work.pop_back();
      take_reads(place);
      if (is_end(place)) return true;
      remember(place);
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

  // What was done around the end of the longest order, and the last writes before.
  [[nodiscard]] std::string where() const {
    const std::int64_t stuck = first_end(furthest_);
    std::vector<std::pair<std::int64_t, std::string>> lines;
    for (std::size_t p = 0; p < histories_.size(); ++p) {
      for (std::size_t i = 0; i < histories_[p].size(); ++i) {
        const Done& done = histories_[p][i];
        if (done.end < stuck - kAround || done.begin > stuck + kAround) continue;
        lines.emplace_back(done.begin, text_of(done, p, stuck, i < furthest_.at[p]));
      }
    }
    std::vector<std::pair<std::int64_t, std::string>> writes;
    for (std::size_t p = 0; p < histories_.size(); ++p) {
      for (const Done& done : histories_[p]) {
        if (done.kind == Done::Kind::read || done.end >= stuck - kAround) continue;
        writes.emplace_back(done.end, text_of(done, p, stuck, true));
      }
    }
    std::sort(writes.begin(), writes.end());
    const auto last = static_cast<std::ptrdiff_t>(std::min<std::size_t>(writes.size(), 6));
    std::copy(writes.end() - last, writes.end(), std::back_inserter(lines));
    std::sort(lines.begin(), lines.end());
    std::string text = "it would hold " + std::to_string(furthest_.value) + " there";
    for (const auto& line : lines) text += "\n    " + line.second;
    return text;
  }

 private:
  static constexpr std::int64_t kAround = 20'000'000;

  struct Place {
    std::vector<std::uint32_t> at;
    std::uint64_t value = 0;
  };

  static std::string text_of(const Done& done, std::size_t process, std::int64_t from,
                             bool placed) {
    const char* const what = done.kind == Done::Kind::read ? "reads "
                             : done.value == 0             ? "clears "
                                                           : "writes ";
    return std::string(placed ? "" : "(not placed) ") + "process " + std::to_string(process) + " " +
           what + std::to_string(done.value) + " from " + std::to_string(done.begin - from) +
           " to " + std::to_string(done.end - from);
  }

  void remember(const Place& place) {
    const auto length = std::accumulate(place.at.begin(), place.at.end(), std::uint64_t{0});
    if (length < longest_) return;
    longest_ = length;
    furthest_ = place;
  }

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
  std::uint64_t longest_ = 0;
  Place furthest_;
};

}  // namespace

std::string why_no_order(const std::vector<std::vector<Done>>& histories) {
  Search search(histories);
  return search.run() ? "" : search.where();
}

}  // namespace stook::torture
