// pack_store.h - the Store of cache/: packs are the log, the index its checkpoint.
// Unaware of tasks. Thread-safe. Design: cache/README.md
#pragma once

#include <atomic>
#include <memory>
#include <shared_mutex>

#include "cache/class_names.h"
#include "cache/indexer.h"
#include "cache/layout.h"
#include "cache/objects.h"
#include "cache/open.h"
#include "cache/pack_writer.h"
#include "cache/packs.h"
#include "cache/shared.h"
#include "cache/view.h"

namespace stook::detail {

class PackStore : public Store {
 public:
  PackStore(const std::filesystem::path& directory, const StoreOptions& options);
  ~PackStore() override;

  const std::filesystem::path& root() const override { return layout_.root; }
  void lookup(std::span<const Key> keys, std::span<Entry> entries) override;
  Result<Record> read_record(const Entry& entry) override;
  Result<std::unique_ptr<Payload>> read_value(const Entry& entry, std::string_view codec) override;
  std::optional<Key> key_of(std::uint64_t id) override;
  void for_each(std::string_view pattern,
                const std::function<bool(const Key&, const Entry&)>& visit) override;
  std::vector<ClassHistory> history() override;

  std::uint64_t id_of(const Key& key) override;
  void expose_id(const Key& key, std::uint64_t id, std::string_view class_name) override;
  std::uint64_t show_id(const Key& key, std::string_view class_name) override;
  Entry publish(const Publication& publication) override;
  void make_readable(const Entry& entry) override;
  void make_durable(const Entry& entry) override;
  void confirm(std::span<const Key> keys) override;
  void sync() override;
  void tell_index() override;
  void flush() override;

  Invalidated clear(const Key& key) override;
  Invalidated clear_class(std::string_view class_name) override;
  void mark_damaged(const Key& key, const Entry& entry, std::string_view reason) override;
  Invalidated check_versions(std::span<const ClassVersion> classes) override;
  std::vector<External> externals() override;
  std::uint64_t written_by_others() override;
  Invalidated update_external(const Key& key, std::string_view fingerprint,
                              const Digest& digest) override;

  Claim claim(const Key& key, Entry& entry, std::span<const Key> reads) override;
  bool is_executed(const Key& key) override;
  void release(const Key& key) override;
  void end_claim(const Key& key) override;
  std::uint64_t wait_for_release(std::uint64_t since, std::chrono::milliseconds timeout) override;

  std::filesystem::path task_path(std::string_view class_name, std::uint64_t id) const override;

  // --- For maintain.h
  const Layout& layout() const { return layout_; }
  Shared& shared() { return shared_; }
  Packs& packs() { return packs_; }
  Objects& objects() { return objects_; }
  Indexer& indexer() { return *indexer_; }
  View& view() { return view_; }
  ClassNames& names() { return names_; }
  const Warn& warn() const { return warn_; }
  [[nodiscard]] std::uint32_t own_pack() const { return writer_->pack(); }
  void note_use();
  // While it is held no object is begun here. Not owned: one is being made.
  [[nodiscard]] std::unique_lock<std::shared_mutex> stop_objects() {
    return std::unique_lock(making_, std::try_to_lock);
  }

 private:
  void recover();
  void keep_ids_of_the_dead();
  void join();
  Entry append(Frame& frame, const Publication& publication, std::span<const ByteSpan> value,
               ItemKind kind, std::span<const Key> release);
  void note_own(const Item& item, std::uint64_t change);
  void take_stored(const StoredValue& stored, Frame& frame);
  Entry look_at_claimed(const Key& key, const Entry& before, bool& is_new);
  std::uint64_t show_claimed(const Key& key, std::string_view class_name);
  void append_mark(FrameKind kind, const Key& key, std::string_view class_name);
  Invalidated invalidate(const std::function<void(Indexer::Transaction&)>& append);
  void index_failed(const DatabaseError& error);  // throws what is no damage
  [[nodiscard]] static Entry unknown();           // while the index is damaged
  Result<OwnedFrame> read_frame(const Entry& entry, Packs::Part part);

  const Warn warn_;
  const bool durability_full_;
  const Layout layout_;
  Shared shared_;
  Packs packs_;
  Objects objects_;
  std::shared_mutex making_;  // shared: an object is made that no record names; or a claim
  ClassNames names_;
  View view_;
  std::unique_ptr<PackWriter> writer_;
  std::unique_ptr<Indexer> indexer_;  // ends before the writer
  std::atomic<bool> index_failed_{false};
  std::atomic<std::uint64_t> unsure_{0};          // times that nobody knew, in written_by_others()
  std::atomic<std::uint64_t> checked_length_{0};  // of the others' packs, at check_versions()
};

// The frame of a record, but for what encoding it adds.
[[nodiscard]] Frame frame_of(const Publication& publication);

// Does a class name match a glob pattern? Empty matches all.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view name);

}  // namespace stook::detail
