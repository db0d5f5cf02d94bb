#!/bin/bash
# line_20_mutants.sh quick|nightly --seed N [NAME...] - leaves out one guard at a time (src/mutant.h) and runs
# what mutants.txt says must fail then. quick: as many as 20 s allow, others for each seed; nightly: all.
# NAME...: these. A program that fails with all guards in place proves nothing and is told. That the table
# and the code agree is a rule of check-layers.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
mode=${1:-quick} seed=${3:-1}
shift $(($# < 3 ? $# : 3))
table=tests/torture/mutants.txt
programs=$PWD/build/dev/tests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
violations=0
bad() { echo "  $*"; ((++violations)); }

# run_program GUARD PROGRAM PART: with that guard left out; "-": with all of them.
run_program() {
  local guard=$1 program=$2 part=$3
  [[ $guard == - ]] && unset STOOK_MUTANT || export STOOK_MUTANT=$guard
  local limit=20 longest=60 from=$work place=$programs/$program arguments=("--gtest_filter=$part" --gtest_brief=1)
  [[ $mode == nightly ]] || limit=10 longest=25   # some hang then, which is being missed too
  if [[ $program == line_* ]]; then
    limit=$longest from=. place=$programs/torture/$program arguments=(quick --seed "$seed")
    [[ $part == all ]] || arguments+=(--only "$part")
  fi
  # A guard that is left out may let things be written where they do not belong.
  (cd "$from" && exec timeout -k 5 "$limit" "$place" "${arguments[@]}") \
    < /dev/null > "$work/out-$guard-$program-${part//[^A-Za-z]/}" 2>&1
}
# judge NAME WHEN PROGRAM PART: one line "caught|survives|unsound NAME PROGRAM PART".
judge() {
  local name=$1 program=$3 part=$4 sound tries=3   # some are seen by chance only
  sound=$work/sound-$program-${part//[^A-Za-z]/}
  (
    flock 9
    [[ -s $sound ]] || { run_program - "$program" "$part"; echo $? > "$sound"; }
  ) 9> "$sound.lock"
  case $(< "$sound") in
    77 | 124 | 137) echo "skipped $name $program $part"; return ;;   # the machine cannot, or is too busy
  esac
  [[ $(< "$sound") == 0 ]] || { echo "unsound $name $program $part"; return; }
  [[ $mode == nightly ]] && tries=10
  for ((; tries > 0; --tries, ++seed)); do
    run_program "$name" "$program" "$part" || { echo "caught $name $program $part"; return; }
  done
  echo "survives $name $program $part"
}
export -f run_program judge
export programs work seed mode

awk '!/^#/ && NF' "$table" | awk -v mode="$mode" -v names=" $* " '
  $2 == "none" || $2 == "open" { next }
  names ~ /[a-z]/ { if (index(names, " " $1 " ")) print; next }
  mode == "nightly" || $2 == "quick"' |
  shuf --random-source=<(yes "$seed") > "$work/chosen"
end=$((SECONDS + 20))
[[ $mode == nightly || $# -gt 0 ]] && end=$((SECONDS + 36000))
export end=$((end - SECONDS + $(date +%s)))
# shellcheck disable=SC2016
xargs -P "${STOOK_JOBS:-2}" -L 1 bash -c '(($(date +%s) >= end)) || judge "$@"' - < "$work/chosen" > "$work/judged" 2> "$work/noise"
while read -r verdict name program part; do
  case $verdict in
    survives) bad "without $name nothing fails in $program $part" ;;
    unsound) bad "$program $part fails with all guards in place" ;;
    skipped) [[ $mode == quick ]] || bad "$program $part is skipped, or takes too long" ;;
  esac
done < "$work/judged"
[[ ${STOOK_SHOW:-} ]] && sort "$work/judged"
count() { awk -v when="$1" '!/^#/ && NF && $2 ~ when' "$table" | wc -l; }
echo "$(grep -c ^caught "$work/judged") of $(grep -cE '^(caught|survives|unsound)' "$work/judged") guards were missed when left out," \
  "of $(count .) there are; $(count none) stand before another, $(count open) have no test yet"
((violations == 0))
