// store.h - the seam between a run and whatever keeps results: maps keys to records.
// Unaware of C++ types, of graphs and of threads of execution. The real one is cache/, a fake for
// tests is tests/support/memory_store.h.
// Thread-safe: every member may be called from any thread. Design: cache/README.md
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/result.h"

#include <stook/errors.hpp>
#include <stook/key.hpp>

namespace stook::detail {

enum class RecordState : std::uint8_t {
  missing,  // no usable result: never there, cleared, damaged, or a record that keeps no value
  fresh,    // answers for the whole graph above it
  suspect,  // right when written; something upstream has been cleared or changed since
};

// Why a record is not fresh. For explanations only: nothing is decided by it.
enum class Doubt : std::uint8_t {
  none,
  never_ran,         // no record was ever there
  cleared,           // clear_task, clear_all_tasks, --clear
  upstream_cleared,  // `cause` was cleared
  upstream_changed,  // `cause` has another result, or an external input changed
  version_changed,   // the class of `cause` has another version in this program
  damaged,           // its record or object could not be read
  not_kept,          // Store::never
};

// What the index knows of one key.
struct Entry {
  std::uint64_t id = 0;  // the task id, unique in the cache, stable over clears; 0: none yet
  RecordState state = RecordState::missing;
  Doubt doubt = Doubt::never_ran;
  bool has_directory = false;  // the last record has one: others may be reading it
  bool known = true;           // false: the index is damaged, and what is missing may be there
  std::uint64_t cause = 0;     // the id `doubt` speaks of; 0: none
  Digest digest;               // of the last record, whatever its state
  std::uint32_t pack = 0;      // where the last record's header is; 0: nowhere
  std::uint64_t offset = 0;
  float seconds = 0;  // how long the last execution took
};

struct UpstreamSeen {
  Key key;
  Digest digest;  // the result the execution saw
};

// A constant's key names its value, so it is its digest too: it has no record, and needs none.
[[nodiscard]] inline bool is_constant(const UpstreamSeen& seen) {
  return static_cast<const Hash128&>(seen.key) == static_cast<const Hash128&>(seen.digest);
}

using ByteSpan = std::span<const std::byte>;

// External inputs (files, directories, environment variables) are records without a value.
enum class RecordKind : std::uint8_t {
  result,     // a task's result, with its value
  transient,  // a task's digest only (Store::never): its state is always missing
  external,   // the content digest of an input from outside
};

// A value as it is kept, put there by a process that has no index.
struct StoredValue {
  std::uint64_t raw_bytes = 0;     // of the encoded value
  std::uint64_t stored_bytes = 0;  // in `bytes` or in the object
  bool compressed = false;
  bool in_object = false;
  Hash128 object;                // the object's name, where in_object
  std::vector<std::byte> bytes;  // else: what a pack will hold
};

// What is known of an execution, by view: everything a pack record's header holds.
struct Publication {
  Key key;
  std::uint64_t id = 0;  // from Store::id_of; never 0
  RecordKind kind = RecordKind::result;
  std::string_view class_name;
  std::uint32_t version = 0;
  std::string_view arguments;              // canonical bytes (include/stook/canonical.hpp)
  std::span<const UpstreamSeen> upstream;  // distinct keys, order of declaration
  Digest digest;                           // the result digest
  Digest directory;                        // zero: the task did not use its directory
  std::string_view codec;       // signature of the value's encoding; external: its fingerprint
  std::int64_t started_ns = 0;  // Unix time
  std::int64_t duration_ns = 0;
  std::uint64_t run = 0;
  std::span<const ByteSpan> value;      // the encoded value, in pieces; empty for the other kinds
  int compress_level = 3;               // zstd; 0: off
  const StoredValue* stored = nullptr;  // instead of `value`: stored already
  bool keeps_claim = false;             // until end_claim(): something still has to be put right
  bool durable = false;                 // publish() returns when it survives a power failure
};

// The same, read back; owns its memory.
struct Record {
  Key key;
  std::uint64_t id = 0;
  RecordKind kind = RecordKind::result;
  std::string class_name;
  std::uint32_t version = 0;
  std::string arguments;
  std::vector<UpstreamSeen> upstream;
  Digest digest;
  Digest directory;
  std::string codec;
  std::int64_t started_ns = 0;
  std::int64_t duration_ns = 0;
  std::uint64_t run = 0;
  std::uint64_t raw_bytes = 0;     // of the encoded value
  std::uint64_t stored_bytes = 0;  // as it lies in the pack or object
  std::string host;                // of the process that wrote it
  std::string build;               // build id of its program
  std::uint64_t process = 0;
};

// An input from outside, as it was last seen.
struct External {
  Key key;
  std::uint64_t id = 0;
  std::string class_name;   // "stook::File", "stook::Directory", ...
  std::string arguments;    // canonical bytes
  std::string fingerprint;  // opaque to the store: what a cheap look at it gave
  Digest digest;
};

// The encoded value, in one piece of memory, its checksum verified.
class Payload {
 public:
  virtual ~Payload() = default;
  [[nodiscard]] virtual ByteSpan bytes() const = 0;
};

struct ClassVersion {
  std::string_view name;
  std::uint32_t version;
};

struct ClassHistory {
  std::string name;
  std::uint64_t records = 0;  // executions recorded
  double seconds = 0;         // their sum
};

struct Invalidated {
  std::size_t removed = 0;    // results that no longer answer
  std::size_t suspected = 0;  // recorded dependents that became suspect
};

enum class Claim : std::uint8_t {
  acquired,   // this run executes the key
  held,       // another run, here or in another process, is executing it, or is in its way
  published,  // somebody published it since it was looked up: `entry` has been replaced
  orphaned,   // a process that was given up, or whose driver has died, still executes it
};

// publish() could not do all that was asked, but the record is accepted: it answers here, is
// written as soon as that can be, and only then ends the claim on its key. Nobody else is to end
// it, and what belongs to the record (its directory) stays.
class AcceptedError : public CacheError {
 public:
  AcceptedError(const Key& accepted, const std::string& what) : CacheError(what), key(accepted) {}
  const Key key;
};

// Did the record of `key` get accepted before this?
[[nodiscard]] inline bool is_accepted(const std::exception& error, const Key& key) {
  const auto* const accepted = dynamic_cast<const AcceptedError*>(&error);
  return accepted != nullptr && accepted->key == key;
}

class Store {
 public:
  virtual ~Store() = default;

