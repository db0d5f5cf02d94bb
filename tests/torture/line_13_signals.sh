#!/bin/bash
# line_13_signals.sh quick|nightly --seed N - SIGINT once and twice, SIGTERM, SIGHUP, and a driver killed, in
# runs with 20 tasks under way whose processes ignore SIGTERM (line 14 is the last of them). Nothing is
# left of what was started, what was finished is kept, the exit status says which signal it was.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
program=$PWD/build/dev/tests/slow_sum
rounds=1
[[ ${1:-quick} == nightly ]] && rounds=200
work=$(mktemp -d)
trap 'pkill -KILL -f "$work" 2> /dev/null; rm -rf "$work"' EXIT
cp "$program" "$work/sum"   # so that its path tells our processes from others
cat > "$work/stubborn" <<'W'
#!/bin/bash
trap '' TERM HUP INT
"$@" & wait $!
wait $!
W
chmod +x "$work/stubborn"
cd "$work" || exit 1
export EXECUTIONS=$work/executions WAIT_FOR=$work/never STUBBORN=1
violations=0 runs=0 slowest=0
bad() { echo "  $*"; ((++violations)); }
pause() { read -r -t 0.02 <> <(:); }
ours() { pgrep -f "$work/(sum|stubborn)" > /dev/null; }
milliseconds() { echo $((${EPOCHREALTIME/./} / 1000)); }
# one NAME EXIT SIGNALS ARGUMENTS...
one() {
  local name=$1 expected=$2 signals=$3 pid got begun waited
  shift 3
  rm -rf cache executions
  "$work/sum" --from 0 --to 1 -o cache > out 2> err || bad "$name: the first run"
  # As from a terminal, even where the torture itself runs under nohup.
  WAIT_FROM=1 env --default-signal=HUP "$work/sum" --from 0 --to 21 -o cache "$@" > out 2> err &
  pid=$!
  until [[ $(wc -l < executions) -ge 21 ]] || ! kill -0 $pid 2> /dev/null; do pause; done
  begun=$(milliseconds)
  for signal in $signals; do kill "-$signal" $pid; pause; done
  while ours && (($(milliseconds) - begun < 10000)); do pause; done
  waited=$(($(milliseconds) - begun))
  ((waited <= slowest)) || slowest=$waited
  ours && { bad "$name: processes are left: $(pgrep -af "$work/(sum|stubborn)" | head -n 3)"; pkill -KILL -f "$work/(sum|stubborn)"; }
  wait $pid 2> /dev/null
  got=$?
  ((waited <= 3000)) || bad "$name: after $waited ms there was something left"
  [[ $got == "$expected" ]] || bad "$name: exit $got, not $expected: $(tail -n 2 err)"
  rm -f executions
  WAIT_FROM=1 WAIT_FOR=/ "$work/sum" --from 0 --to 21 -o cache > out 2> err
  [[ $(tail -n 1 out) == 210 ]] || bad "$name: the next run printed '$(tail -n 1 out)', not 210"
  [[ $(grep -cx 0 executions) == 0 ]] || bad "$name: a finished task ran again"
  ((++runs))
}
for ((round = 0; round < rounds; ++round)); do
  for how in "-j 20" "-j 20 --executor processes" "-p leaf=$work/stubborn"; do
    # shellcheck disable=SC2086
    for what in "130 INT" "130 INT INT" "143 TERM" "129 HUP" "137 KILL"; do
      one "$how, ${what#* }" "${what%% *}" "${what#* }" $how
    done
  done
done
echo "$runs runs ended by signals: $violations violations, nothing left after $slowest ms at most"
((violations == 0))
