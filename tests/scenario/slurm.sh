#!/bin/bash
# slurm.sh PROGRAM - pilots and srun on a real Slurm of this test's own, and what happens when parts
# of it fail. Exits 77 where Slurm cannot be had or does not start here.
set -u
program=$(realpath "$1")
support=$(cd "$(dirname "$0")/../support" && pwd)
for command in slurmctld slurmd sbatch munged; do
  PATH=$PATH:/usr/sbin command -v $command > /dev/null || { echo "skipped: no $command"; exit 77; }
done
[[ $EUID == 0 ]] || { echo "skipped: the daemons need root"; exit 77; }
work=$(mktemp -d)
export SVC_STATE=$work SLURM_NODES=4 SLURM_CPUS=2 SLURM_PORT=$((20000 + RANDOM % 20000)) SLURM_ARRAY=10
trap '"$support/slurm.sh" stop; rm -rf "$work"' EXIT
"$support/slurm.sh" start > "$work/start.log" 2>&1 ||
  { echo "skipped: Slurm does not start here:"; tail -n 5 "$work/start.log"; exit 77; }
eval "$("$support/slurm.sh" env)"
cd "$work" || exit 1
export EXECUTIONS=$work/executions
status=0
ok() { echo "ok - $1"; }
bad() { echo "not ok - $1"; status=1; }
check() { if "${@:2}"; then ok "$1"; else bad "$1"; fi; }
executions() { [[ -f $EXECUTIONS ]] && wc -l < "$EXECUTIONS" || echo 0; }
pause() { read -r -t 0.05 <> <(:); }
pilots() { squeue -h -t "${1:-RUNNING}" -o '%A %N'; }
# run NAME FROM TO MORE...: in the background, on pilots, in a cache of its own
run() {
  local name=$1 from=$2 to=$3
  shift 3
  rm -f "$EXECUTIONS" gate
  "$program" --from "$from" --to "$to" -o "$name" --executor slurm --max-workers 2 "$@" \
    > "$name.out" 2> "$name.err" &
  pid=$!
}
result() {   # result NAME VALUE: waits for the run, and looks at what it printed
  wait $pid
  local code=$?
  if [[ $code == 0 && $(tail -n 1 "$1.out") == "$2" ]]; then ok "$1"
  else bad "$1: exit $code, printed '$(tail -n 1 "$1.out")', not $2"; sed 's/^/    /' "$1.err"; fi
}
each_once() {   # each_once NAME COUNT
  check "$1: none lost, none twice" test \
    "$(sort -u "$EXECUTIONS" | wc -l) $(executions)" == "$2 $2"
}
sum() { echo $((($2 * ($2 - 1) - $1 * ($1 - 1)) / 2)); }

run thousand 0 1000
result thousand "$(sum 0 1000)"
each_once thousand 1000
check "no pilot is left" test -z "$(until [[ -z $(pilots) ]]; do pause; done; pilots)"

run srun 0 20 --slurm-mode srun
result srun "$(sum 0 20)"
each_once srun 20

# Indexes of arrays are smaller than 10 here: 100 tasks are a dozen arrays.
run array 0 100 --slurm-mode array
result array "$(sum 0 100)"
each_once array 100
check "array: the spool is empty" test -z "$(find array/spool -type f)"

# From here on leaf 5 waits for the gate, so that there is something to be broken.
export WAIT_AT=5 WAIT_FOR=$work/gate
held() { until grep -qx 5 "$EXECUTIONS" 2> /dev/null; do pause; done; }

run scancel 0 200
held
for job in $(pilots | cut -d' ' -f1); do scancel --full "$job"; done
until [[ $(grep -cx 5 "$EXECUTIONS") -ge 2 ]]; do pause; done
touch gate
result scancel "$(sum 0 200)"

run killed 0 200
held
pkill -KILL -f -- "--stook-pilot $work/killed"
until [[ $(grep -cx 5 "$EXECUTIONS") -ge 2 ]]; do pause; done
touch gate
result killed "$(sum 0 200)"

run controller 0 200
held
kill "$(cat "$work/slurm/run/slurmctld.pid")"
until ! scontrol ping | grep -q 'is UP'; do pause; done
slurmctld -f "$SLURM_CONF"
until scontrol ping | grep -q 'is UP'; do pause; done
touch gate
result controller "$(sum 0 200)"
each_once controller 200

run node_down 0 200
held
node=$(pilots | head -n 1 | cut -d' ' -f2)
scontrol update nodename="$node" state=down reason=test
touch gate
result node_down "$(sum 0 200)"
scontrol update nodename="$node" state=resume 2> /dev/null

# Stubborn: it does not look whether it is to stop, and is killed.
STUBBORN=1 run array_scancel 0 20 --slurm-mode array
held
scancel --full --name="$(squeue -h -t RUNNING -o '%j' | head -n 1)"
until [[ $(grep -cx 5 "$EXECUTIONS") -ge 2 ]]; do pause; done
touch gate
result array_scancel "$(sum 0 20)"

unset WAIT_AT
# A task that ends every worker is declared failed, the others are done.
export KILL_AT=7
run deadly 0 30 --keep-going
wait $pid
check "a task that kills its workers fails" test $? == 1
check "... and is named" grep -qF 'Leaf[7]' deadly.err
check "... after three of them" grep -q '3 workers in a row' deadly.err
unset KILL_AT
check "... and the others are kept" test \
  "$(WAIT_AT='' "$program" --from 0 --to 30 -o deadly 2> /dev/null)" == "$(sum 0 30)"

# Submissions: refused, and hanging once.
run refused 0 3 --slurm-args '--partition=nowhere'
wait $pid
check "a refused submission ends the run, exit 3" test $? == 3
check "... and says why" grep -qi 'partition' refused.err
mkdir bin
cat > bin/sbatch <<'S'
#!/bin/bash
[[ -e $EXECUTIONS.submitted ]] || { touch "$EXECUTIONS.submitted"; /usr/bin/sbatch "$@" > /dev/null; exec sleep 1000; }
exec /usr/bin/sbatch "$@"
S
chmod +x bin/sbatch
PATH=$work/bin:$PATH run hanging 0 50 --slurm-timeout 1
result hanging "$(sum 0 50)"
each_once hanging 50

# Interruption: nothing stays in the queue.
export WAIT_AT=5
run interrupted 0 50
held
kill -INT $pid
wait $pid
check "interrupted: exit 130" test $? == 130
until [[ -z $(squeue -h) ]]; do pause; done
ok "interrupted: no job is left"

STUBBORN=1 run array_interrupted 0 50 --slurm-mode array
held
kill -INT $pid
wait $pid
check "an array interrupted: exit 130" test $? == 130
until [[ -z $(squeue -h) ]]; do pause; done
ok "an array interrupted: no job is left"
exit $status
