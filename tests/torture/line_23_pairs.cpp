// Line 23: two processes do one thing each to a cache. The one is stopped at a system call, the
// other does all of its own (as far as it needs not wait for the first), then the first goes on, or
// is killed. What is there afterwards is what one after the other would have left; nothing is
// executed for nothing, no value is made of what is not there, no directory is another result's.
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <map>
#include <random>
#include <set>

#include "tests/torture/line.h"
#include "tests/torture/pair_draw.h"
#include "tests/torture/sample.h"
#include "tests/torture/shared_value.h"
#include "tests/torture/tracer.h"

namespace stook::torture {
namespace {

namespace fs = std::filesystem;

using Allowed = std::array<std::set<char>, kPairTasks>;
enum Tasks : std::uint8_t { source, noise, middle, output };

// Where something is left, and at locks.
bool is_lasting(const Call& call) { return leaves_something(call) || call.number == SYS_fcntl; }

// Works in a directory of its own, which is the working directory.
class Pairs {
 public:
  Pairs(Line& line, fs::path prepared) : line_(line), prepared_(std::move(prepared)) {}

  [[nodiscard]] Draw draw(std::mt19937_64& random);
  void check(const Draw& draw);

 private:
  struct Size {
    std::uint64_t all = 0, lasting = 0;
    int milliseconds = 0;
  };
  struct Looked {
    Makers makers{};
    std::string fault;
  };
  using Order = std::vector<std::pair<Maker, int>>;  // whose step

  void prepare();
  const Size& size_of(const PairOperation& operation);
  const Allowed& allowed(const Draw& draw);
  void add_orders(const Draw& draw, std::size_t first_steps, std::size_t second_steps,
                  Allowed& allowed);
  Looked after(const Order& order, const Draw& draw);
  Looked look(const Draw& draw, bool without_index);
  void start_keeper();
  void end_keeper();
  std::string run_both(const Draw& draw);
  std::string look_after(const Draw& draw);
  std::string look_into_bundles();
  void violation(const Draw& draw, const std::string& what) {
    line_.violation(to_text(draw) + ": " + what);
  }

  Line& line_;
  const fs::path prepared_;
  std::map<std::string, Size> sizes_;
  std::map<std::string, Allowed> allowed_;
  pid_t keeper_ = 0;
  SharedValue<Told> told_a_, told_b_, told_;
};

void Pairs::prepare() {
  copy_cache(prepared_ / "cache", "cache");
  for (const char* bundle : {"exported.a", "exported.b"}) fs::remove(bundle);
  for (const char* name : {"input", "bundle"}) {
    fs::remove(name);
    fs::create_hard_link(prepared_ / name, name);  // with its times; replaced and never changed
  }
}

const Pairs::Size& Pairs::size_of(const PairOperation& operation) {
  const auto [at, is_new] = sizes_.try_emplace(operation.name);
  if (!is_new) return at->second;
  prepare();
  Size& size = at->second;
  (void)trace(
      [&] {
        perform_pair(operation, 'a', *told_a_);
        return 0;
      },
      [&](const Call& call) {
        ++size.all;
        size.lasting += is_lasting(call);
        return torture::Order{};
      });
  prepare();
  const auto begin = std::chrono::steady_clock::now();
  (void)run_child([&] {
    perform_pair(operation, 'b', *told_b_);
    return 0;
  });
  size.milliseconds = static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                           std::chrono::steady_clock::now() - begin)
                                           .count());
  return size;
}

Pairs::Looked Pairs::look(const Draw& draw, bool without_index) {
  Look how;
  how.all_kept = !draw.first->spares_the_used && !draw.second->spares_the_used;
  how.settled_first = draw.killed && keeper_ != 0;
  if (without_index) {
    for (const char* name : {"index.sqlite", "index.sqlite-wal", "index.sqlite-shm"}) {
      fs::remove(fs::path("cache") / name);
    }
  }
  *told_ = Told();
  const Ending ending = run_child([&] {
    (void)look_at_pair("cache", how, *told_);
    return 0;
  });
  Looked looked;
  if (told_->status == 0) {
    std::copy_n(told_->text.data(), kPairTasks, looked.makers.begin());
  } else if (told_->status == 1) {
    looked.fault = told_->text.data();
  } else {
    looked.fault = ending.signal == kHungSignal ? "looking hangs" : "looking crashes";
  }
  return looked;
}

