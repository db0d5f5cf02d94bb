#!/bin/bash
# gridengine.sh PROGRAM - tasks as jobs of Grid Engine, by prefix commands, on one of this test's own.
# Exits 77 where it cannot be had or does not start here.
set -u
program=$(realpath "$1")
support=$(cd "$(dirname "$0")/../support" && pwd)
for command in /usr/lib/gridengine/sge_qmaster qsub qrsh nsenter; do
  command -v $command > /dev/null || { echo "skipped: no $command"; exit 77; }
done
[[ $EUID == 0 ]] || { echo "skipped: the daemons need root"; exit 77; }
work=$(mktemp -d)
export SVC_STATE=$work
trap '"$support/gridengine.sh" stop; rm -rf "$work"' EXIT
"$support/gridengine.sh" start > "$work/start.log" 2>&1 ||
  { echo "skipped: Grid Engine does not start here:"; tail -n 5 "$work/start.log"; exit 77; }
eval "$("$support/gridengine.sh" env)"
cd "$work" || exit 1
status=0
ok() { echo "ok - $1"; }
bad() { echo "not ok - $1"; status=1; }
check() { if "${@:2}"; then ok "$1"; else bad "$1"; fi; }
pause() { read -r -t 0.05 <> <(:); }
here() { "$support/gridengine.sh" exec "$@"; }
qsub='qsub -sync y -b y -shell n -cwd -V -j y -o /dev/null'
qrsh='qrsh -now no -cwd -V'

# sum NAME CACHE PREFIX: eight tasks, each executed once
sum() {
  export EXECUTIONS=$work/$1.executions
  check "$1: the sum" test \
    "$(here "$program" --from 0 --to 8 -o "$2" -l leaf=4 -p "leaf=$3" 2> "$1.err")" == 28
  check "$1: none lost, none twice" test \
    "$(sort -u "$EXECUTIONS" | wc -l) $(wc -l < "$EXECUTIONS")" == "8 8"
  check "$1: the spool is empty" test -z "$(find "$2/spool" -type f)"
}
sum qsub cache "$qsub"
sum blanks "a cache" "$qsub"
sum qrsh cache_qrsh "$qrsh"

export EXECUTIONS=$work/failing.executions
FAIL_AT=3 here "$program" --from 3 --to 4 -o failing -p "leaf=$qsub" 2> failing.err
check "a task that fails: exit 1" test $? == 1
check "... with its words" grep -q 'leaf 3 is about to fail' failing.err

# Stubborn: it does not look whether it is to stop.
export EXECUTIONS=$work/interrupted.executions
STUBBORN=1 WAIT_AT=5 WAIT_FOR=$work/never nsenter --net="$work/sge/run/netns" -- \
  "$program" --from 5 --to 6 -o interrupted -p "leaf=$qsub" 2> /dev/null &
pid=$!   # nsenter becomes the program
until grep -qsx 5 "$EXECUTIONS"; do pause; done
kill -INT $pid
wait $pid
check "interrupted: exit 130" test $? == 130
until [[ -z $(here qstat) ]]; do pause; done
ok "interrupted: no job is left"
exit $status
