#!/bin/bash
# slurm_tcp.sh PROGRAM - pilots that connect to their driver, on a real Slurm of this test's own: who
# is let in, and what a connection that breaks means. Exits 77 where Slurm does not start here.
export SLURM_NODES=2 SLURM_CPUS=2
# shellcheck source=tests/support/slurm_runs.sh
source "$(dirname "$0")/../support/slurm_runs.sh"
tcp=(--slurm-transport tcp --slurm-address 127.0.0.1)

run thousand 0 1000 "${tcp[@]}"
result thousand "$(sum 0 1000)"
each_once thousand 1000

# From here on leaf 5 waits for the gate.
export WAIT_AT=5 WAIT_FOR=$work/gate

# address NAME: HOST PORT TOKEN of one of the run's pilots
address() { cat "$1"/spool/stook-*/driver 2> /dev/null | head -n 1; }
# shut_out TEXT: says it at the port of the run; has it hung up?
shut_out() {
  exec 8<> "/dev/tcp/127.0.0.1/$port" || return 1
  (trap '' PIPE; printf '%b' "$1" >&8) 2> /dev/null   # it may hang up after sixteen bytes
  timeout 30 cat <&8 > said 2> /dev/null
  local code=$?
  exec 8>&-
  [[ $code != 124 && ! -s said ]]
}
run strangers 0 200 "${tcp[@]}"
held
read -r host port token <<< "$(address strangers)"
check "the address is the one that was given" test "$host" == 127.0.0.1
check "the token has 128 bits" test ${#token} == 32
check "only the user can read it" test "$(stat -c %a strangers/spool/stook-*/driver | sort -u)" == 600
check "a wrong token is shut out" shut_out "0123456789abcdef and more"
check "a token that was used is shut out" shut_out "$(sed 's/../\\x&/g' <<< "$token")"
check "a request of the web is shut out" shut_out 'GET / HTTP/1.1\r\nHost: here\r\n\r\n'
for ((i = 0; i < 200; i++)); do head -c 3000 /dev/urandom > "/dev/tcp/127.0.0.1/$port"; done 2> /dev/null
# Two hundred that say nothing, and stay
for ((i = 0; i < 200; i++)); do exec {fd}<> "/dev/tcp/127.0.0.1/$port"; crowd+=("$fd"); done 2> /dev/null
check "the driver holds 64 of them at most" test \
  "$(ls -l "/proc/$pid/fd" | grep -c socket)" -lt 80
check "a wrong token is shut out among them" shut_out "0123456789abcdef"
touch gate
result strangers "$(sum 0 200)"
each_once strangers 200
for fd in "${crowd[@]}"; do exec {fd}>&-; done

# A pilot that dies is replaced, and one that is requeued does not come back.
run killed 0 200 "${tcp[@]}"
held
pkill -KILL -f -- "--stook-pilot $work/killed"
until [[ $(grep -cx 5 "$EXECUTIONS") -ge 2 ]]; do pause; done
touch gate
result killed "$(sum 0 200)"

# Stubborn: the task does not look whether it is to stop.
STUBBORN=1 run interrupted 0 50 "${tcp[@]}"
held
kill -INT $pid
wait $pid
check "interrupted: exit 130" test $? == 130
until [[ -z $(squeue -h) ]]; do pause; done
ok "interrupted: no job is left"

# The driver dies: nobody is left behind.
STUBBORN=1 run orphans 0 200 "${tcp[@]}"
held
kill -KILL $pid
wait $pid 2> /dev/null
start=$SECONDS
until [[ -z $(squeue -h) ]]; do pause; done
check "the pilots of a dead driver are gone soon ($((SECONDS - start)) s)" test $((SECONDS - start)) -le 5
check "... and their tasks" test -z "$(pgrep -f -- "--stook-pilot $work/orphans")"

rm -f gate
unset WAIT_AT
run nowhere 0 3 --slurm-transport tcp --slurm-address 192.0.2.1
wait $pid
check "an address that is not this host's ends the run, exit 3" test $? == 3
check "... and says which" grep -q '192.0.2.1' nowhere.err
"$program" --from 0 --to 3 -o bad --executor slurm --slurm-transport pigeons 2> bad.err
check "an unknown transport is refused" test $? == 2
exit $status
