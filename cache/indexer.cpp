#include "cache/indexer.h"

#include <algorithm>
#include <map>

#include "cache/rebuild.h"
#include "cache/trash.h"
#include "src/mutant.h"

namespace stook::detail {
namespace {

constexpr std::size_t kBatch = 100'000;  // sorted, a page of `keys` serves several rows
constexpr std::size_t kMany = 1024;
constexpr std::size_t kCalm = 100;  // so few came during a commit: nobody is in a hurry
constexpr std::size_t kLongest = 4 * kBatch;
constexpr std::uint64_t kCheckpointRows = 400'000;
constexpr std::chrono::milliseconds kIdle{50};

// Appends `from`, whose places then count from the start of `to`.
void append(Batch& to, Batch&& from) {
  if (to.empty()) {
    to = std::move(from);
    return;
  }
  const auto upstream = static_cast<std::uint32_t>(to.upstream.size());
  const auto externals = static_cast<std::uint32_t>(to.externals.size());
  for (Item& item : from.items) {
    item.upstream += upstream;
    item.external += externals;
    to.items.push_back(item);
  }
  to.upstream.insert(to.upstream.end(), from.upstream.begin(), from.upstream.end());
  std::move(from.externals.begin(), from.externals.end(), std::back_inserter(to.externals));
}

}  // namespace

struct Indexer::Connection {
  Connection(const Layout& layout, ClassNames& names, Packs& packs, Shared& shared, View& view)
      : database(layout.index, Database::Mode::write),
        ingest((set_up_writer(database, layout.medium, layout.number), database), names, packs,
               shared, view) {}

  Database database;
  Ingest ingest;
};

Indexer::Indexer(const Layout& layout, Shared& shared, Packs& packs, ClassNames& names, View& view,
                 PackWriter& writer, Warn warn)
    : layout_(layout), shared_(shared), packs_(packs), names_(names), view_(view), writer_(writer),
      warn_(std::move(warn)) {}

Indexer::~Indexer() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  try {
    if (!queue_.empty() || !taken_.empty()) flush();
    if (connection_ && uncopied_ > 0) {
      const std::lock_guard lock(shared_);
      checkpoint(connection_->database);
    }
  } catch (const Error& error) { warn_(error.what()); }
}

// --- The queue -------------------------------------------------------------------------------

void Indexer::push(Item item, std::span<const UpstreamSeen> upstream, const Publication* external) {
  const std::lock_guard lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });  // may fail: nothing is queued
  item.upstream = static_cast<std::uint32_t>(queue_.upstream.size());
  item.upstream_count = static_cast<std::uint32_t>(upstream.size());
  queue_.upstream.insert(queue_.upstream.end(), upstream.begin(), upstream.end());
  if (external != nullptr) {
    item.external = static_cast<std::uint32_t>(queue_.externals.size());
    queue_.externals.push_back({std::string(external->arguments), std::string(external->codec)});
  }
  // A long run comes: no growing in steps, each a copy. What is not used costs nothing.
  if (queue_.items.size() == kMany) queue_.items.reserve(kBatch + kBatch / 8);
  queue_.items.push_back(item);
  if (idle_ || queue_.items.size() == kBatch) wake_.notify_one();
  idle_ = false;
}

void Indexer::push_confirmed(std::span<const Key> keys) {
  for (const Key& key : keys) {
    Item item;
    item.kind = ItemKind::confirmed;
    item.key = key;
    push(item, {}, nullptr);
  }
}

void Indexer::wait_for_room() {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return queue_.items.size() < kLongest || stop_; });
}

void Indexer::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (queue_.empty()) {
      idle_ = true;
      wake_.wait(lock, [&] { return stop_ || !idle_; });
      idle_ = false;
      continue;
    }
    wake_.wait_for(lock, kIdle, [&] { return stop_ || queue_.items.size() >= kBatch; });
    if (stop_) break;
    lock.unlock();
    try {
      flush();
      lock.lock();
      if (queue_.items.size() >= kCalm) continue;
      lock.unlock();
      view_.forget();
      lock.lock();
    } catch (const Error& error) {
      warn_(error.what());
      lock.lock();
      wake_.wait_for(lock, std::chrono::seconds(1), [&] { return stop_; });
    }
  }
}