  [[nodiscard]] virtual const std::filesystem::path& root() const = 0;

  // --- Reading -------------------------------------------------------------------------------
  // All of these throw CacheError where it cannot be known what is there (no descriptor is left,
  // say): whoever took that for damage would compute again what is whole.

  // What is known of each key, entries[i] for keys[i]. Cheap for one, cheaper for many; sees what
  // this process has published and what others had when the call began.
  // REQUIRES: keys.size() == entries.size()
  virtual void lookup(std::span<const Key> keys, std::span<Entry> entries) = 0;

  // The header of the entry's last record. Fails where it is damaged or gone.
  virtual Result<Record> read_record(const Entry& entry) = 0;

  // The value of the entry's record. Fails where a byte of it is damaged or gone, or its
  // encoding is not `codec`.
  virtual Result<std::unique_ptr<Payload>> read_value(const Entry& entry,
                                                      std::string_view codec) = 0;

  // The key that has the id; none: nobody. Throws CacheError where the index is damaged, too.
  virtual std::optional<Key> key_of(std::uint64_t id) = 0;

  // Records by class name, newest last: what is there to be cleared, shown, explained.
  // `pattern` is a glob over class names; empty is all. Stops when `visit` returns false.
  virtual void for_each(std::string_view pattern,
                        const std::function<bool(const Key&, const Entry&)>& visit) = 0;

  virtual std::vector<ClassHistory> history() = 0;

  // --- Writing -------------------------------------------------------------------------------
  // The id of a key: the one it has, or a new one. Ids are never given to another key.
  virtual std::uint64_t id_of(const Key& key) = 0;

