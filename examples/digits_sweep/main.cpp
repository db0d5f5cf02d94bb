// digits_sweep - an experiment, remembered: which settings of a classifier recognise digits best?
//
//    digits.csv                  File: looked at by content
//        |
//      Load                      images
//        |
//    Fold x 5                    a fifth of the images each
//     |      \ all but one
//     |     Train x 240          rates x l2 x epochs x folds, each without one fold
//     |      /
//    Score x 240                 how many of the fold left out are recognised
//        |
//      Select                    the best settings
//        |
//      Report                    table.txt, sweep.svg, report.html in its task_directory
//        |
//      Main
//
// Change a learning rate: the other columns stay. Add a comment to digits.csv: Load runs and gives
// the same images, so nothing below it runs. Change a pixel: one Fold differs, and the models that
// do not train on it stay.
#include "examples/digits_sweep/digits.h"
#include "examples/digits_sweep/report.h"
#include "examples/digits_sweep/softmax.h"
#include "examples/digits_sweep/sweep.h"

#include <stook/stook.hpp>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>

namespace fs = std::filesystem;

struct Load : stook::Task<Load, Images(std::string data)> {
  static constexpr std::array task_parameters{"data"};
  stook::Future<fs::path> file;

  explicit Load(const std::string& data) : file(stook::File(data)) {}
  Images run_task() { return read_digits(*file); }
};

struct FoldArgs {
  std::string data = DIGITS_CSV;
  int fold = 0;
  int folds = 5;
  std::uint64_t seed = 1;
};

struct Fold : stook::Task<Fold, Images(FoldArgs)> {
  stook::Future<Images> images;

  explicit Fold(FoldArgs args) : images(Load::make(args.data)), args_(std::move(args)) {}
  Images run_task() { return images_of_fold(*images, args_.fold, args_.folds, args_.seed); }

 private:
  FoldArgs args_;
};

// One model: these settings, trained on all folds but `fold`.
struct TrainArgs {
  std::string data = DIGITS_CSV;
  double learning_rate = 0.1;
  double l2 = 1e-4;
  int epochs = 10;
  int fold = 0;
  int folds = 5;
  std::uint64_t seed = 1;
};

struct Train : stook::Task<Train, Model(TrainArgs)> {
  stook::FutureList<Images> others;

  explicit Train(TrainArgs args) : args_(std::move(args)) {
    for (int fold = 0; fold < args_.folds; ++fold) {
      if (fold == args_.fold) continue;
      others.push_back(Fold::make({args_.data, fold, args_.folds, args_.seed}));
    }
  }
  Model run_task() {
    Images images;
    for (const Images& part : *others) images.insert(images.end(), part.begin(), part.end());
    return train(images, {args_.learning_rate, args_.l2, args_.epochs, args_.seed});
  }

 private:
  TrainArgs args_;
};

struct Score : stook::Task<Score, Tally(TrainArgs)> {
  stook::Future<Model> model;
  stook::Future<Images> unseen;

  explicit Score(const TrainArgs& args)
      : model(Train::make(args)),
        unseen(Fold::make({args.data, args.fold, args.folds, args.seed})) {}
  Tally run_task() { return {count_right(*model, *unseen), static_cast<int>(unseen->size())}; }
};

struct Select : stook::Task<Select, Choice(Grid)> {
  stook::FutureList<Tally> tallies;  // for each point of the grid, for each fold

  explicit Select(Grid grid) : grid_(std::move(grid)) {
    for (const Point& point : points_of(grid_)) {
      for (int fold = 0; fold < grid_.folds; ++fold) {
        tallies.push_back(Score::make({grid_.data, point.learning_rate, point.l2, point.epochs,
                                       fold, grid_.folds, grid_.seed}));
      }
    }
  }
  Choice run_task() {
    return choose(*tallies, points_of(grid_).size(), static_cast<std::size_t>(grid_.folds));
  }

 private:
  Grid grid_;
};

struct Report : stook::Task<Report, fs::path(Grid)> {
  stook::Future<Choice> choice;

  explicit Report(Grid grid) : choice(Select::make(grid)), grid_(std::move(grid)) {}
  fs::path run_task() {
    write("table.txt", text_table(grid_, *choice));
    write("sweep.svg", svg_picture(grid_, *choice));
    write("report.html", html_page(grid_, *choice));
    return task_directory();
  }

 private:
  void write(const char* name, const std::string& text) const {
    std::ofstream file(task_directory() / name, std::ios::binary);
    if (!(file << text).flush()) throw std::runtime_error(std::string("cannot write ") + name);
  }
  Grid grid_;
};

struct Main : stook::Task<Main, void(Grid)> {
  stook::Future<Choice> choice;
  stook::Future<fs::path> report;

  explicit Main(const Grid& grid) : choice(Select::make(grid)), report(Report::make(grid)) {}
  void run_task() {
    std::cout << std::ifstream(*report / "table.txt").rdbuf();
    std::cout << "accuracy of the best setting on images not trained on: " << choice->accuracy
              << "\nthe same, each fold judged by what is best on the others: "
              << choice->honest_accuracy << "\npicture: " << (*report / "report.html").string()
              << "\n         " << (*report / "sweep.svg").string() << '\n';
  }
};

int main(int argc, char** argv) { return Main::cli(argc, argv); }
