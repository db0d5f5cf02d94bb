// sweep.h - the grid of settings and what came out for each: choosing the best, honestly.
// Unaware of stook and of how the figures were come by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// What is swept over. It is the argument of the program: every field is a flag.
struct Grid {
  std::string data = DIGITS_CSV;
  std::vector<double> learning_rates = {0.03, 0.1, 0.3, 1.0};
  std::vector<double> l2 = {1e-5, 1e-4, 1e-3, 1e-2};
  std::vector<int> epochs = {5, 15, 40};
  int folds = 5;
  std::uint64_t seed = 1;
};

// One point of the grid.
struct Point {
  double learning_rate = 0;
  double l2 = 0;
  int epochs = 0;
};

// How many of a fold's images were recognised by the model that had not seen them.
struct Tally {
  int right = 0;
  int total = 0;
};

struct Choice {
  std::vector<double> accuracies;  // of each point of the grid, over all folds
  std::size_t best = 0;            // the point of the highest; the first of equals
  double accuracy = 0;             // of the best: the highest of many, so a little flattered
  double honest_accuracy = 0;      // each fold judged by the point that is best on the other folds
};

// The points in the order of the report: by epochs, then l2, then learning rate.
// Throws std::invalid_argument where the grid is empty or has a setting that makes no sense.
std::vector<Point> points_of(const Grid& grid);

// `tallies`: for each point, for each fold.
Choice choose(const std::vector<Tally>& tallies, std::size_t points, std::size_t folds);