  // The id is about to be seen outside of this process (in a directory's name, in a job document)
  // before the key has a record: from now on it stays the key's, whatever dies. For who has claimed
  // the key.
  virtual void expose_id(const Key& key, std::uint64_t id, std::string_view class_name) = 0;

  // The same for anybody: the id that is the key's from now on. That of whoever executes it now.
  virtual std::uint64_t show_id(const Key& key, std::string_view class_name) = 0;

  // Makes a record the answer for its key; the claim on the key, if held, ends when others can see
  // it, unless it is kept. It is visible to this process when this returns and survives its death
  // after sync(). Throws AcceptedError where all this is so and it may not survive all the same,
  // and CacheError where nothing was changed: while what was accepted before cannot be written,
  // nothing more is.
  virtual Entry publish(const Publication& publication) = 0;

  // Other processes can read the record from its pack from now on. Throws CacheError.
  virtual void make_readable(const Entry& entry) = 0;
  // The record survives a power failure from now on, whoever has published it; a value outside of
  // its pack may be lost all the same, and is computed again. Throws CacheError.
  virtual void make_durable(const Entry& entry) = 0;

  // These suspects were proven to have unchanged upstreams: fresh again.
  virtual void confirm(std::span<const Key> keys) = 0;

  // Everything published so far survives the death of this process, and a power failure.
  virtual void sync() = 0;
  // What was published so far is in the index, which is otherwise told within 50 ms: only there
  // what it was made of is compared with what there is.
  virtual void tell_index() = 0;
  // Both.
  virtual void flush() = 0;

  // --- Invalidating --------------------------------------------------------------------------
  // Each marks every recorded dependent, near and far, suspect. The results' own task directories
  // and logs go with them.
  virtual Invalidated clear(const Key& key) = 0;
  virtual Invalidated clear_class(std::string_view class_name) = 0;

  // A defect was found in the record that the entry speaks of: it no longer answers. Dependents
  // stay as they are, and so does a record that has taken its place meanwhile.
  virtual void mark_damaged(const Key& key, const Entry& entry, std::string_view reason) = 0;

  // Dependents of records of these classes that carry another version become suspect.
  virtual Invalidated check_versions(std::span<const ClassVersion> classes) = 0;

  // Every external input on record.
  virtual std::vector<External> externals() = 0;
  // Is another number when another process has published or changed something since, at least.
  [[nodiscard]] virtual std::uint64_t written_by_others() = 0;

  // An external input was looked at again. Where its digest differs from the recorded one its
  // dependents become suspect.
  virtual Invalidated update_external(const Key& key, std::string_view fingerprint,
                                      const Digest& digest) = 0;

  // --- One execution per key, across processes -----------------------------------------------
  // Claims `key` before executing it. `entry` is what lookup() gave for it and is renewed; where
  // the claim was acquired it has an id. Where this throws nothing is claimed.
  // `reads`: tasks whose directories it may read until the claim ends. Nobody makes one of them
  // meanwhile; and where `key` has a directory nobody who has claimed another key reads that.
  virtual Claim claim(const Key& key, Entry& entry, std::span<const Key> reads = {}) = 0;

  // Does a process of whoever has given the key up, or has died, still execute it? Nobody is given
  // the claim while it does; but after three seconds: it may be stopped for good. No, where the
  // file system does not show locks of other hosts.
  [[nodiscard]] virtual bool is_executed(const Key& key) = 0;

  // Gives up a claim without a publication: the task failed or was not started.
  virtual void release(const Key& key) = 0;
  // Ends the claim that a publication has kept, when others can see what was published.
  virtual void end_claim(const Key& key) = 0;

  // Returns when some claim may have ended since `since` (a value this returned before; 0 at
  // first), when an owner died, or after `timeout`. Returns the new value.
  virtual std::uint64_t wait_for_release(std::uint64_t since,
                                         std::chrono::milliseconds timeout) = 0;

  // --- Directories ---------------------------------------------------------------------------
  // CACHE/tasks/NAME/ID, not created. NAME is the class name made safe for file systems.
  [[nodiscard]] virtual std::filesystem::path task_path(std::string_view class_name,
                                                        std::uint64_t id) const = 0;
};

}  // namespace stook::detail
