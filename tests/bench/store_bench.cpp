// store_bench.cpp - what the store costs: publish, index, look up, open, claim.
//   store_bench DIR COUNT [UPSTREAMS]     writes CPU microseconds per operation
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "cache/open.h"
#include "src/hash.h"

using namespace stook;
using namespace stook::detail;

namespace {

double cpu() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double wall() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class Work> void measure(const char* what, std::size_t count, Work work) {
  const double cpu_before = cpu();
  const double wall_before = wall();
  work();
  const double scale = 1e6 / static_cast<double>(count);
  std::printf("%-34s %9.3f us CPU %9.3f us wall\n", what, (cpu() - cpu_before) * scale,
              (wall() - wall_before) * scale);
  std::fflush(stdout);
}

Key key_of(std::size_t i) {
  return Key{hash_bytes(std::string_view(reinterpret_cast<const char*>(&i), sizeof i))};
}

// Another hash than the key's: that would be a constant.
Digest digest_of(const Key& key) { return Digest{{key.low, key.high}}; }

void publish(Store& store, std::size_t count, std::size_t upstreams) {
  std::vector<UpstreamSeen> upstream(upstreams);
  for (std::size_t i = 0; i < count; ++i) {
    const Key key = key_of(i);
    for (std::size_t u = 0; u < upstreams; ++u) {
      const Key up = key_of(i > u ? i - u - 1 : 0);
      upstream[u] = {up, digest_of(up)};
    }
    const double value = static_cast<double>(i);
    const ByteSpan piece(reinterpret_cast<const std::byte*>(&value), sizeof value);
    Publication p;
    p.key = key;
    p.id = store.id_of(key);
    p.class_name = "Choose";
    p.arguments = "{\"n\":100,\"k\":50}";
    if (i > upstreams) p.upstream = upstream;
    p.digest = digest_of(key);
    p.codec = "f64";
    p.value = {&piece, 1};
    store.publish(p);
  }
  store.flush();
}

void lookup(Store& store, std::size_t count, std::size_t step, bool together) {
  std::vector<Key> keys;
  for (std::size_t i = 0; i < count; ++i) keys.push_back(key_of(i * step));
  std::vector<Entry> entries(keys.size());
  if (together) return store.lookup(keys, entries);
  for (std::size_t i = 0; i < count; ++i) store.lookup({&keys[i], 1}, {&entries[i], 1});
}

void large(const std::filesystem::path& dir) {
  constexpr std::size_t kSize = std::size_t{1} << 30;
  std::vector<double> value(kSize / sizeof(double), 1.5);
  const ByteSpan piece(reinterpret_cast<const std::byte*>(value.data()), kSize);
  auto store = open_store(dir / "large");
  Publication p;
  p.key = key_of(0);
  p.id = store->id_of(p.key);
  p.class_name = "Large";
  p.codec = "vec<f64>";
  p.value = {&piece, 1};
  p.compress_level = 0;
  p.digest = digest_of(p.key);
  Entry entry;
  measure("publish 1 GiB, level 0", 1, [&] { entry = store->publish(p); });
  measure("plain write of 1 GiB", 1, [&] {
    FILE* file = std::fopen((dir / "plain").c_str(), "wb");
    std::setvbuf(file, nullptr, _IONBF, 0);
    if (std::fwrite(piece.data(), 1, kSize, file) != kSize) std::abort();
    std::fclose(file);
  });
  store->flush();
  measure("read_value 1 GiB", 1, [&] {
    if (!store->read_value(entry, "vec<f64>")) std::abort();
  });
  measure("plain read of 1 GiB", 1, [&] {
    std::vector<char> to(kSize);
    FILE* file = std::fopen((dir / "plain").c_str(), "rb");
    std::setvbuf(file, nullptr, _IONBF, 0);
    if (std::fread(to.data(), 1, kSize, file) != kSize) std::abort();
    std::fclose(file);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path dir = argc > 1 ? argv[1] : "/tmp/stook-bench";
  const std::size_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100'000;
  const std::size_t upstreams = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  measure("create an empty cache", 1, [&] { (void)open_store(dir / "c"); });
  measure("open an empty cache", 1, [&] { (void)open_store(dir / "c"); });
  {
    auto store = open_store(dir / "c");
    measure("publish + index (flush), each", count, [&] { publish(*store, count, upstreams); });
    constexpr std::size_t kClaims = 1'000'000;
    Entry entry;
    measure("claim + release, each", kClaims, [&] {
      for (std::size_t i = 0; i < kClaims; ++i) {
        (void)store->claim(key_of(i % count), entry);
        store->release(key_of(i % count));
      }
    });
  }
  for (int i = 0; i < 3; ++i) {
    measure("open", 1, [&] { (void)open_store(dir / "c"); });
  }
  measure("open + look up the root", 1, [&] { lookup(*open_store(dir / "c"), 1, 1, false); });
  auto store = open_store(dir / "c");
  const std::size_t few = std::min<std::size_t>(900, count / 20);
  measure("look up one by one (few)", few, [&] { lookup(*store, few, count / few, false); });
  store = open_store(dir / "c");
  measure("look up together (few)", few, [&] { lookup(*store, few, count / few, true); });
  store = open_store(dir / "c");
  measure("look up one by one (all)", count, [&] { lookup(*store, count, 1, false); });
  store = open_store(dir / "c");
  measure("look up together (all)", count, [&] { lookup(*store, count, 1, true); });
  measure("... again", count, [&] { lookup(*store, count, 1, true); });
  measure("clear the first", 1, [&] {
    const auto done = store->clear(key_of(0));
    std::printf("  %zu suspected\n", done.suspected);
  });
  store.reset();
  std::filesystem::remove(dir / "c" / "index.sqlite");
  measure("open, rebuilding the index", 1, [&] { (void)open_store(dir / "c"); });
  if (argc > 4) large(dir);
  std::filesystem::remove_all(dir);
}
