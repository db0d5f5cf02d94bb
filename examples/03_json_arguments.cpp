// 03_json_arguments - a task configured by JSON, with futures wherever a value may stand.
//
//   Measure("field") --------> {"crop": "rye", "plots": [ * , {"area": * , "weight": 2}]}
//   Measure("garden") ------------------------------------------^                |
//                                                                             Harvest --> Main
//
// A future inside the JSON contributes to the key of Harvest what it names, not what it yields.
#include <stook/stook.hpp>

#include <iostream>
#include <string>
#include <utility>

struct Measure : stook::Task<Measure, double(std::string place)> {
  std::string place;

  explicit Measure(const std::string& name) : place(name) {}
  double run_task() { return place == "field" ? 12.5 : 1.25; }
};

struct Harvest : stook::Task<Harvest, std::string(stook::Json plan)> {
  stook::FutureList<double> areas;  // the futures of the plan become members, and so upstream
  std::vector<double> weights;
  std::string crop;

  explicit Harvest(const stook::Json& plan) : crop(plan.at("crop").get<std::string>()) {
    for (const stook::Json& plot : plan.at("plots")) {
      const bool detailed = plot.is_object();
      areas.push_back((detailed ? plot.at("area") : plot).get<stook::Future<double>>());
      weights.push_back(detailed ? plot.value("weight", 1.0) : 1.0);
    }
  }
  std::string run_task() {
    double yield = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) yield += weights[i] * (*areas)[i];
    return std::to_string(static_cast<int>(yield)) + " sheaves of " + crop;
  }
};

struct Main : stook::Task<Main, void(std::string crop)> {
  static constexpr std::array task_parameters{"crop"};
  stook::Future<std::string> harvest;

  explicit Main(const std::string& crop) {
    const auto field = Measure::make("field");
    const auto garden = Measure::make("garden");
    harvest = Harvest::make(stook::Json{
        {"crop", crop},
        {"plots", stook::Json::array({field, stook::Json{{"area", garden}, {"weight", 2.0}}})}});
  }
  void run_task() { std::cout << *harvest << '\n'; }
};

int main(int argc, char** argv) { return Main::cli(argc, argv); }
