#!/bin/bash
# slurm.sh start|stop|status|env    Slurm 22.05 (Debian 12), root, no systemd, no cgroups, no database, loopback only.
# Packages: slurmctld slurmd slurm-client munge. The tests start and stop their own.
#
# SVC_STATE (required)  all state goes in $SVC_STATE/slurm
# SLURM_NODES=1         how many fake nodes (one slurmd each)
# SLURM_CPUS=2          CPUs each node claims (may be more than the machine has)
# SLURM_PORT=16817      slurmctld port; slurmd k listens on SLURM_PORT+k; srun listens on SLURM_PORT+100..SLURM_PORT+1099
# SLURM_AUTH=munge      or: none (auth/none + cred/none, no munged at all: tests only)
# SLURM_ARRAY=100001    indexes of job arrays are smaller than this
# SLURMD_TIMEOUT=15     seconds after which a node that does not answer is down
# SLURM_EXTRA=...       extra slurm.conf lines; SVC_STATE in them is replaced
# After start: eval "$(SVC_STATE=... slurm.sh env)"  (exports SLURM_CONF), then sinfo/srun/sbatch as usual.
set -u
: "${SVC_STATE:?set SVC_STATE to a directory}"
D=$SVC_STATE/slurm
NODES=${SLURM_NODES:-1}; CPUS=${SLURM_CPUS:-2}; PORT=${SLURM_PORT:-16817}; AUTH=${SLURM_AUTH:-munge}
export SLURM_CONF=$D/slurm.conf
SLURM_EXTRA=${SLURM_EXTRA:-}
H=$(hostname -s)

# A dead daemon stays a zombie for up to ~2 s where PID 1 reaps lazily, and kill -0 says yes to a zombie: look at its state.
running() { local k v _; while read -r k v _; do [ "$k" = State: ] && { [ "$v" != Z ]; return; }; done 2>/dev/null < "/proc/$1/status"; return 1; }
alive() { [ -s "$1" ] && running "$(cat "$1")"; }
write_conf() {
  local k authlines
  if [ "$AUTH" = munge ]; then
    authlines="AuthType=auth/munge
AuthInfo=socket=$D/munge/munge.sock,cred_expire=5
CredType=cred/munge"
  else
    authlines="AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5"
  fi
  cat > "$D/slurm.conf" <<EOC
ClusterName=local
SlurmctldHost=$H(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=root
SlurmdUser=root
$authlines
# bind to the named address (127.0.0.1), not to 0.0.0.0
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SrunPortRange=$((PORT + 100))-$((PORT + 1099))
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd.%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd.%n.log
# no cgroups, no binding, no accounting, no MPI
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$D/log/jobcomp.txt
SwitchType=switch/none
MpiDefault=none
PropagateResourceLimits=NONE
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1,default_queue_depth=1000,max_rpc_cnt=0
SlurmdParameters=config_overrides
ReturnToService=2
MaxArraySize=${SLURM_ARRAY:-100001}
MaxJobCount=200000
MaxStepCount=1000000
MinJobAge=300
KillWait=5
UnkillableStepTimeout=60
CompleteWait=0
SlurmdTimeout=${SLURMD_TIMEOUT:-15}
SlurmctldTimeout=30
InactiveLimit=${SLURM_INACTIVE:-0}
Waittime=0
MessageTimeout=30
TCPTimeout=10
SlurmctldDebug=info
SlurmdDebug=info
${SLURM_EXTRA//SVC_STATE/$SVC_STATE}
EOC
  for ((k = 1; k <= NODES; k++)); do
    echo "NodeName=n$k NodeHostname=$H NodeAddr=127.0.0.1 Port=$((PORT + k)) CPUs=$CPUS Boards=1 SocketsPerBoard=1 CoresPerSocket=$CPUS ThreadsPerCore=1 RealMemory=4000 State=UNKNOWN" >> "$D/slurm.conf"
  done
  echo "PartitionName=main Nodes=n[1-$NODES] Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO" >> "$D/slurm.conf"
  [ "$NODES" = 1 ] && sed -i 's/n\[1-1\]/n1/' "$D/slurm.conf"
  return 0
}

case ${1:-} in
start)
  if alive "$D/run/slurmctld.pid"; then echo "slurm: already running"; exit 0; fi
  "$0" stop >/dev/null 2>&1
  mkdir -p "$D"/{state,spool,run,log,munge}
  chmod 755 "$D" "$D"/*
  getent hosts "$H" >/dev/null || echo "127.0.0.1 $H" >> /etc/hosts
  write_conf
  if [ "$AUTH" = munge ]; then
    chmod 700 "$D/munge"; chown root:root "$D/munge"
    [ -s "$D/munge/key" ] || (umask 077; head -c 1024 /dev/urandom > "$D/munge/key")
    # the socket's directory must be world-searchable, so key and socket share a 0711 directory; the key is 0600
    chmod 711 "$D/munge"
    /usr/sbin/munged --force --key-file="$D/munge/key" --socket="$D/munge/munge.sock" \
      --pid-file="$D/munge/munged.pid" --log-file="$D/munge/munged.log" --seed-file="$D/munge/seed" \
      || { echo "munged failed"; exit 1; }
  fi
  /usr/sbin/slurmctld -f "$D/slurm.conf" || { echo "slurmctld failed"; exit 1; }
  for ((k = 1; k <= NODES; k++)); do
    mkdir -p "$D/spool/n$k"
    /usr/sbin/slurmd -f "$D/slurm.conf" -N "n$k" || { echo "slurmd n$k failed"; exit 1; }
  done
  for ((i = 0; i < 600; i++)); do
    n=$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)
    [ "$n" = "$NODES" ] && { echo "slurm: $NODES node(s) idle"; exit 0; }
    sleep 0.05
  done
  echo "slurm: nodes not idle after 30 s"; sinfo -N; tail -5 "$D"/log/*.log; exit 1 ;;
stop)
  if alive "$D/run/slurmctld.pid"; then # end the jobs first: a slurmstepd outlives its slurmd
    timeout 5 scancel --signal=KILL --full -u root >/dev/null 2>&1; timeout 5 scancel -u root >/dev/null 2>&1
    for ((i = 0; i < 60; i++)); do [ -z "$(timeout 2 squeue -h 2>/dev/null | head -1)" ] && break; sleep 0.05; done
  fi
  # TERM everything at once; a daemon removes its pid file before it is gone, so keep the pids
  pids=$(cat "$D"/run/slurmd.*.pid "$D/run/slurmctld.pid" "$D/munge/munged.pid" 2>/dev/null)
  for p in $pids; do kill -TERM "$p" 2>/dev/null; done
  for p in $pids; do
    for ((i = 0; i < 100; i++)); do running "$p" || break; sleep 0.05; done
    running "$p" && kill -KILL "$p" 2>/dev/null
  done
  rm -f "$D"/run/*.pid "$D/munge/munged.pid"
  exit 0 ;;
status)
  alive "$D/run/slurmctld.pid" && sinfo -N ;;
env)
  echo "export SLURM_CONF='$D/slurm.conf'" ;;
*) echo "usage: $0 start|stop|status|env"; exit 2 ;;
esac
