#include "examples/digits_sweep/sweep.h"

#include <algorithm>
#include <stdexcept>

namespace {

double accuracy_of(const Tally& tally) {
  return tally.total == 0 ? 0.0 : static_cast<double>(tally.right) / tally.total;
}

void add(Tally& sum, const Tally& tally) {
  sum.right += tally.right;
  sum.total += tally.total;
}

// The tally of one point over all folds but `left_out`; `folds` leaves out none.
Tally sum_without(const Tally* of_point, std::size_t folds, std::size_t left_out) {
  Tally sum;
  for (std::size_t fold = 0; fold < folds; ++fold) {
    if (fold != left_out) add(sum, of_point[fold]);
  }
  return sum;
}

std::size_t best_without(const std::vector<Tally>& tallies, std::size_t points, std::size_t folds,
                         std::size_t left_out) {
  std::size_t best = 0;
  for (std::size_t point = 1; point < points; ++point) {
    if (sum_without(&tallies[point * folds], folds, left_out).right >
        sum_without(&tallies[best * folds], folds, left_out).right) {
      best = point;
    }
  }
  return best;
}

}  // namespace

std::vector<Point> points_of(const Grid& grid) {
  std::vector<Point> points;
  for (const int epochs : grid.epochs) {
    for (const double l2 : grid.l2) {
      for (const double learning_rate : grid.learning_rates) {
        if (epochs < 1) throw std::invalid_argument("epochs must be 1 or more");
        if (learning_rate <= 0) throw std::invalid_argument("learning rates must be above 0");
        if (l2 < 0) throw std::invalid_argument("l2 must not be below 0");
        points.push_back({learning_rate, l2, epochs});
      }
    }
  }
  if (points.empty()) throw std::invalid_argument("the grid is empty");
  if (grid.folds < 2) throw std::invalid_argument("folds must be 2 or more");
  return points;
}

Choice choose(const std::vector<Tally>& tallies, std::size_t points, std::size_t folds) {
  Choice choice;
  for (std::size_t point = 0; point < points; ++point) {
    choice.accuracies.push_back(accuracy_of(sum_without(&tallies[point * folds], folds, folds)));
  }
  choice.best = best_without(tallies, points, folds, folds);
  choice.accuracy = choice.accuracies[choice.best];

  Tally honest;
  for (std::size_t fold = 0; fold < folds; ++fold) {
    add(honest, tallies[best_without(tallies, points, folds, fold) * folds + fold]);
  }
  choice.honest_accuracy = accuracy_of(honest);
  return choice;
}
