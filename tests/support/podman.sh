#!/bin/bash
# podman.sh rootfs|start|env|stop DIR - a podman for tests, with all it keeps in DIR.
#
# rootfs   makes DIR/rootfs: a root directory with busybox and the file /inside, nothing else.
#          bubblewrap and charliecloud can use it too.
# start    makes DIR/rootfs the image localhost/busybox:1, without a registry. Says why it cannot.
# env      prints what to export so that `podman` works in DIR.
# stop     kills and removes its containers and unmounts its storage; DIR can be removed then.
#
# Debian 12 as root: podman 4.3 with runc and conmon; no daemon, no systemd, no network.
# PODMAN_DRIVER: overlay (default) or vfs.
set -u
what=${1:?} dir=${2:?}
export CONTAINERS_CONF=$dir/containers.conf CONTAINERS_STORAGE_CONF=$dir/storage.conf

make_rootfs() {
  local root=$dir/rootfs busybox applet
  [[ -e $root/inside ]] && return
  busybox=$(command -v busybox) || { echo "busybox is not installed"; return 1; }
  mkdir -p "$root"/{bin,dev,etc,home,lib,lib64,proc,root,sys,tmp,usr,var/tmp}
  cp "$busybox" "$root/bin/busybox"
  for applet in $(busybox --list); do
    [[ -e $root/bin/$applet ]] || ln -s busybox "$root/bin/$applet"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
  echo 'root:x:0:' > "$root/etc/group"
  echo 'inside the image' > "$root/inside"
}

start() {
  local files processes
  mkdir -p "$dir"/{graph,run,tmp,volumes}
  make_rootfs || return 1
  # Without limits of its own podman asks for more than a container within a container may have.
  files=$(ulimit -Hn)
  [[ $files == unlimited ]] && files=1048576
  processes=$(ulimit -Hu)
  [[ $processes == unlimited ]] || ((processes > 30000)) && processes=30000
  cat > "$CONTAINERS_CONF" << END
[containers]
default_ulimits = ["nofile=$files:$files", "nproc=$processes:$processes"]
netns = "none"
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
tmp_dir = "$dir/tmp"
volume_path = "$dir/volumes"
END
  cat > "$CONTAINERS_STORAGE_CONF" << END
[storage]
driver = "${PODMAN_DRIVER:-overlay}"
graphroot = "$dir/graph"
runroot = "$dir/run"
END
  podman image exists localhost/busybox:1 2> /dev/null && return
  tar -C "$dir/rootfs" -c . | podman import - localhost/busybox:1 > "$dir/log" 2>&1 ||
    { cat "$dir/log"; return 1; }
}

stop() {
  [[ -e $CONTAINERS_CONF ]] && podman rm --all --force --time 0 > /dev/null 2>&1
  mountpoint -q "$dir/graph/overlay" && umount "$dir/graph/overlay"
  return 0
}

case $what in
  rootfs) make_rootfs ;;
  start) start ;;
  env) echo "export CONTAINERS_CONF='$CONTAINERS_CONF'" \
            "CONTAINERS_STORAGE_CONF='$CONTAINERS_STORAGE_CONF'" ;;
  stop) stop ;;
  *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