// --- Transactions ----------------------------------------------------------------------------

void Indexer::flush() {
  try {
    exclusively([](Transaction&) {});
  } catch (const DatabaseError& error) {
    if (!error.damaged()) throw;
    writer_.write();
  }
}

void Indexer::flush_own() {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.empty() && !committing_) return;
  }
  flush();
}

Outcome Indexer::exclusively(const std::function<void(Transaction&)>& also) {
  Outcome outcome;
  const std::lock_guard lock(shared_);
  try {
    if (!connection_) {
      connection_ = std::make_unique<Connection>(layout_, names_, packs_, shared_, view_);
    }
    run_transaction(also, outcome);
  } catch (const DatabaseError& error) {
    if (error.damaged()) give_up(error);
    throw;
  }
  after_commit(outcome);
  return outcome;
}

void Indexer::run_transaction(const std::function<void(Transaction&)>& also, Outcome& outcome) {
  Database& database = connection_->database;
  database.execute("BEGIN IMMEDIATE");
  try {
    connection_->ingest.begin();
    applied_ = 0;
    bring_in(outcome);
    Transaction transaction{connection_->ingest, outcome, [&] { bring_in(outcome); }};
    also(transaction);
    // A result must not come back after a power failure when its directory cannot.
    if (!outcome.cleared.empty() && !STOOK_MUTANT("durable-before-clear")) writer_.sync();
    keep_with_directory(layout_, outcome.cleared);
    if (!outcome.cleared.empty() && !STOOK_MUTANT("mark-clearing")) {
      clearing_ = mark_clearing(layout_);
    }
    if (outcome.states_moved) shared_.announce_change();
    database.execute("COMMIT");
  } catch (...) {
    try {
      database.execute("ROLLBACK");
    } catch (const DatabaseError&) {  // the first error is the one to tell
    }
    if (!STOOK_MUTANT("give-up-change")) view_.give_up_change();
    unmark_clearing();
    throw;
  }
}

// What was to be indexed is in the packs, and the index will be made anew from them.
void Indexer::give_up(const DatabaseError& error) {
  request_rebuild(layout_);
  taken_ = Batch();
  {
    const std::lock_guard lock(mutex_);
    queue_ = Batch();
    room_.notify_all();
  }
  if (!std::exchange(damaged_, true)) {
    warn_(std::string(error.what()) + "; until then nothing new is answered from the cache");
  }
}

bool Indexer::make_durable() {
  const std::lock_guard lock(shared_);
  return connection_ && checkpoint(connection_->database);
}

void Indexer::disconnect() {
  const std::lock_guard lock(shared_);
  connection_.reset();
  damaged_ = false;
}

void Indexer::after_commit(Outcome& outcome) {
  uncopied_ += taken_.items.size();
  taken_ = Batch();
  {
    const std::lock_guard lock(mutex_);
    committing_ = false;
  }
  view_.end_change();
  if (outcome.states_moved && !STOOK_MUTANT("tell-changes")) {
    shared_.note_change();
  } else if (outcome.confirmed) {
    view_.follow(shared_.note_change());
  }
  if (!STOOK_MUTANT("rename-to-trash")) remove_directories(outcome.cleared);
  if (uncopied_ >= kCheckpointRows) {
    checkpoint(connection_->database);
    uncopied_ = 0;
  }
}

// After the commit: nobody may find a result that is fresh and has no directory. Whoever executes a
// task has its claim and owns its directory; a result that is newer than the clear has it.
void Indexer::remove_directories(std::span<const ClearedTask> tasks) {
  for (const ClearedTask& task : tasks) {
    if (!claim_cleared(task)) continue;
    move_to_trash(layout_, task);
    shared_.release({&task.key, 1});
  }
  unmark_clearing();
}

