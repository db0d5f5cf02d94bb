// memory_store.h - a Store in memory, for tests of whatever runs on top of one. Nothing survives
// it. Follows the state table of cache/README.md; simple rather than fast. Thread-safe.
#pragma once

#include <fnmatch.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "src/store.h"

namespace stook::detail {

class MemoryStore final : public Store {
  // First, for its type is deduced.
  template <class Work> auto locked(Work work) const {
    const std::lock_guard lock(mutex_);
    return work();
  }

 public:
  explicit MemoryStore(std::filesystem::path root = "/nonexistent/cache")
      : root_(std::move(root)) {}

  // What a test wants to look at.
  std::vector<std::string> log() const {
    return locked([&] { return log_; });
  }
  std::size_t publications() const {
    return locked([&] { return publications_; });
  }
  std::size_t syncs() const {
    return locked([&] { return syncs_; });
  }
  // The value of the key can no longer be read, as if its bytes were damaged.
  void damage_value(const Key& key) {
    locked([&] { items_[key].damaged = true; });
  }

  const std::filesystem::path& root() const override { return root_; }

  void lookup(std::span<const Key> keys, std::span<Entry> entries) override {
    locked([&] {
      for (std::size_t i = 0; i < keys.size(); ++i) entries[i] = entry_of(keys[i]);
    });
  }

  Result<Record> read_record(const Entry& entry) override {
    return locked([&]() -> Result<Record> {
      const Item* item = by_place(entry);
      if (item == nullptr) return Failed{"there is no such record"};
      return item->record;
    });
  }

  Result<std::unique_ptr<Payload>> read_value(const Entry& entry, std::string_view codec) override {
    return locked([&]() -> Result<std::unique_ptr<Payload>> {
      const Item* item = by_place(entry);
      if (item == nullptr || item->record.kind != RecordKind::result) {
        return Failed{"there is no such value"};
      }
      if (item->damaged) return Failed{"its checksum does not hold"};
      if (item->record.codec != codec) return Failed{"its encoding is another one"};
      return std::unique_ptr<Payload>(std::make_unique<Bytes>(item->value));
    });
  }

  std::optional<Key> key_of(std::uint64_t id) override {
    return locked([&]() -> std::optional<Key> {
      for (const auto& [key, item] : items_) {
        if (item.entry.id == id) return key;
      }
      return {};
    });
  }

  void for_each(std::string_view pattern,
                const std::function<bool(const Key&, const Entry&)>& visit) override {
    std::map<std::uint64_t, std::pair<Key, Entry>> found;  // in the order of publication
    locked([&] {
      for (const auto& [key, item] : items_) {
        if (item.entry.pack != 0 && matches(pattern, item.record.class_name)) {
          found[item.entry.offset] = {key, item.entry};
        }
      }
    });
    for (const auto& [offset, pair] : found) {
      if (!visit(pair.first, pair.second)) return;
    }
  }

  std::vector<ClassHistory> history() override {
    return locked([&] {
      std::vector<ClassHistory> all;
      for (const auto& [name, history] : history_) all.push_back(history);
      return all;
    });
  }

  std::uint64_t id_of(const Key& key) override {
    return locked([&] { return give_id(items_[key]); });
  }

  void expose_id(const Key& key, std::uint64_t id, std::string_view class_name) override {
    locked([&] {
      items_[key].entry.id = id;
      items_[key].record.class_name = class_name;
    });
  }

  std::uint64_t show_id(const Key& key, std::string_view class_name) override {
    const std::uint64_t id = id_of(key);
    expose_id(key, id, class_name);
    return id;
  }

  Entry publish(const Publication& publication) override {
    return locked([&] {
      Item& item = items_[publication.key];
      const bool other_digest = item.entry.pack != 0 && item.entry.digest != publication.digest;
      fill(item, publication);
      log_.push_back("publish " + item.record.class_name);
      ++publications_;
      if (other_digest) suspect_dependents(publication.key, Doubt::upstream_changed);
      if (!settle(item)) suspect_dependents(publication.key, Doubt::upstream_changed);
      if (!publication.keeps_claim) claim_ends(publication.key);
      return item.entry;
    });
  }

  void confirm(std::span<const Key> keys) override {
    locked([&] {
      for (const Key& key : keys) {
        Item& item = items_[key];
        if (item.entry.state != RecordState::suspect) continue;
        item.entry.state = RecordState::fresh;
        item.entry.doubt = Doubt::none;
        item.entry.cause = 0;
        settle(item);
        log_.push_back("confirm " + item.record.class_name);
      }
    });
  }

  void make_readable(const Entry&) override {}
  void make_durable(const Entry&) override {}
  void sync() override {
    locked([&] { ++syncs_; });
  }
  void tell_index() override {}
  void flush() override { sync(); }

