// 05_labels - labels say what a task uses up; rate limits say how much of it there is.
//
//   Press(0..5)    "mill"           --+
//                                     +--> Main       mill: 2 at once, water: 1 at once
//   Rinse(0..5)    "mill", "water"  --+
//
// A task takes all its labels' places at once or waits: `-l mill=1` makes them go one by one.
#include <stook/stook.hpp>

#include <atomic>
#include <chrono>
#include <iostream>
#include <thread>

// Counts how many are inside at once.
class Watch {
 public:
  Watch(std::atomic<int>& now, std::atomic<int>& most) : now_(now) {
    const int inside = ++now_;
    for (int seen = most; seen < inside && !most.compare_exchange_weak(seen, inside);) {}
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ~Watch() { --now_; }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  std::atomic<int>& now_;
};

std::atomic<int> mill_now, mill_most, water_now, water_most;

struct Press : stook::Task<Press, int(int sack)> {
  static constexpr const char* task_label = "mill";
  explicit Press(int given) : sack(given) {}
  int run_task() {
    const Watch mill(mill_now, mill_most);
    return sack;
  }
  int sack;
};

struct Rinse : stook::Task<Rinse, int(int sack)> {
  static constexpr std::array task_labels{"mill", "water"};
  explicit Rinse(int given) : sack(given) {}
  int run_task() {
    const Watch mill(mill_now, mill_most);
    const Watch water(water_now, water_most);
    return sack;
  }
  int sack;
};

struct Main : stook::Task<Main, void()> {
  stook::FutureList<int> pressed, rinsed;

  Main() {
    for (int sack = 0; sack < 6; ++sack) {
      pressed.push_back(Press::make(sack));
      rinsed.push_back(Rinse::make(sack));
    }
  }
  void run_task() {
    std::cout << pressed->size() + rinsed->size() << " sacks; limits "
              << (mill_most <= 2 && water_most <= 1 ? "kept" : "broken") << '\n';
  }
};

int main(int argc, char** argv) {
  stook::DefaultArguments{.prefixes = {}, .rate_limits = {{"mill", 2}, {"water", 1}}}.populate();
  return Main::cli(argc, argv);
}
