// rebuild.h - makes the index anew from the packs.
// Unaware of how runs use a cache.
#pragma once

#include "cache/fault.h"
#include "cache/layout.h"

namespace stook::detail {

class PackStore;

// Can the index be opened, and does it belong to these packs? If not it is moved out of the way.
// REQUIRES: nobody else has the cache open.
[[nodiscard]] bool index_is_usable(const Layout& layout, const Warn& warn);

void remove_index(const Layout& layout);

// The next one who opens the cache alone rebuilds the index.
void request_rebuild(const Layout& layout);

// Reads all packs and derives every state: the latest record of a key counts unless it was cleared
// after that; it is fresh if all it was made of is there, fresh, and has the digest it saw.
void rebuild(PackStore& store);

}  // namespace stook::detail