  Invalidated clear(const Key& key) override {
    return locked([&] {
      Invalidated done;
      if (items_.contains(key)) clear_items({key}, done);
      return done;
    });
  }

  Invalidated clear_class(std::string_view class_name) override {
    return locked([&] {
      Invalidated done;
      std::vector<Key> keys;
      for (const auto& [key, item] : items_) {
        if (item.record.class_name == class_name) keys.push_back(key);
      }
      clear_items(keys, done);
      return done;
    });
  }

  void mark_damaged(const Key& key, const Entry&, std::string_view reason) override {
    locked([&] {
      items_[key].entry.state = RecordState::missing;
      items_[key].entry.doubt = Doubt::damaged;
      log_.push_back("damaged " + std::string(reason));
    });
  }

  Invalidated check_versions(std::span<const ClassVersion> classes) override {
    return locked([&] {
      Invalidated done;
      for (const ClassVersion& type : classes) {
        for (const auto& [key, item] : items_) {
          if (item.entry.pack == 0 || item.record.class_name != type.name) continue;
          if (item.record.version == type.version) continue;
          done.suspected += suspect_dependents(key, Doubt::version_changed);
        }
      }
      return done;
    });
  }

  std::uint64_t written_by_others() override { return 0; }
  std::vector<External> externals() override {
    return locked([&] {
      std::vector<External> all;
      for (const auto& [key, item] : items_) {
        if (item.record.kind != RecordKind::external) continue;
        if (item.entry.state == RecordState::missing) continue;
        all.push_back({key, item.entry.id, item.record.class_name, item.record.arguments,
                       item.record.codec, item.entry.digest});
      }
      return all;
    });
  }

  Invalidated update_external(const Key& key, std::string_view fingerprint,
                              const Digest& digest) override {
    return locked([&] {
      Invalidated done;
      const auto found = items_.find(key);
      if (found == items_.end() || found->second.record.kind != RecordKind::external) return done;
      Item& item = found->second;
      item.record.codec = fingerprint;
      if (item.entry.digest == digest) return done;
      item.entry.digest = item.record.digest = digest;
      done.suspected = suspect_dependents(key, Doubt::upstream_changed);
      return done;
    });
  }

  Claim claim(const Key& key, Entry& entry, std::span<const Key> reads = {}) override {
    return locked([&] {
      if (claims_.contains(key)) return Claim::held;
      for (const auto& [other, read] : claims_) {
        const auto is_in_the_way = [&](const Key& one) { return one == key; };
        if (entry_of(key).has_directory && std::any_of(read.begin(), read.end(), is_in_the_way)) {
          return Claim::held;
        }
      }
      for (const Key& one : reads) {
        if (claims_.contains(one) && entry_of(one).has_directory) return Claim::held;
      }
      Entry now = entry_of(key);
      const bool published = now.state == RecordState::fresh &&
                             (entry.state != RecordState::fresh || entry.offset != now.offset);
      if (!published) now.id = give_id(items_[key]);
      entry = now;
      if (published) return Claim::published;
      claims_.emplace(key, std::vector<Key>(reads.begin(), reads.end()));
      return Claim::acquired;
    });
  }

  bool is_executed(const Key&) override { return false; }

  void release(const Key& key) override {
    locked([&] { claim_ends(key); });
  }
  void end_claim(const Key& key) override { release(key); }

  std::uint64_t wait_for_release(std::uint64_t since, std::chrono::milliseconds timeout) override {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, timeout, [&] { return released_ != since; });
    return released_;
  }

  std::filesystem::path task_path(std::string_view class_name, std::uint64_t id) const override {
    return root_ / "tasks" / class_name / std::to_string(id);
  }

 private:
  struct Item {
    Entry entry;
    Record record;
    std::vector<std::byte> value;
    bool damaged = false;
  };

  struct Bytes final : Payload {
    explicit Bytes(std::vector<std::byte> given) : value(std::move(given)) {}
    ByteSpan bytes() const override { return value; }
    std::vector<std::byte> value;
  };

  static bool matches(std::string_view pattern, const std::string& name) {
    return pattern.empty() || fnmatch(std::string(pattern).c_str(), name.c_str(), 0) == 0;
  }

  Entry entry_of(const Key& key) const {
    const auto found = items_.find(key);
    return found == items_.end() ? Entry{} : found->second.entry;
  }

  const Item* by_place(const Entry& entry) const {
    for (const auto& [key, item] : items_) {
      if (entry.pack != 0 && item.entry.pack == entry.pack && item.entry.offset == entry.offset) {
        return &item;
      }
    }
    return nullptr;
  }

