#!/bin/bash
# command_line.sh PROGRAM - what a user types at a program with cli(), and what it answers.
exec < /dev/null
. "$(dirname "$(readlink -f "$0")")/../support/scenario.sh"

expect "help" 0 "--rate-limit" "$program" --help
expect "help names the entry task's arguments" 0 '--from.*Argument of Main \(required\)' \
  "$program" --help
expect "dry run of an empty cache" 0 "never run" "$program" --from 0 --to 3 -n
[[ $(executions) == 0 ]] && ok "a dry run runs nothing" || bad "a dry run ran something"
expect "cold run" 0 '^3$' "$program" --from 0 --to 3
[[ $(executions) == 3 ]] && ok "three leaves ran" || bad "$(executions) leaves ran, not 3"
expect "finished run prints again" 0 '^3$' "$program" --from 0 --to 3
[[ $(executions) == 3 ]] && ok "nothing ran again" || bad "leaves ran again"
expect "statistics" 0 '"ran": 1,' "$program" --from 0 --to 3 --json
expect "cached entry" 0 '"ran": 0,' "$program" --from 0 --to 3 --json --cached-entry
expect "why" 0 'would be reused' "$program" --from 0 --to 3 --why 'Leaf(1)'
expect "why of a class" 0 'Sum' "$program" --from 0 --to 3 --why Sum
expect "why of nothing known" 2 'has no class' "$program" --from 0 --to 3 --why 'Nobody(1)'
expect "clear" 0 '3 results removed, [1-9]' "$program" --from 0 --to 3 --clear Leaf
expect "after a clear the leaves run, the sum is proven" 0 '"unchanged": 1,' \
  "$program" --from 0 --to 3 --json
[[ $(executions) == 6 ]] && ok "three leaves ran again" || bad "$(executions) executions, not 6"
"$program" --from 0 --to 3 --clear 'Leaf(1)' > /dev/null
expect "rebuild downstream" 0 '"ran": 3,' \
  "$program" --from 0 --to 3 --json --rebuild downstream
expect "missing argument" 2 'to.*missing' "$program" --from 0
expect "unknown flag" 2 'help' "$program" --from 0 --to 3 --nonsense
expect "wrong type" 2 'from' "$program" --from zero --to 3
expect "rate limit of zero" 2 'at least 1' "$program" --from 0 --to 3 -l leaf=0
expect "unknown label" 0 "no task has the label 'nobody'.*known are.*'leaf'" \
  "$program" --from 0 --to 3 -l nobody=1
expect "all arguments as an array" 0 '^3$' "$program" --args '[0, 3]'
expect "all arguments by name" 0 '^3$' "$program" --args '{"to": 3, "from": 0}'
expect "saved statistics" 0 '^3$' "$program" --from 0 --to 3 --stats stats.json
grep -q '"ran": 1,' stats.json && ok "the file has them" || bad "no statistics in the file"
expect "no progress" 0 '^3$' "$program" --from 0 --to 3 -o quiet --progress none
[[ $("$program" --from 0 --to 3 -o quiet2 --progress none 2>&1) == 3 ]] &&
  ok "only the task's own output is shown" || bad "more than the task's output was shown"
expect "nobody can read the progress" 0 '^3$' \
  bash -c '"$0" --from 0 --to 3 -o full --progress bar 2> /dev/full' "$program"
expect "nobody can read the result" 3 'standard output' \
  bash -c '"$0" --from 0 --to 3 -o full > /dev/full' "$program"
expect "cache that is a file" 3 'cache' "$program" --from 0 --to 3 -o "$program"
FAIL_AT=7 expect "a failing task" 1 'told to fail' "$program" --from 5 --to 9 -j 1
expect "the rest is kept" 0 '^26$' "$program" --from 5 --to 9
cd "$work" && mkdir "a b'c" && expect "odd cache path" 0 '^3$' \
  "$program" --from 0 --to 3 -o "a b'c/cäche"

# Ctrl-C while a leaf waits: the run ends, what was finished is kept.
rm -f "$EXECUTIONS"
WAIT_AT=1 WAIT_FOR=$work/never "$program" --from 0 --to 3 -o interrupted -j 1 &
pid=$!
until [[ $(executions) -ge 2 ]] || ! kill -0 $pid; do :; done
kill -INT $pid
wait $pid
got=$?
[[ $got == 130 ]] && ok "interrupted: exit 130" || bad "interrupted: exit $got, not 130"
expect "after the interruption" 0 '^3$' "$program" --from 0 --to 3 -o interrupted

# The terminal goes away; with nohup the program stays.
rm -f "$EXECUTIONS" gate
for signal in HUP TERM; do
  rm -f "$EXECUTIONS"
  WAIT_AT=1 WAIT_FOR=$work/gate nohup "$program" --from 0 --to 3 -o with_nohup -j 1 > out 2> /dev/null &
  pid=$!
  until [[ $(executions) -ge 2 ]] || ! kill -0 $pid; do :; done
  kill -HUP $pid
  if [[ $signal == HUP ]]; then touch gate; else kill -TERM $pid; fi
  wait $pid
  got=$?
  rm -rf gate with_nohup
  case $signal-$got in
    HUP-0 | TERM-143) ok "nohup: $signal" ;;
    *) bad "nohup: $signal: exit $got" ;;
  esac
done
rm -f "$EXECUTIONS"
WAIT_AT=1 WAIT_FOR=$work/never env --default-signal=HUP "$program" --from 0 --to 3 -o hung_up -j 1 &
pid=$!
until [[ $(executions) -ge 2 ]] || ! kill -0 $pid; do :; done
kill -HUP $pid
wait $pid
got=$?
[[ $got == 129 ]] && ok "hung up: exit 129" || bad "hung up: exit $got, not 129"
expect "after it was hung up" 0 '^3$' "$program" --from 0 --to 3 -o hung_up

# A leaf that never looks whether it should stop cannot hold the process: it ends after the grace.
rm -f "$EXECUTIONS"
STUBBORN=1 WAIT_AT=1 WAIT_FOR=$work/never "$program" --from 0 --to 3 -o stubborn -j 1 &
pid=$!
until [[ $(executions) -ge 2 ]] || ! kill -0 $pid; do :; done
kill -INT $pid
wait $pid
got=$?
[[ $got == 130 ]] && ok "stubborn leaf: exit 130" || bad "stubborn leaf: exit $got, not 130"
rm -f "$EXECUTIONS"
expect "after the stubborn leaf" 0 '^3$' "$program" --from 0 --to 3 -o stubborn
[[ $(executions) == 2 ]] && ok "what was finished is kept" || bad "$(executions) leaves ran, not 2"

# A process that dies in the middle loses nothing that was finished, and no lock stays.
rm -f "$EXECUTIONS"
KILL_AT=2 "$program" --from 0 --to 3 -o killed -j 1 > /dev/null 2>&1
expect "after a kill" 0 '^3$' "$program" --from 0 --to 3 -o killed

# Files that may not grow beyond 4 MiB, as on a full disk: the results need 8. The run fails, and
# the result that was cut short is not believed.
EXECUTIONS=/dev/null
(
  trap '' XFSZ
  ulimit -f 4096
  expect "no space" 3 'write results to .*too large' "$program" --from 0 --to 40000 -o full
  exit $status
) || status=1
expect "when there is space again" 0 '^799980000$' "$program" --from 0 --to 40000 -o full
exit $status
