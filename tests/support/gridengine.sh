#!/bin/bash
# gridengine.sh start|stop|env|exec    Son of Grid Engine 8.1.9 (Debian 12), one host, root, no systemd.
# Packages: gridengine-master gridengine-exec gridengine-client. The test starts and stops its own.
# SVC_STATE (required): state in $SVC_STATE/sge. SGE_SLOTS=4. SGE_PORT=26444 (execd: +1).
# NOTE: sge_qmaster and sge_execd always listen on 0.0.0.0 (no option); they are therefore started in a network
# namespace of their own ("sge") with only loopback up, and clients run through:  gridengine.sh exec qsub -sync y ...
set -u
: "${SVC_STATE:?set SVC_STATE to a directory}"
D=$SVC_STATE/sge
export SGE_ROOT=$D/root SGE_CELL=default SGE_CLUSTER_NAME=local
export SGE_QMASTER_PORT=${SGE_PORT:-26444}; export SGE_EXECD_PORT=$((SGE_QMASTER_PORT + 1))
export SGE_QMASTER_PIDFILE=$D/run/qmaster.pid SGE_EXECD_PIDFILE=$D/run/execd.pid
B=/usr/lib/gridengine; H=$(hostname); SLOTS=${SGE_SLOTS:-4}
running() { local k v _; while read -r k v _; do [ "$k" = State: ] && { [ "$v" != Z ]; return; }; done 2>/dev/null < "/proc/$1/status"; return 1; }
alive() { [ -s "$1" ] && running "$(cat "$1")"; }
stop_pid() { local f=$1 t=${2:-10} p i; [ -s "$f" ] || return 0; p=$(cat "$f")
  if running "$p" && kill -TERM "$p" 2>/dev/null; then
    for ((i = 0; i < t * 20; i++)); do running "$p" || break; sleep 0.05; done
    running "$p" && kill -KILL "$p" 2>/dev/null
  fi; rm -f "$f"; }
NS="nsenter --net=$D/run/netns --"
case ${1:-} in
start)
  alive "$D/run/qmaster.pid" && alive "$D/run/execd.pid" && { echo "sge: already running"; exit 0; }
  "$0" stop >/dev/null 2>&1
  mkdir -p "$D"/{run,qmaster/job_scripts,spooldb,execd,root/default/common}
  getent hosts "$H" >/dev/null || echo "127.0.0.1 $H" >> /etc/hosts
  # a private network namespace with loopback only, held by a bind mount (ended by stop)
  touch "$D/run/netns"; unshare --net="$D/run/netns" ip link set lo up || exit 1
  for x in bin lib util utilbin; do ln -sfn /var/lib/gridengine/$x "$SGE_ROOT/$x"; done
  C=$SGE_ROOT/default/common
  echo "$H" > "$C/act_qmaster"
  # 127.0.0.1 resolves back to "localhost"; Grid Engine insists that this is the client's own name
  echo "$H localhost" > "$C/host_aliases"
  sed -e "s#^admin_user.*#admin_user root#" -e "s#/var/spool/gridengine#$D#" -e "s#^binary_path.*#binary_path $B#" \
    /usr/share/gridengine/default-bootstrap > "$C/bootstrap"
  if [ ! -e "$D/spooldb/sge" ]; then
    sed -e "s#/var/spool/gridengine#$D#" -e 's#^min_[ug]id.*##' -e 's#^load_report_time.*#load_report_time 00:00:05#' \
        -e 's#^reporting_params.*#reporting_params accounting=true reporting=false flush_time=00:00:01 accounting_flush_time=00:00:00 joblog=false sharelog=00:00:00#' \
      /usr/share/gridengine/default-configuration | grep . > "$D/conf"; printf 'min_uid 0\nmin_gid 0\n' >> "$D/conf"
    { $B/spoolinit berkeleydb libspoolb "$D/spooldb" init && $B/spooldefaults configuration "$D/conf" &&
      $B/spooldefaults complexes /usr/share/gridengine/util/resources/centry &&
      $B/spooldefaults usersets /usr/share/gridengine/util/resources/usersets && $B/spooldefaults managers root; } > "$D/init.log" 2>&1 || { cat "$D/init.log"; exit 1; }
    fresh=1
  fi
  $NS $B/sge_qmaster || exit 1
  for ((i = 0; i < 200; i++)); do $NS $B/qconf -sss >/dev/null 2>&1 && break; sleep 0.05; done
  if [ "${fresh:-}" = 1 ]; then
    $NS $B/qconf -ah "$H" >/dev/null 2>&1; $NS $B/qconf -as "$H" >/dev/null
    printf 'group_name @allhosts\nhostlist %s\n' "$H" > "$D/hg"; $NS $B/qconf -Ahgrp "$D/hg" >/dev/null
    # default queue from the built-in template with our slots
    EDITOR=/bin/true $NS $B/qconf -sq > "$D/q" 2>/dev/null
    [ -s "$D/q" ] || $NS $B/qconf -sq template > "$D/q" 2>/dev/null
    sed -i -e 's#^qname.*#qname main.q#' -e 's#^hostlist.*#hostlist @allhosts#' -e "s#^slots.*#slots $SLOTS#" -e 's#^shell  *.*#shell /bin/sh#' -e "s#^load_thresholds.*#load_thresholds NONE#" -e "s#^pe_list.*#pe_list NONE#" "$D/q"
    $NS $B/qconf -Aq "$D/q" >/dev/null
    # schedule right away on submit and on job end
    $NS $B/qconf -ssconf | sed -e 's#^schedule_interval.*#schedule_interval 0:0:1#' -e 's#^flush_submit_sec.*#flush_submit_sec 1#' -e 's#^flush_finish_sec.*#flush_finish_sec 1#' > "$D/sc"; $NS $B/qconf -Msconf "$D/sc" >/dev/null
  fi
  $NS $B/sge_execd || exit 1
  for ((i = 0; i < 400; i++)); do $NS $B/qstat -f 2>/dev/null | grep -qE "main.q@.* lx-amd64 *$" && { echo "sge: ready"; exit 0; }; sleep 0.05; done
  echo "sge: not ready"; $NS $B/qstat -f; tail -5 "$D"/qmaster/messages "$D"/execd/*/messages; exit 1 ;;
stop)
  stop_pid "$D/run/execd.pid" 3; stop_pid "$D/run/qmaster.pid" 10
  mountpoint -q "$D/run/netns" && umount "$D/run/netns"; rm -f "$D/run/netns"
  exit 0 ;;
exec) shift; exec $NS "$@" ;;
env) env | grep ^SGE_ | sed 's/^/export /' ;;
*) echo "usage: $0 start|stop|env|exec CMD..."; exit 2 ;;
esac