void Indexer::unmark_clearing() {
  if (clearing_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove(std::exchange(clearing_, {}), ignored);
}

bool Indexer::claim_cleared(const ClearedTask& task) {
  const Key& key = task.key;
  if (STOOK_MUTANT("claim-before-trash")) return true;
  try {
    if (!shared_.claim(key)) {
      clearing_.clear();  // who executes it, or asks for it, may leave it: the mark stays
      return false;
    }
  } catch (const CacheError&) { return false; }  // no more can be claimed
  try {
    const Entry entry = view_.current(key);
    const bool gone = entry.state == RecordState::missing && entry.doubt != Doubt::not_kept;
    if (gone && shared_.hold_directories(key, true, {})) return true;
    if (gone) {  // somebody reads it: the mark stays for who is next alone
      clearing_.clear();
      move_rest_to_trash(layout_, task);
    }
  } catch (const Error& error) { warn_(error.what()); }
  shared_.release({&key, 1});
  return false;
}

void Indexer::bring_in(Outcome& outcome) {
  view_.refresh();
  bring_in_others(outcome);
  bring_in_own(outcome);
}

void Indexer::bring_in_own(Outcome& outcome) {
  {
    Batch more;
    const std::lock_guard lock(mutex_);
    std::swap(more, queue_);
    committing_ = true;
    append(taken_, std::move(more));
    room_.notify_all();
  }
  if (!STOOK_MUTANT("written-before-index")) writer_.write();  // what it speaks of is in the pack
  const std::uint32_t pack = writer_.pack();
  PackMark mark = connection_->ingest.packs.find(pack);
  const auto first = taken_.items.begin() + static_cast<std::ptrdiff_t>(applied_);
  const auto there = [&](const Item& item) {  // another process has read this pack's tail
    return item.kind != ItemKind::confirmed && item.offset < mark.indexed;
  };
  taken_.items.erase(std::remove_if(first, taken_.items.end(), there), taken_.items.end());
  const auto items = std::span<const Item>(taken_.items).subspan(applied_);
  applied_ = taken_.items.size();
  if (items.empty()) return;
  for (const Item& item : items) {
    mark.indexed = std::max(mark.indexed, item.offset + item.length);
    mark.last_seq = std::max(mark.last_seq, item.seq);
  }
  connection_->ingest.apply(taken_, items, outcome);
  if (pack != 0) connection_->ingest.packs.put(mark);
}

void Indexer::bring_in_others(Outcome& outcome) {
  const std::uint32_t own = writer_.pack();
  std::vector<Tail> tails;
  for (const Shared::PackLength& pack : shared_.packs()) {
    if (pack.number == own || pack.number == 0) continue;
    const PackMark mark = connection_->ingest.packs.find(pack.number);
    if (mark.indexed < pack.length) tails.push_back({pack.number, mark.indexed, pack.length});
  }
  index_tails(tails, outcome);
}

// The first one in a cache reads what dead processes appended and did not bring in.
Counters Indexer::recover() {
  Counters least;
  exclusively([&](Transaction& transaction) {
    Ingest& ingest = transaction.ingest;
    least.next_id = ingest.rows.last_id() + 1;
    std::map<std::uint32_t, PackMark> marks;
    for (const PackMark& mark : ingest.packs.all()) { marks[mark.number] = mark; }
    std::vector<Tail> tails;
    for (const std::uint32_t pack : packs_.list()) {
      least.next_pack = std::max(least.next_pack, pack + 1);
      const PackMark mark = marks.contains(pack) ? marks[pack] : PackMark{pack, 0, 0, false};
      const std::uint64_t size = packs_.size_of(pack);
      if (size > mark.indexed && !mark.retired) tails.push_back({pack, mark.indexed, size});
    }
    shared_.raise(least);
    index_tails(tails, transaction.outcome);
    for (const PackMark& mark : ingest.packs.all()) {
      least.next_seq = std::max(least.next_seq, mark.last_seq + 1);
      least.next_pack = std::max(least.next_pack, mark.number + 1);
    }
  });
  remove_retired();
  return least;
}

// Nobody else is here: what was rewritten can go, when it is certain that the index will not speak
// of it again after a power failure.
void Indexer::remove_retired() {
  std::vector<std::uint32_t> retired;
  view_.read([&](View::Tables& tables) {
    for (const PackMark& mark : tables.packs.all()) {
      if (mark.retired) retired.push_back(mark.number);
    }
  });
  if (retired.empty() || (!STOOK_MUTANT("durable-before-retired") && !make_durable())) return;
  for (const std::uint32_t pack : retired) {
    std::error_code ignored;
    std::filesystem::remove(packs_.path_of(pack), ignored);
  }
  exclusively([&](Transaction& transaction) {
    for (const std::uint32_t pack : retired) transaction.ingest.packs.erase(pack);
  });
  (void)make_durable();  // before one of the numbers is given again
}

// Together, in the order in which it happened: a clear may lie in a lower pack than what it
// cleared, and what a record was made of in a higher one.
void Indexer::index_tails(std::span<const Tail> tails, Outcome& outcome) {
  Batch batch;
  std::vector<PackMark> marks;
  for (const Tail& tail : tails) read_tail(tail, batch, marks);
  if (!STOOK_MUTANT("tails-in-order")) {
    std::stable_sort(batch.items.begin(), batch.items.end(),
                     [](const Item& a, const Item& b) { return a.seq < b.seq; });
  }
  for (const Item& item : batch.items) {
    const bool overtaken = item.kind == ItemKind::record && !STOOK_MUTANT("overtaken-tail") &&
                           connection_->ingest.is_overtaken(item);
    const bool answers = item.kind == ItemKind::record || item.kind == ItemKind::given;
    if (answers && !overtaken) view_.record(item);  // other threads see it at once
  }
  // No id that a record holds may be given to a key that is met before it.
  std::uint64_t last_id = 0;
  for (const Item& item : batch.items) last_id = std::max(last_id, item.id);
  if (!STOOK_MUTANT("ids-before-tails")) shared_.raise_id(last_id + 1);
  const std::size_t cleared = outcome.cleared.size();
  connection_->ingest.apply(batch, batch.items, outcome);
  for (const PackMark& mark : marks) connection_->ingest.packs.put(mark);
  if (outcome.cleared.size() == cleared || STOOK_MUTANT("sync-cleared-tail")) return;
  for (const PackMark& mark : marks) {  // directories go: see run_transaction()
    const auto file = packs_.open(mark.number);
    if (file && !os_sync_data((*file)->fd.get())) {
      throw_cache_error("sync", packs_.path_of(mark.number));
    }
  }
}

void Indexer::read_tail(const Tail& tail, Batch& batch, std::vector<PackMark>& marks) {
  const std::size_t before = batch.items.size();
  PackMark mark{tail.pack, tail.to, 0, false};
  Packs::Visitor visitor;
  visitor.frame = [&](const Frame& frame, std::uint64_t offset, std::uint64_t length) {
    add_frame(batch, frame, names_.ref(frame.class_name), {tail.pack, offset}, length);
    mark.last_seq = std::max(mark.last_seq, frame.seq);
  };
  visitor.damage = [&](std::uint64_t offset, std::uint64_t length) {
    warn_("pack " + packs_.path_of(tail.pack).string() + ": " + std::to_string(length) +
          " damaged bytes at " + std::to_string(offset) + " are ignored");
  };
  // What only a later version can read is for its programs to bring in.
  visitor.unknown = [&](std::uint64_t offset) {
    if (offset < mark.indexed) warn_(packs_.about_unknown(tail.pack, offset));
    mark.indexed = std::min(mark.indexed, offset);
  };
  const auto scanned = packs_.scan(tail.pack, tail.from, tail.to, visitor);
  if (!scanned) warn_(scanned.reason());
  if (!scanned && packs_.is_foreign(tail.pack)) {
    batch.items.resize(before);
  } else {
    marks.push_back(mark);
  }
}

}  // namespace stook::detail
