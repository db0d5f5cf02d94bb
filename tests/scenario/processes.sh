#!/bin/bash
# processes.sh PROGRAM - tasks in worker processes and behind prefix commands, seen from a terminal:
# interruption, a driver that dies, output.
. "$(dirname "$(readlink -f "$0")")/../support/scenario.sh"
# Processes of this test's program that are not zombies.
running() {
  local file name found=1
  for file in /proc/[0-9]*/environ; do
    name=${file%/environ}
    [[ $(readlink "$name/exe") == "$program" ]] || continue
    tr '\0' '\n' < "$file" 2> /dev/null | grep -qx "EXECUTIONS=$EXECUTIONS" || continue
    grep -q '^State:.Z' "$name/status" 2> /dev/null || { echo "${name#/proc/}"; found=0; }
  done
  return $found
}
gone() { until ! running > /dev/null; do read -r -t 0.05 <> <(:); done; }   # ctest has a limit

for how in "--executor processes" "-p leaf="; do
  rm -rf cache interrupted killed "$EXECUTIONS"
  # shellcheck disable=SC2086
  check "$how: the sum" test "$("$program" --from 0 --to 50 $how 2> /dev/null)" == 1225
  check "$how: 50 executions" test "$(executions)" == 50
  # shellcheck disable=SC2086
  "$program" --from 0 --to 50 $how --json --cached-entry 2> /dev/null | grep -q '"ran": 0' &&
    ok "$how: the next run runs nothing" || bad "$how: the next run runs nothing"

  # shellcheck disable=SC2086
  check "$how: what was shown live is not shown again" test \
    "$("$program" --from 0 --to 50 $how --show-output Main 2> /dev/null | grep -c 1225)" == 1
  "$program" --from 0 --to 50 --clear 'Leaf(1)' > /dev/null
  # shellcheck disable=SC2086
  check "$how: a run that fails shows no earlier result" test -z \
    "$(FAIL_AT=1 "$program" --from 0 --to 50 $how 2> /dev/null)"

  rm -f "$EXECUTIONS"
  # shellcheck disable=SC2086
  WAIT_AT=1 WAIT_FOR=$work/never "$program" --from 0 --to 2 $how -o interrupted -j 2 2> log &
  pid=$!
  until [[ $(executions) -ge 2 ]]; do read -r -t 0.01 <> <(:); done
  kill -INT $pid
  wait $pid
  check "$how: interrupted, exit 130" test $? == 130
  gone
  ok "$how: nothing is left after the interruption"
  # shellcheck disable=SC2086
  check "$how: what was finished is kept" test \
    "$("$program" --from 0 --to 2 $how -o interrupted --json 2> /dev/null | grep -c '"cached": [1-9]')" -ge 1

  rm -f "$EXECUTIONS"
  # shellcheck disable=SC2086
  STUBBORN=1 WAIT_AT=1 WAIT_FOR=$work/never "$program" --from 0 --to 2 $how -o killed -j 2 2> log &
  pid=$!
  until [[ $(executions) -ge 2 ]]; do read -r -t 0.01 <> <(:); done
  kill -KILL $pid
  wait $pid 2> /dev/null
  gone
  ok "$how: workers end with their driver"
  # shellcheck disable=SC2086
  check "$how: the next run goes on" test "$("$program" --from 0 --to 2 $how -o killed 2> /dev/null)" == 1
  check "$how: the spool is empty" test -z "$(find killed/spool -type f)"
done
exit $status
