# scenario.sh - sourced by scenario tests of real programs: goes to a directory that is removed at the end, and
# has words for what is expected. $1 of the caller: the program, whose tasks write a line each to $EXECUTIONS.
set -u
program=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export EXECUTIONS=$work/executions
status=0
ok() { echo "ok - $1"; }
bad() { echo "not ok - $1"; status=1; }
check() { if "${@:2}"; then ok "$1"; else bad "$1"; fi; }
expect() {   # expect NAME CODE PATTERN COMMAND...: exit code, and a pattern in what it prints
  local name=$1 code=$2 pattern=$3 out got
  shift 3
  out=$("$@" 2>&1)
  got=$?
  if [[ $got == "$code" ]] && grep -qE -- "$pattern" <<< "$out"; then
    ok "$name"
  else
    bad "$name: exit $got, not $code, or no '$pattern' in:"
    sed 's/^/    /' <<< "$out"
  fi
}
executions() { [[ -f $EXECUTIONS ]] && wc -l < "$EXECUTIONS" || echo 0; }
