#!/bin/bash
# containers.sh PROGRAM [KIND...] - leaves in a bubblewrap sandbox, a podman container, a
# charliecloud image: they run inside, their failures are told, a cancel reaches them, their results
# are kept.
# KIND: bubblewrap, podman, podman-init, charliecloud; none: all of them. The commands are those of
# runtime/executors/README.md. What is not here, or is forbidden, is skipped, with the reason; exit
# status 77: that was everything.
set -u
program=$(realpath "$1")
kinds=" ${*:2} "
[[ $kinds == "  " ]] && kinds=" bubblewrap podman podman-init charliecloud "
support=$(dirname "$(readlink -f "$0")")/../support
work=$(mktemp -d)
image=$work/image
trap '"$support/podman.sh" stop "$image"; rm -rf "$work"' EXIT
cd "$work" || exit 1
mkdir notes
echo "inside the image" > notes/inside
export EXECUTIONS=$work/notes/executions
export USER=${USER:-$(id -un)}   # charliecloud wants it
status=77
ok() { echo "ok - $1"; }
bad() { echo "not ok - $1"; status=1; return 1; }
check() { if "${@:2}"; then ok "$1"; else bad "$1"; fi; }
skip() { echo "skipped - $1: $2"; }
executions() { [[ -f $EXECUTIONS ]] && wc -l < "$EXECUTIONS" || echo 0; }
pause() { read -r -t 0.02 <> <(:); }

# Processes with this test's directory in their command line: programs, wrappers, containers.
left() {
  local file
  for file in /proc/[0-9]*/cmdline; do
    grep -qF -- "$work/" "$file" 2> /dev/null && tr '\0' ' ' < "$file" && echo
  done 2> /dev/null
}
gone() {   # gone NAME: all of them are; a minute only ends what would wait for ever
  local until=$((SECONDS + 60)) began=$EPOCHREALTIME
  while [[ $(left) ]] && ((SECONDS < until)); do pause; done
  if [[ $(left) ]]; then
    bad "$1: there is left"
    left | cut -c 1-200 | sed 's/^/    /'
  elif [[ $kind == podman* && $(podman ps --all --quiet 2>&1) ]]; then
    bad "$1: a container is left: $(podman ps --all)"
  else
    ok "$1 ($(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }'))"
  fi
}

# begin COMMAND...: in the background, until its two leaves have begun; sets pid.
begin() {
  rm -f "$EXECUTIONS"
  "$@" > log 2>&1 &
  pid=$!
  until [[ $(executions) -ge 2 ]] || ! kill -0 $pid 2> /dev/null; do pause; done
}

# exercise KIND SHOW PREFIX: SHOW is a file that exists inside only.
exercise() {
  local show=$2 how=leaf=$3
  kind=$1
  [[ $status == 77 ]] && status=0
  rm -rf cache "$EXECUTIONS"
  SHOW=$show "$program" --from 0 --to 4 -p "$how" -o cache > out 2> log
  check "$kind: the sum" grep -qx 6 out || sed 's/^/    /' log
  check "$kind: each leaf was executed once" test "$(executions)" == 4
  [[ -e $show ]] && bad "$kind: $show is there outside, too"
  check "$kind: all of them inside" \
    test "$(grep -rlx "inside the image" cache/tasks --include=stdout | wc -l)" == 4
  "$program" --from 0 --to 4 -p "$how" -o cache --json --cached-entry > out 2> log
  check "$kind: the next run runs nothing" grep -q '"ran": 0' out

  FAIL_AT=6 "$program" --from 5 --to 7 -p "$how" -o cache > log 2>&1
  check "$kind: a failure inside is one, exit 1" test $? == 1
  check "$kind: its cause" grep -q 'runtime_error: told to fail' log
  check "$kind: the end of its stderr" grep -q 'leaf 6 is about to fail' log

  export WAIT_AT=1 WAIT_FOR=$work/never
  begin "$program" --from 0 --to 2 -p "$how" -o interrupted
  kill -INT $pid
  wait $pid
  check "$kind: interrupted, exit 130" test $? == 130
  gone "$kind: nothing is left after an interruption"

  STUBBORN=1 begin "$program" --from 0 --to 2 -p "$how" -o stubborn
  kill -INT $pid
  wait $pid
  check "$kind: interrupted with a stubborn leaf, exit 130" test $? == 130
  gone "$kind: not even a stubborn leaf is left"

  STUBBORN=1 begin "$program" --from 0 --to 2 -p "$how" -o killed
  kill -KILL $pid
  wait $pid 2> /dev/null
  gone "$kind: nothing is left after the driver was killed"
  unset WAIT_AT WAIT_FOR
  "$program" --from 0 --to 2 -p "$how" -o killed > out 2> log
  check "$kind: the next run goes on" grep -qx 1 out || sed 's/^/    /' log
  rm -rf cache interrupted stubborn killed
}

# works COMMAND...: does it run a program? If not, `why` is what it says.
works() {
  command -v "$1" > /dev/null || { why="$1 is not installed"; return 1; }
  why=$("$@" true 2>&1 > /dev/null < /dev/null) || { why="here it says: ${why:0:300}"; return 1; }
}

bubblewrap() {
  local sandbox="--ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --unshare-pid --die-with-parent"
  # shellcheck disable=SC2086
  works bwrap $sandbox || { skip bubblewrap "$why"; return; }
  exercise bubblewrap /tmp/inside-of-$$ "bwrap $sandbox --bind {cache} {cache} \
    --ro-bind {program} {program} --bind $work/notes $work/notes \
    --ro-bind $work/notes/inside /tmp/inside-of-$$"
}

podman_runs() {   # podman_runs KIND [--init]
  local kind=$1 init=${2:-} name settings=
  # The image has no C++ library: that of this machine is taken.
  local libraries="-v /usr:/usr:ro -v /lib:/lib:ro -v /lib64:/lib64:ro"
  command -v podman > /dev/null || { skip "$kind" "podman is not installed"; return; }
  why=$("$support/podman.sh" start "$image") ||
    { skip "$kind" "it makes no image: ${why:0:300}"; return; }
  eval "$("$support/podman.sh" env "$image")"
  # shellcheck disable=SC2086
  works podman run --rm $init localhost/busybox:1 || { skip "$kind" "$why"; return; }
  for name in EXECUTIONS SHOW FAIL_AT WAIT_AT WAIT_FOR STUBBORN; do settings+=" -e $name"; done
  exercise "$kind" /inside "podman run --rm $init $settings -v {cache}:{cache} \
    -v {program}:{program}:ro $libraries -v $work/notes:$work/notes localhost/busybox:1"
}

charliecloud() {
  local root=$image/rootfs
  why=$("$support/podman.sh" rootfs "$image") || { skip charliecloud "$why"; return; }
  works ch-run "$root" -- || { skip charliecloud "$why"; return; }
  # An image that is read only has to have what is mounted onto.
  mkdir -p "$root$(dirname "$program")" "$root$work"/{notes,cache,interrupted,stubborn,killed}
  touch "$root$program"
  exercise charliecloud /inside "ch-run -b /usr -b /lib -b /lib64 -b {program} -b {cache} \
    -b $work/notes $root --"
}

wanted() { [[ $kinds == *" $1 "* ]]; }
wanted bubblewrap && bubblewrap
wanted podman && podman_runs podman
wanted podman-init && podman_runs podman-init --init
wanted charliecloud && charliecloud
exit $status
