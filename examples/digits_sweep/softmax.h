// softmax.h - multinomial logistic regression by stochastic gradient descent with L2
// regularisation. Unaware of stook. The same model, to the last bit, for the same images and
// settings: no threads, no library mathematics, and softmax.cpp is compiled without fused
// multiply-add.
#pragma once

#include "examples/digits_sweep/digits.h"

#include <cstdint>
#include <vector>

struct Model {
  std::vector<double> weights;  // (kPixels + 1) x kClasses; the last row is the bias
};

struct Settings {
  double learning_rate = 0.1;
  double l2 = 1e-4;
  int epochs = 10;
  std::uint64_t seed = 1;  // of the order in which images are shown
};

Model train(const Images& images, const Settings& settings);

// The digit the model takes the image for.
int predict(const Model& model, const Image& image);

// How many of the images the model takes for what they are.
int count_right(const Model& model, const Images& images);
