#!/bin/bash
# slurm.sh PROGRAM - pilots, arrays and srun on a real Slurm of this test's own, and what happens
# when parts of it fail. Exits 77 where Slurm cannot be had or does not start here.
export SLURM_NODES=4 SLURM_CPUS=2 SLURM_ARRAY=10
# shellcheck source=tests/support/slurm_runs.sh
source "$(dirname "$0")/../support/slurm_runs.sh"

run thousand 0 1000
result thousand "$(sum 0 1000)"
each_once thousand 1000
check "no pilot is left" test -z "$(until [[ -z $(pilots) ]]; do pause; done; pilots)"

# Other jobs of the same user, more than a few pages of squeue's answer: ours are behind them.
for i in {1..45}; do sbatch -Q --hold --array=0-8 --output=/dev/null --wrap=true > /dev/null; done
WAIT_AT=5 WAIT_FOR=$work/gate run among_many 0 50
held
for i in {1..20}; do squeue -h > /dev/null; pause; done
touch gate
result among_many "$(sum 0 50)"
each_once among_many 50
scancel --name=wrap

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

# Interruption: nothing stays in the queue, whether the task looks if it is to stop or not.
export WAIT_AT=5
for stubborn in "" 1; do
  STUBBORN=$stubborn run "interrupted$stubborn" 0 50
  held
  kill -INT $pid
  wait $pid
  check "interrupted: exit 130" test $? == 130
  until [[ -z $(squeue -h) ]]; do pause; done
  ok "interrupted: no job is left"
done

STUBBORN=1 run array_interrupted 0 50 --slurm-mode array
held
kill -INT $pid
wait $pid
check "an array interrupted: exit 130" test $? == 130
until [[ -z $(squeue -h) ]]; do pause; done
ok "an array interrupted: no job is left"
exit $status
