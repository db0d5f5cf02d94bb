// 01_binomial - tasks that need tasks: Choose(n, k) by Pascal's rule, each of them computed once.
//
//   Main --> Choose(60,30) --+--> Choose(59,29) --+--> Choose(58,28) ...
//                            |                    |
//                            |                    +--> Choose(58,29) ...   one task, two dependents
//                            |                    |
//                            +--> Choose(59,30) --+
//
//   01_binomial                                         what fits in a long
//   01_binomial --n 100 --k 50                          a clear error
//   01_binomial --n 100 --k 50 --modulo 1000000007      the remainder: 2,600 tasks
#include <stook/stook.hpp>

#include <iostream>
#include <limits>
#include <stdexcept>
#include <string>

struct Choose : stook::Task<Choose, long(int n, int k)> {
  static constexpr std::array task_parameters{"n", "k"};
  stook::Future<long> left, right;

  Choose(int n, int k) {
    if (0 < k && k < n) {
      left = make(n - 1, k - 1);
      right = make(n - 1, k);
    } else if (k == 0 || k == n) {
      left = stook::Const(0L);
      right = stook::Const(1L);
    } else {
      throw std::invalid_argument("Choose: k out of range");
    }
  }
  long run_task() {
    if (*left > std::numeric_limits<long>::max() - *right) {
      throw std::overflow_error("Choose" + task_args().dump() +
                                " does not fit in a long; use --modulo");
    }
    return *left + *right;
  }
};

struct ChooseModulo : stook::Task<ChooseModulo, long(int n, int k, long modulo)> {
  static constexpr std::array task_parameters{"n", "k", "modulo"};
  stook::Future<long> left, right;
  long modulo;

  ChooseModulo(int n, int k, long m) : modulo(m) {
    if (0 < k && k < n) {
      left = make(n - 1, k - 1, m);
      right = make(n - 1, k, m);
    } else if (k == 0 || k == n) {
      left = stook::Const(0L);
      right = stook::Const(1L);
    } else {
      throw std::invalid_argument("ChooseModulo: k out of range");
    }
    if (m < 2 || m > std::numeric_limits<int>::max()) {
      throw std::invalid_argument("ChooseModulo: modulo out of range");
    }
  }
  long run_task() { return (*left + *right) % modulo; }
};

struct MainArgs {
  int n = 60;
  int k = 30;
  long modulo = 0;  // 0: none
};

struct Main : stook::Task<Main, void(MainArgs)> {
  stook::Future<long> answer;

  explicit Main(const MainArgs& args) {
    if (args.modulo == 0) {
      answer = Choose::make(args.n, args.k);
    } else {
      answer = ChooseModulo::make(args.n, args.k, args.modulo);
    }
  }
  void run_task() { std::cout << *answer << '\n'; }
};

int main(int argc, char** argv) { return Main::cli(argc, argv); }
