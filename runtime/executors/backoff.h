// backoff.h - how long to wait before what has failed is tried again: doubling, bounded.
// A value; knows no clock.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

namespace stook::detail {

class Backoff {
 public:
  using Duration = std::chrono::milliseconds;
  Backoff(Duration first, Duration most) : first_(first), most_(most), next_(first) {}

  // It has failed once more. How long to wait now.
  [[nodiscard]] Duration failed() { return std::exchange(next_, std::min(next_ * 2, most_)); }
  void succeeded() { next_ = first_; }

 private:
  Duration first_;
  Duration most_;
  Duration next_;
};

}  // namespace stook::detail
