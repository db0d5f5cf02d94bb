// support.h - what the tests of cache/ share: a directory that goes away, and short ways to
// publish.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cache/open.h"
#include "src/hash.h"
#include "src/store.h"

#include <stook/errors.hpp>

namespace stook::detail {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    static std::atomic<int> counter{0};
    path_ = std::filesystem::temp_directory_path() /
            ("stook-cache-" + std::to_string(getpid()) + "-" + std::to_string(++counter));
    std::filesystem::remove_all(path_);
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline Key key_of(std::string_view name) { return Key{hash_bytes(name)}; }
inline Digest digest_of(std::string_view value) { return Digest{hash_bytes(value)}; }
inline ByteSpan bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Does it in another process, which then dies with what it holds: nothing is closed that outlives
// `body`, and `body` may end with _exit(0) itself.
inline void in_dying_process(const std::function<void()>& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    try {
      body();
    } catch (...) { _exit(1); }
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// A store whose warnings are collected instead of printed.
struct TestStore {
  explicit TestStore(const std::filesystem::path& path, StoreOptions options = {}) {
    options.warn = [this](std::string_view line) { warnings.emplace_back(line); };
    store = open_store(path, options);
  }
  explicit TestStore(std::unique_ptr<Store> given) : store(std::move(given)) {}
  Store* operator->() const { return store.get(); }

  Entry publish(std::string_view name, std::string_view value,
                const std::vector<UpstreamSeen>& upstream = {}, std::string_view type = "Task",
                std::uint32_t version = 0, RecordKind kind = RecordKind::result) {
    const ByteSpan piece = bytes_of(value);
    Publication p;
    p.key = key_of(name);
    p.id = store->id_of(p.key);
    p.kind = kind;
    p.class_name = type;
    p.version = version;
    p.arguments = name;
    p.upstream = upstream;
    p.digest = digest_of(value);
    p.codec = "text";
    p.duration_ns = 1'500'000'000;
    if (kind == RecordKind::result) p.value = {&piece, 1};
    return store->publish(p);
  }
  UpstreamSeen seen(std::string_view name) { return {key_of(name), entry(name).digest}; }
  Entry entry(std::string_view name) {
    const Key key = key_of(name);
    Entry found;
    store->lookup({&key, 1}, {&found, 1});
    return found;
  }
  RecordState state(std::string_view name) { return entry(name).state; }
  // The value, or "" and a failure text in `why`.
  std::string value(std::string_view name) {
    auto payload = store->read_value(entry(name), "text");
    if (!payload) {
      why = payload.reason();
      return {};
    }
    const ByteSpan bytes = (*payload)->bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  std::vector<std::string> warnings;
  std::string why;
  std::unique_ptr<Store> store;  // last: it warns while it ends
};

// Another process, which does things one after the other when told, and then dies.
class Another {
 public:
  Another(const std::filesystem::path& cache,
          const std::vector<std::function<void(TestStore&)>>& steps) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets_), 0);
    pid_ = fork();
    close(sockets_[pid_ != 0 ? 1 : 0]);  // whoever is left alone does not wait
    if (pid_ != 0) return;
    TestStore store(cache);
    char told = 0;
    for (const auto& step : steps) {
      if (read(sockets_[1], &told, 1) != 1) _exit(1);
      step(store);
      if (write(sockets_[1], &told, 1) != 1) _exit(1);
    }
    _exit(0);  // closing nothing
  }
  ~Another() {
    int status = 0;
    close(sockets_[0]);
    if (pid_ != 0) waitpid(pid_, &status, 0);
  }
  Another(const Another&) = delete;
  Another& operator=(const Another&) = delete;

  void step() {
    char told = 0;
    EXPECT_EQ(send(sockets_[0], &told, 1, MSG_NOSIGNAL), 1);
    EXPECT_EQ(read(sockets_[0], &told, 1), 1);
  }
  void last_step() {
    step();
    int status = 0;
    EXPECT_GT(waitpid(std::exchange(pid_, 0), &status, 0), 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }

 private:
  int sockets_[2] = {-1, -1};
  pid_t pid_ = 0;
};

}  // namespace stook::detail
