#!/bin/bash
# two_programs.sh PROGRAM - programs on one cache at the same time, with overlapping graphs: every
# key runs once in total; where one dies another takes over.
. "$(dirname "$(readlink -f "$0")")/../support/scenario.sh"

for start in 0 200 400 600; do
  "$program" --from $start --to $((start + 600)) -o shared -j 2 > out.$start 2>&1 &
done
wait
sums=$(cat out.0 out.200 out.400 out.600 | grep -E '^[0-9]+$' | tr '\n' ' ')
[[ $sums == "179700 299700 419700 539700 " ]] && ok "every program has its sum" || bad "sums: $sums"
total=$(wc -l < "$EXECUTIONS")
distinct=$(sort -u "$EXECUTIONS" | wc -l)
[[ $total == 1200 && $distinct == 1200 ]] && ok "each of 1200 keys ran once" ||
  bad "$total executions of $distinct keys"

# The first one holds a key and is killed; the second, waiting for it, takes over.
rm -f "$EXECUTIONS"
WAIT_AT=1 WAIT_FOR=$work/never "$program" --from 0 --to 3 -o takeover -j 1 > /dev/null 2>&1 &
first=$!
until [[ -f $EXECUTIONS ]] && grep -qx 1 "$EXECUTIONS"; do :; done
"$program" --from 0 --to 3 -o takeover -j 1 > out.second 2>&1 &
second=$!
kill -KILL $first
wait $second
code=$?
[[ $code == 0 ]] && grep -qx 3 out.second && ok "the second takes over" ||
  bad "the second ended with $code: $(cat out.second)"
exit $status
