#include <stook/cache.hpp>

#include <utility>

#include "cache/maintain.h"
#include "cache/open.h"
#include "runtime/run.h"
#include "runtime/task_directory.h"
#include "src/build_id.h"
#include "src/context.h"
#include "src/shown.h"

#include <stook/errors.hpp>

namespace stook {
namespace detail {
namespace {

thread_local OpenStore* last_opened = nullptr;

void enter(OpenStore& store) { store.before = std::exchange(last_opened, &store); }

// Wherever it stands: caches need not be closed in the reverse order.
void leave(const OpenStore& store) {
  OpenStore** at = &last_opened;
  while (*at != nullptr && *at != &store) at = &(*at)->before;
  if (*at != nullptr) *at = store.before;
}

}  // namespace

struct CacheState {
  std::unique_ptr<Store> store;
  OpenStore here{};
};

CurrentStore::CurrentStore(Store* store) : here_{store, nullptr} { enter(here_); }
CurrentStore::~CurrentStore() { leave(here_); }

Store* current_store_or_null() { return last_opened != nullptr ? last_opened->store : nullptr; }

Store& current_store() {
  if (Store* const current = current_store_or_null()) return *current;
  throw CacheError(no_cache_text);
}

}  // namespace detail

Cache::Cache(const std::filesystem::path& directory, const CacheOptions& options)
    : state_(std::make_unique<detail::CacheState>()) {
  detail::refuse_zero_byte(directory.native(), "the directory of a cache");
  detail::StoreOptions store_options;
  store_options.durability_window = std::chrono::milliseconds(options.sync_milliseconds);
  store_options.durability_full = options.durability_full;
  store_options.warn = options.warn ? options.warn : &detail::warn;
  store_options.build_id = detail::build_id();
  state_->store = detail::open_store(directory, store_options);
  detail::restore_directories(*state_->store);
  detail::set_outside_loader(&detail::load_outside);
  state_->here.store = state_->store.get();
  detail::enter(state_->here);
}

Cache::~Cache() { detail::leave(state_->here); }

void Cache::reindex() { detail::reindex(store()); }

VerifyReport Cache::verify() {
  detail::VerifyReport found = detail::verify(store());
  return {found.records, found.objects, std::move(found.defects)};
}

CollectReport Cache::collect(const CollectOptions& options) {
  detail::CollectOptions what;
  what.max_bytes = options.max_bytes;
  what.older_than_days = options.older_than_days;
  what.keep_classes = options.keep_classes;
  what.dry_run = options.dry_run;
  const detail::CollectReport done = detail::collect(store(), what);
  return {done.evicted, done.bytes_before, done.bytes_after};
}

CacheStats Cache::stats() {
  const detail::CacheStats counted = detail::stats(store());
  CacheStats stats{counted.records, counted.fresh, counted.suspect, counted.bytes, {}};
  for (const auto& [name, use] : counted.by_class) stats.by_class[name] = use.records;
  return stats;
}

const std::filesystem::path& Cache::directory() const { return state_->store->root(); }
detail::Store& Cache::store() const { return *state_->store; }

}  // namespace stook
