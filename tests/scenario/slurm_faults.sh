#!/bin/bash
# slurm_faults.sh PROGRAM [FAULT...] - what a cluster does to its jobs: time limits, preemption, requeueing, nodes
# that die or fail everything. All at once, each on nodes of its own, on a real Slurm of this test's
# own. Exits 77 where Slurm does not start here.
export SLURM_NODES=16 SLURM_CPUS=1 SLURMD_TIMEOUT=5
export SLURM_EXTRA="PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
TaskProlog=SVC_STATE/task_prolog
PartitionName=limit Nodes=n[1-2]
PartitionName=requeue Nodes=n[3-4]
PartitionName=step Nodes=n[5-6]
PartitionName=lost Nodes=n[7-8]
PartitionName=low Nodes=n[9-10] PriorityTier=1
PartitionName=high Nodes=n[9-10] PriorityTier=10 PreemptMode=OFF
PartitionName=half Nodes=n[11-12]
PartitionName=none Nodes=n13
PartitionName=drained Nodes=n14
PartitionName=lost_tcp Nodes=n[15-16]"
before_slurm() {   # on n11 and n13 the loader finds a library that is none
  mkdir "$work/no_libraries"
  : > "$work/no_libraries/libstdc++.so.6"
  printf '%s\n' '#!/bin/sh' "case \$SLURMD_NODENAME in n11 | n13) echo export LD_LIBRARY_PATH=$work/no_libraries ;; esac" > "$work/task_prolog"
  chmod +x "$work/task_prolog"
}
# shellcheck source=tests/support/slurm_runs.sh
source "$(dirname "$0")/../support/slurm_runs.sh"
job_on() { squeue -h -t RUNNING -p "$1" -o %A | head -n 1; }
node_of() { squeue -h -j "$1" -o %N; }
transport=()
twice() { until [[ $(grep -cx 5 "$EXECUTIONS") -ge 2 ]]; do pause; done; }
told() { check "$1: the user is told, once" test "$(grep -c "$2" "$1.err")" == 1; }
# pinned NAME PARTITION MORE...: one pilot at a time, and leaf 5 waits
pinned() {
  local name=$1 partition=$2
  shift 2
  export WAIT_AT=5 WAIT_FOR=$PWD/gate
  WORKERS=1 run "$name" 0 50 "${transport[@]}" --slurm-args "--partition=$partition $*"
}

limit() {
  pinned limit limit
  held
  scontrol update jobid="$(job_on limit)" endtime=now+1
  twice
  touch gate
  result limit "$(sum 0 50)"
  told limit 'reached its time limit'
}

requeue() {
  pinned requeue requeue --requeue
  held
  scontrol requeue "$(job_on requeue)"
  twice
  touch gate
  result requeue "$(sum 0 50)"
  told requeue 'was requeued'
  until [[ -z $(squeue -h -p requeue) ]]; do pause; done
  ok "requeue: the job does not come back"
}

preempt() {
  pinned preempt low
  held
  local other
  other=$(sbatch --parsable -p high -w "$(node_of "$(job_on low)")" -o /dev/null --wrap 'sleep 1000')
  twice
  touch gate
  result preempt "$(sum 0 50)"
  told preempt 'was preempted'
  scancel "$other"
}

# slurmd dies, what it had started lives on: nothing is lost and nothing done twice.
step() {
  pinned step step
  held
  kill -KILL "$(cat "$work/slurm/run/slurmd.$(node_of "$(job_on step)").pid")"
  touch gate
  result step "$(sum 0 50)"
  each_once step 50
}

# The same, until Slurm gives the node up. The pilot still lives there, unseen by Slurm: it has ended
# itself before somebody else does its task.
lose_node() {   # NAME, which is the partition, too
  STUBBORN=1 pinned "$1" "$1"
  held
  local node pilot
  node=$(node_of "$(job_on "$1")")
  pilot=$(pgrep -f -- "--stook-pilot $work/$1/")
  check "$1: the pilot lives" test -e "/proc/$pilot/exe"
  kill -KILL "$(cat "$work/slurm/run/slurmd.$node.pid")"
  twice
  check "$1: the pilot of the lost node has ended" test ! -e "/proc/$pilot/exe"
  touch gate
  result "$1" "$(sum 0 50)"
  told "$1" 'lost its node'
}
lost() { lose_node lost; }
lost_tcp() {
  transport=(--slurm-transport tcp --slurm-address 127.0.0.1)
  lose_node lost_tcp
}

# On n11 the program does not start.
half() {
  WORKERS=1 run half 0 50 --slurm-args --partition=half
  result half "$(sum 0 50)"
  each_once half 50
  told half 'node n11 is not used any more'
  check "half: ... with what the pilot said" grep -q 'n11.*error while loading shared libraries' half.err
}
none() {
  run none 0 50 --slurm-args --partition=none
  wait $pid
  check "none: no node can be used, exit 3" test $? == 3
  check "none: ... and which could not" grep -q 'without n13' none.err
}

# Nothing runs: the user hears why. Then it does.
drained() {
  scontrol update nodename=n14 state=drain reason=test
  run drained 0 50 --slurm-args --partition=drained
  until grep -q "wait.* in Slurm's queue" drained.err; do pause; done
  scontrol update nodename=n14 state=resume
  result drained "$(sum 0 50)"
  each_once drained 50
  told drained 'nothing is executed now'
}

faults=("${@:2}")
[[ $# -gt 1 ]] || faults=(limit requeue preempt step lost lost_tcp half none drained)
for fault in "${faults[@]}"; do
  mkdir "$work/$fault"
  (
    cd "$work/$fault" || exit 1
    EXECUTIONS=$PWD/executions
    "$fault" > log
    exit $status
  ) &
  pids+=($!)
done
for i in "${!faults[@]}"; do
  wait "${pids[i]}" || status=1
  cat "$work/${faults[i]}/log"
done
exit $status
