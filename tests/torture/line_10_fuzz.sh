#!/bin/bash
# line_10_fuzz.sh quick|nightly --seed N - foreign bytes: canonical form, JSON, pack records, result codecs,
# jobs and messages, command lines, depfiles, bundles. No crash, no hang over 1 s, no memory over 512 MB.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
command -v clang++-14 > /dev/null || command -v clang++ > /dev/null || { echo "no clang here"; exit 77; }
seconds=5   # with the corpus of earlier runs
[[ ${1:-quick} == nightly ]] && seconds=1800
out=$(tools/dev/fuzz "$seconds" 2>&1)
status=$?
((status == 0)) || echo "$out"
echo "$(grep -c '^ok' <<< "$out") of $(grep -cE '^(not )?ok' <<< "$out") targets hold," \
  "$(awk '/^ok/ { n += $(NF - 1) } END { print n }' <<< "$out") runs"
exit $status
