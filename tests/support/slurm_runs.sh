# slurm_runs.sh - sourced by the scenario tests that need a Slurm: starts one of the test's own with
# what the caller has set (SLURM_NODES, ..., and a function before_slurm, if any), stops it at the end, and has words for runs on it.
# $1 of the caller: the program, slow_sum. Exits 77 where Slurm cannot be had or does not start here.
support=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for command in slurmctld slurmd sbatch munged; do
  PATH=$PATH:/usr/sbin command -v $command > /dev/null || { echo "skipped: no $command"; exit 77; }
done
[[ $EUID == 0 ]] || { echo "skipped: the daemons need root"; exit 77; }
# shellcheck source=tests/support/scenario.sh
source "$support/scenario.sh"
# Ports of its own, below those that the system gives away; held until the last process has ended.
for slot in $(shuf -i 0-17); do
  exec 9> "${TMPDIR:-/tmp}/stook-slurm-ports-$slot"
  flock -n 9 && break
done
export SVC_STATE=$work SLURM_PORT=$((10000 + slot * 1200))
[[ $(type -t before_slurm) == function ]] && before_slurm
trap '"$support/slurm.sh" stop; rm -rf "$work"' EXIT
"$support/slurm.sh" start > "$work/start.log" 2>&1 ||
  { echo "skipped: Slurm does not start here:"; tail -n 5 "$work/start.log"; exit 77; }
eval "$("$support/slurm.sh" env)"
pause() { read -r -t 0.05 <> <(:); }
pilots() { squeue -h -t "${1:-RUNNING}" -o '%A %N'; }
# run NAME FROM TO MORE...: in the background, on two pilots (or WORKERS), in a cache of its own
run() {
  local name=$1 from=$2 to=$3
  shift 3
  rm -f "$EXECUTIONS" gate
  "$program" --from "$from" --to "$to" -o "$name" --executor slurm --max-workers "${WORKERS:-2}" "$@" \
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
# Where leaf 5 waits for the gate (WAIT_AT=5): until it does.
held() { until grep -qx 5 "$EXECUTIONS" 2> /dev/null; do pause; done; }
