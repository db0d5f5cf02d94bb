// indexer.h - the one writer of the index in this process: gathers what was appended to the packs
// and commits it in large batches, in the background or when asked.
// Unaware of what is published. Thread-safe.
//
// Every transaction first brings in what all processes have appended, so that whoever invalidates
// sees all there is. Lock order: Shared (between processes) - View - PackWriter - queue.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "cache/class_names.h"
#include "cache/fault.h"
#include "cache/ingest.h"
#include "cache/layout.h"
#include "cache/pack_writer.h"
#include "cache/view.h"

namespace stook::detail {

class Indexer {
 public:
  Indexer(const Layout& layout, Shared& shared, Packs& packs, ClassNames& names, View& view,
          PackWriter& writer, Warn warn);
  ~Indexer();  // commits what is queued

  // In the order of the pack: called under the PackWriter's lock.
  void push(Item item, std::span<const UpstreamSeen> upstream, const Publication* external);
  void push_confirmed(std::span<const Key> keys);

  // Everything published so far, by any process, is in the index; where that is damaged, in the
  // packs, from which the next one who is alone rebuilds it. Throws CacheError.
  void flush();

  void flush_own();  // only if this process has anything to bring in

  // The same, and `also` in the same transaction; it may call again(), which brings in what it
  // appended itself.
  struct Transaction {
    Ingest& ingest;
    Outcome& outcome;
    std::function<void()> again;
  };
  Outcome exclusively(const std::function<void(Transaction&)>& also);

  // What was committed survives power loss. False: it may not.
  [[nodiscard]] bool make_durable();

  // Lets go of a damaged index file, so that it can be replaced.
  void disconnect();

  // What dead processes left behind, brought in. REQUIRES: shared.first()
  Counters recover();

  // Waits while the queue is too long: memory is not without end.
  void wait_for_room();

 private:
  struct Connection;
  void run();
  void bring_in(Outcome& outcome);
  void bring_in_own(Outcome& outcome);
  void bring_in_others(Outcome& outcome);
  void remove_retired();
  struct Tail {
    std::uint32_t pack = 0;
    std::uint64_t from = 0, to = 0;
  };
  void index_tails(std::span<const Tail> tails, Outcome& outcome);
  void read_tail(const Tail& tail, Batch& batch, std::vector<PackMark>& marks);
  void remove_directories(std::span<const ClearedTask> tasks);
  void unmark_clearing();
  [[nodiscard]] bool claim_cleared(const ClearedTask& task);
  void run_transaction(const std::function<void(Transaction&)>& also, Outcome& outcome);
  void after_commit(Outcome& outcome);
  void give_up(const DatabaseError& error);

  const Layout& layout_;
  Shared& shared_;
  Packs& packs_;
  ClassNames& names_;
  View& view_;
  PackWriter& writer_;
  const Warn warn_;

  // Guarded by the write lock (Shared).
  std::unique_ptr<Connection> connection_;
  Batch taken_;                     // not committed yet
  bool damaged_ = false;            // no use in trying any more
  std::size_t applied_ = 0;         // of taken_, in this transaction
  std::uint64_t uncopied_ = 0;      // rows since the last checkpoint
  std::filesystem::path clearing_;  // the mark while directories go

  std::mutex mutex_;  // guards all below
  std::condition_variable wake_;
  std::condition_variable room_;
  Batch queue_;
  bool committing_ = false;  // what was taken from the queue is not committed yet
  bool idle_ = false;
  bool stop_ = false;
  std::thread thread_;  // started with the first item
};

}  // namespace stook::detail
