#!/bin/bash
# line_19_sanitizers.sh quick|nightly --seed N - the whole suite under the address, undefined-behaviour and leak
# sanitizers, and under the thread sanitizer what does not enter the system's TBB, which is not
# instrumented. Nightly; quick is what tools/test does itself: the unit tests.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
[[ ${1:-quick} == nightly ]] || { echo "skipped: the unit tests run under sanitizers in tools/test, the rest nightly"; exit 77; }
jobs=${STOOK_JOBS:-$(nproc)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
violations=0
bad() { echo "  $*"; ((++violations)); }

export ASAN_OPTIONS=detect_stack_use_after_return=1:handle_segv=0 LSAN_OPTIONS=print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=die_after_fork=0   # tests fork those that die
build() {
  cmake --preset "$1" > "$work/build" 2>&1 && cmake --build --preset "$1" -j "$jobs" "${@:2}" >> "$work/build" 2>&1 ||
    { tail -n 20 "$work/build"; bad "preset $1 does not build"; }
}
build fuzz   # the same sanitizers, of clang, as in tools/test: half the time of gcc's (the preset asan)
# Not these: they judge compilers and memory limits, or start other programs by the thousand; or take all descriptors,
# one of which the check of dynamic types wants for itself (tools/test runs most of them in one process, where it has looked before).
ctest --test-dir build/fuzz -j "$jobs" --timeout 3000 -E 'packaging|must_not_compile|waiting|ManyWait|MemoryLimit|^NoDescriptors|^WithoutDescriptors' > "$work/asan" 2>&1 ||
  { grep -E '\(Failed\)|\(Timeout\)|ERROR: |runtime error' "$work/asan" | head -n 40; bad "address sanitizer"; }
build tsan --target test_cache test_runtime
for program in test_cache test_runtime; do
  "build/tsan/tests/$program" --gtest_brief=1 > "$work/tsan" 2>&1 || { tail -n 40 "$work/tsan"; bad "thread sanitizer: $program"; }
done
tests=$(grep -oE '[0-9]+ tests failed out of [0-9]+' "$work/asan")
echo "sanitizers: address, undefined, leak: ${tests:-not run}; thread: test_cache, test_runtime; $violations violations"
((violations == 0))