  std::uint64_t give_id(Item& item) {
    if (item.entry.id == 0) item.entry.id = ++last_id_;
    return item.entry.id;
  }

  void fill(Item& item, const Publication& p) {
    item.record = {p.key,
                   p.id,
                   p.kind,
                   std::string(p.class_name),
                   p.version,
                   std::string(p.arguments),
                   {p.upstream.begin(), p.upstream.end()},
                   p.digest,
                   p.directory,
                   std::string(p.codec),
                   p.started_ns,
                   p.duration_ns,
                   p.run,
                   0,
                   0,
                   "memory",
                   "memory",
                   0};
    item.value.clear();
    item.damaged = false;
    for (const ByteSpan& piece : p.value) {
      item.value.insert(item.value.end(), piece.begin(), piece.end());
    }
    item.record.raw_bytes = item.record.stored_bytes = item.value.size();
    const std::uint64_t id = item.entry.id != 0 ? item.entry.id : p.id;
    const bool kept = p.kind != RecordKind::transient;
    const double seconds = static_cast<double>(p.duration_ns) * 1e-9;
    item.entry = {id,
                  kept ? RecordState::fresh : RecordState::missing,
                  kept ? Doubt::none : Doubt::not_kept,
                  !p.directory.is_zero(),
                  true,
                  0,
                  p.digest,
                  1,
                  ++last_offset_,
                  static_cast<float>(seconds)};
    if (p.kind == RecordKind::external) return;
    ClassHistory& history = history_[item.record.class_name];
    history.name = item.record.class_name;
    ++history.records;
    history.seconds += seconds;
  }

  // What was made of something that was cleared or replaced since is not fresh.
  bool settle(Item& item) {
    for (const UpstreamSeen& seen : item.record.upstream) {
      if (is_constant(seen)) continue;
      Item& up = items_[seen.key];
      const bool good =
          up.entry.digest == seen.digest &&
          (up.entry.state == RecordState::fresh ||
           (up.entry.state == RecordState::missing && up.entry.doubt == Doubt::not_kept));
      if (good) continue;
      if (item.entry.state == RecordState::fresh) item.entry.state = RecordState::suspect;
      item.entry.doubt = Doubt::upstream_changed;
      item.entry.cause = give_id(up);
      return false;
    }
    return true;
  }

  std::size_t suspect_dependents(const Key& of, Doubt doubt) {
    std::size_t count = 0;
    std::set<Key> passed;
    std::vector<Key> work{of};
    const std::uint64_t cause = entry_of(of).id;
    while (!work.empty()) {
      const Key up = work.back();
      work.pop_back();
      for (auto& [key, item] : items_) {
        if (item.entry.state == RecordState::suspect || !has_upstream(item, up)) continue;
        const bool fresh = item.entry.state == RecordState::fresh;
        if (!fresh && !passed.insert(key).second) continue;
        if (fresh || item.entry.doubt == Doubt::not_kept) {
          item.entry.doubt = doubt;
          item.entry.cause = cause;
        }
        if (fresh) {
          item.entry.state = RecordState::suspect;
          ++count;
        }
        work.push_back(key);
      }
    }
    return count;
  }

  static bool has_upstream(const Item& item, const Key& key) {
    for (const UpstreamSeen& seen : item.record.upstream) {
      if (seen.key == key) return true;
    }
    return false;
  }

  void clear_items(const std::vector<Key>& keys, Invalidated& done) {
    for (const Key& key : keys) {
      Item& item = items_[key];
      if (item.entry.state != RecordState::missing) ++done.removed;
      item.entry.state = RecordState::missing;
      item.entry.cause = 0;
      if (item.entry.pack != 0) item.entry.doubt = Doubt::cleared;
      std::error_code ignored;
      std::filesystem::remove_all(task_path(item.record.class_name, item.entry.id), ignored);
      log_.push_back("clear " + item.record.class_name);
    }
    for (const Key& key : keys) {
      done.suspected += suspect_dependents(key, Doubt::upstream_cleared);
    }
  }

  void claim_ends(const Key& key) {
    if (claims_.erase(key) == 0) return;
    ++released_;
    changed_.notify_all();
  }

  const std::filesystem::path root_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, Item> items_;  // all below guarded by mutex_
  std::map<std::string, ClassHistory> history_;
  std::map<Key, std::vector<Key>> claims_;  // and whose directories are read
  std::vector<std::string> log_;
  std::size_t publications_ = 0;
  std::size_t syncs_ = 0;
  std::uint64_t released_ = 0;
  std::uint64_t last_id_ = 0;
  std::uint64_t last_offset_ = 0;
};

}  // namespace stook::detail
