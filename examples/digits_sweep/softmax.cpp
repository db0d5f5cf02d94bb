#include "examples/digits_sweep/softmax.h"

#include "examples/digits_sweep/random.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace {

constexpr std::size_t kBatch = 16;
constexpr std::size_t kRows = kPixels + 1;
using Scores = std::array<double, kClasses>;

// e^x for x <= 0 by its series at x / 1024, squared ten times: good to 1e-12, and the same
// everywhere, which std::exp is not.
double exp_negative(double x) {
  if (x < -700) return 0;
  const double t = x / 1024;
  double power = 1 + t * (1 + t / 2 * (1 + t / 3 * (1 + t / 4)));
  for (int i = 0; i < 10; ++i) power *= power;
  return power;
}

// Calls use(row, value) for the bias and each pixel that is not white.
template <class Use> void for_each_input(const Image& image, const Use& use) {
  for (std::size_t row = 0; row < kPixels; ++row) {
    if (image.pixels[row] != 0) use(row, image.pixels[row] / 16.0);
  }
  use(std::size_t{kPixels}, 1.0);
}

Scores scores_of(const std::vector<double>& weights, const Image& image) {
  Scores scores{};
  for_each_input(image, [&](std::size_t row, double value) {
    const double* weight = &weights[row * kClasses];
    for (std::size_t c = 0; c < kClasses; ++c) scores[c] += value * weight[c];
  });
  return scores;
}

void to_probabilities(Scores& scores) {
  const double highest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& score : scores) sum += score = exp_negative(score - highest);
  for (double& score : scores) score /= sum;
}

}  // namespace

Model train(const Images& images, const Settings& settings) {
  if (images.empty()) throw std::invalid_argument("nothing to train on");
  std::vector<double> weights(kRows * kClasses);
  std::vector<double> gradient(kRows * kClasses);
  std::vector<std::size_t> order(images.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random random(settings.seed);

  for (int epoch = 0; epoch < settings.epochs; ++epoch) {
    random.shuffle(order);
    for (std::size_t begin = 0; begin < order.size(); begin += kBatch) {
      const std::size_t end = std::min(begin + kBatch, order.size());
      std::fill(gradient.begin(), gradient.end(), 0.0);
      for (std::size_t i = begin; i < end; ++i) {
        const Image& image = images[order[i]];
        Scores error = scores_of(weights, image);
        to_probabilities(error);
        error[image.label] -= 1;
        for_each_input(image, [&](std::size_t row, double value) {
          double* sum = &gradient[row * kClasses];
          for (std::size_t c = 0; c < kClasses; ++c) sum[c] += value * error[c];
        });
      }
      const double step = settings.learning_rate / static_cast<double>(end - begin);
      const double keep = 1 - settings.learning_rate * settings.l2;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        weights[i] = keep * weights[i] - step * gradient[i];
      }
    }
  }
  return {std::move(weights)};
}

int predict(const Model& model, const Image& image) {
  const Scores scores = scores_of(model.weights, image);
  return static_cast<int>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

int count_right(const Model& model, const Images& images) {
  return static_cast<int>(std::count_if(images.begin(), images.end(), [&](const Image& image) {
    return predict(model, image) == image.label;
  }));
}
