// codec.hpp - how a result becomes bytes and comes back: Codec<T>, Writer, Reader, digest_of().
// Unaware of tasks, caches and compression. Design: src/README.md
//   codec_base.hpp   Writer, Reader, and Codec<T>, which a user specialises
//   codec_value.hpp  numbers, text, aggregates, JSON
//   codec_wrap.hpp   tuples, optionals, pointers, variants, durations
//   codec_std.hpp    containers
//   cereal.hpp       types with a cereal serialize(): not included here
#pragma once

#include <stook/codec_base.hpp>   // IWYU pragma: export
#include <stook/codec_std.hpp>    // IWYU pragma: export
#include <stook/codec_value.hpp>  // IWYU pragma: export
#include <stook/codec_wrap.hpp>   // IWYU pragma: export