Pairs::Looked Pairs::after(const Order& order, const Draw& draw) {
  prepare();
  for (const auto& [by, step] : order) {
    *told_ = Told();
    const PairOperation& operation = by == 'a' ? *draw.first : *draw.second;
    (void)run_child([&, by = by, step = step] {
      perform_pair(operation, by, *told_, step);
      return 0;
    });
    const bool dead = operation.dies && step + 1 == static_cast<int>(operation.steps.size());
    if (told_->status != 0 && !dead) {
      return {{}, operation.name + " fails by itself: " + told_->text.data()};
    }
  }
  return look(draw, draw.without_index);
}

// Every way to do so many steps of both one after the other.
void Pairs::add_orders(const Draw& draw, std::size_t first_steps, std::size_t second_steps,
                       Allowed& allowed) {
  const std::size_t all = first_steps + second_steps;
  for (unsigned mask = 0; mask < (1u << all); ++mask) {
    if (static_cast<std::size_t>(__builtin_popcount(mask)) != second_steps) continue;
    Order order;
    int a = 0, b = 0;
    for (std::size_t i = 0; i < all; ++i) {
      if ((mask >> i & 1) != 0) {
        order.emplace_back('b', b++);
      } else {
        order.emplace_back('a', a++);
      }
    }
    const Looked looked = after(order, draw);
    if (!looked.fault.empty()) violation(draw, "one after the other: " + looked.fault);
    for (std::size_t i = 0; i < kPairTasks; ++i) allowed[i].insert(looked.makers[i]);
  }
}

const Allowed& Pairs::allowed(const Draw& draw) {
  const std::string name = draw.first->name + "|" + draw.second->name + (draw.killed ? "|k" : "") +
                           (draw.without_index ? "|i" : "");
  const auto [at, is_new] = allowed_.try_emplace(name);
  Allowed& allowed = at->second;
  if (!is_new) return allowed;
  const std::size_t first = draw.first->steps.size(), second = draw.second->steps.size();
  for (std::size_t i = draw.killed || draw.first->spares_the_used ? 0 : first; i <= first; ++i) {
    for (std::size_t j = draw.second->spares_the_used ? 0 : second; j <= second; ++j) {
      add_orders(draw, i, j, allowed);
    }
  }
  // Of two that run, each may make any. What one has begun to make of what the other has replaced
  // meanwhile is made again; so is what a dead one has not come to.
  const bool unfinished = draw.killed || draw.first->dies || draw.second->dies;
  if (unfinished || (draw.first->changes && draw.second->changes)) {
    allowed[middle].insert({'9', 'a', 'b'});
    allowed[output].insert({'9', 'a', 'b'});
  }
  // And what was made while its input changed.
  const bool moving = draw.first->changes && draw.second->changes &&
                      (draw.first->moves_input || draw.second->moves_input);
  if (unfinished || moving) allowed[source].insert('9');
  // An import leaves out what is being executed, and what was begun before a clear is cleared.
  const auto imports = [](const PairOperation& one) { return one.name.ends_with("import"); };
  if (draw.first->changes && draw.second->changes &&
      (imports(*draw.first) || imports(*draw.second)))
    for (auto& makers : allowed) makers.insert('9');
  return allowed;
}

void Pairs::end_keeper() {
  if (keeper_ == 0) return;
  kill(keeper_, SIGKILL);
  (void)waitpid(keeper_, nullptr, 0);
  keeper_ = 0;
}

void Pairs::start_keeper() {
  SharedValue<Told> ready;
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("no pipe");
  keeper_ = start_child([&] {
    const PairOperation nothing{"keep", {[&](Cache&) {
                                  close(ends[0]);
                                  close(ends[1]);
                                  pause();
                                }}};
    perform_pair(nothing, 'k', *ready);
    return 0;
  });
  close(ends[1]);
  char none = 0;
  (void)!read(ends[0], &none, 1);
  close(ends[0]);
}

// What is wrong; or "=" and who made what; or nothing, where the first one ended before its stop.
std::string Pairs::run_both(const Draw& draw) {
  *told_a_ = *told_b_ = Told();
  std::uint64_t stop = 0;
  pid_t other = 0;
  const int patience = std::max(40, 4 * size_of(*draw.second).milliseconds);
  prepare();
  if (draw.keeper != Keeper::none) start_keeper();
  const Ending ending = trace(
      [&] {
        perform_pair(*draw.first, 'a', *told_a_);
        return 0;
      },
      [&](const Call& call) -> torture::Order {
        if (draw.lasting && !is_lasting(call)) return {};
        if (other != 0 || stop++ != draw.stop) return {};
        other = start_child([&] {
          perform_pair(*draw.second, 'b', *told_b_);
          return 0;
        });
        (void)ends_within(other, patience);  // it may be waiting for the first
        return {draw.killed ? Verdict::kill : Verdict::go, 0};
      });
  if (other != 0) {
    int status = 0;
    (void)waitpid(other, &status, 0);  // or it has been seen to end already
  }
  if (draw.keeper == Keeper::meanwhile) end_keeper();
  std::string fault;
  if (other != 0 && told_b_->status != 0 && !draw.second->dies) {
    fault = "the second " + (told_b_->status == 1 ? std::string("fails: ") + told_b_->text.data()
                                                  : std::string("crashes or hangs"));
  }
  if (!ending.killed && told_a_->status != 0 && !draw.first->dies) {
    fault += "the first " + (told_a_->status == 1 ? std::string("fails: ") + told_a_->text.data()
                                                  : "ends by " + std::to_string(ending.signal));
  }
  if (other != 0 && fault.empty()) fault = look_after(draw);
  end_keeper();
  return fault;
}

