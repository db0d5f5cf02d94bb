#pragma once
#include <stook/stook.hpp>

class Twice : public stook::Task<Twice, long(long)> {
 public:
  explicit Twice(long n) : n_(n) {}
  long run_task();

 private:
  long n_;
};