std::string Pairs::look_after(const Draw& draw) {
  const Looked looked = look(draw, draw.without_index);
  end_keeper();
  if (!looked.fault.empty()) return looked.fault;
  if (const std::string fault = look_into_bundles(); !fault.empty()) return fault;
  const Makers makers = looked.makers;
  const std::string shown = "=" + std::string(makers.begin(), makers.end());
  // What an eviction has written and not told the index counts for who has no index.
  if (draw.first->spares_the_used || draw.second->spares_the_used) return shown;
  const Looked again = look(draw, true);
  if (!again.fault.empty()) return "then, of the packs alone: " + again.fault;
  // What somebody has written who died before he could say how much is found by who comes next and
  // is alone; the keeper has been there all the time.
  if (draw.killed && draw.keeper == Keeper::longer) return shown;
  if (again.makers != makers) {
    return "it shows " + std::string(makers.begin(), makers.end()) + " and of the packs alone " +
           std::string(again.makers.begin(), again.makers.end());
  }
  return shown;
}

// What was exported can be taken in elsewhere, and is as whole there.
std::string Pairs::look_into_bundles() {
  for (const char* bundle : {"exported.a", "exported.b"}) {
    if (!fs::exists(bundle)) continue;
    fs::remove_all("elsewhere");
    *told_ = Told();
    (void)run_child([&] {
      look_at_bundle(bundle, "elsewhere", *told_);
      return 0;
    });
    if (told_->status != 0) return std::string(bundle) + " elsewhere: " + told_->text.data();
  }
  return {};
}

void Pairs::check(const Draw& draw) {
  const std::string seen = run_both(draw);
  if (seen.empty()) return;
  if (seen[0] != '=') return violation(draw, seen);
  const Allowed& may = allowed(draw);
  for (std::size_t i = 0; i < kPairTasks; ++i) {
    if (may[i].contains(seen[i + 1])) continue;
    std::string text;
    for (const auto& set : may) text += std::string(set.begin(), set.end()) + " ";
    return violation(draw, "it shows " + seen.substr(1) + ", and may show " + text);
  }
}

Draw Pairs::draw(std::mt19937_64& random) {
  const auto& operations = pair_operations();
  const auto below = [&](std::uint64_t n) { return random() % n; };
  Draw draw;
  draw.first = &operations[below(operations.size())];
  draw.second = &operations[below(operations.size())];
  const Size& size = size_of(*draw.first);
  draw.lasting = below(3) != 0;
  draw.stop = below(draw.lasting ? size.lasting : size.all);
  draw.killed = below(4) == 0;
  draw.without_index = below(4) == 0;
  if (below(2) == 0)
    draw.keeper = below(2) == 0 || draw.without_index ? Keeper::meanwhile : Keeper::longer;
  return draw;
}

int run(Line& line) {
  if (const std::string why = why_no_tracing(); !why.empty()) line.skip(why);
  const fs::path prepared = line.directory() / "prepared";
  fs::create_directory(prepared);
  fs::current_path(prepared);
  make_pair_cache();
  const std::uint64_t wanted = line.nightly() ? 20'000 : 100;
  const std::uint64_t done = line.in_slices(kSlices, [&](int slice) {
    const fs::path place = line.directory() / ("slice" + std::to_string(slice));
    fs::create_directory(place);
    fs::current_path(place);
    std::mt19937_64 random(line.seed() * kSlices + static_cast<std::uint64_t>(slice));
    Pairs pairs(line, prepared);
    for (std::uint64_t i = 0; i < wanted / kSlices; ++i) {
      pairs.check(line.only().empty() ? pairs.draw(random) : to_draw(line.only()));
    }
    return wanted / kSlices;
  });
  fs::current_path("/");
  return line.finish("pairs of processes in one cache: " + std::to_string(done));
}

}  // namespace
}  // namespace stook::torture

int main(int argc, char** argv) {
  stook::torture::Line line(argc, argv);
  return stook::torture::run(line);
}
