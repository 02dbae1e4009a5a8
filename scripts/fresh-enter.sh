#!/bin/sh
# Run by fresh.ts: enters a machine made of namespaces, in the one order that works.
# fresh-enter.sh NETNS ROOT GROUPS COMMAND… joins control groups and network, then runs itself in
# namespaces for the rest, as fresh-enter.sh --inside ROOT COMMAND…
set -eu

if [ "$1" != --inside ]; then
  netns=$1 root=$2 groups=$3
  shift 3
  for group in $groups; do echo $$ >"$group/cgroup.procs"; done
  exec nsenter --net="/run/netns/$netns" \
    unshare --mount --pid --uts --ipc --cgroup --fork --kill-child \
    sh "$0" --inside "$root" "$@"
fi

root=$2
shift 2
hostname fresh
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mkdir -p proc sys dev run old
mount -t proc proc proc
mount -t sysfs sysfs sys
# The host's layout of control groups, whichever it is; their roots are our groups now.
grep ' /sys/fs/cgroup' /proc/mounts | while read -r _ at type options _; do
  case $type in
    tmpfs) mount -t tmpfs tmpfs ".$at" ;;
    cgroup)
      mkdir -p ".$at"
      mount -t cgroup -o "${options##*relatime,}" cgroup ".$at"
      ;;
    cgroup2)
      mkdir -p ".$at"
      mount -t cgroup2 cgroup2 ".$at"
      ;;
  esac
done
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty fuse net; do
  if [ -e /dev/$node ]; then cp -a /dev/$node dev/; fi
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
# As systemd mounts it.
mount -t tmpfs -o mode=755,nosuid,nodev,noexec tmpfs run
pivot_root . old
umount -l /old
cd /root/paas
ca=/etc/ssl/certs/ca-certificates.crt
# We stay as process 1, for somebody must reap orphans.
env -i HOME=/root TERM=dumb LANG=C.UTF-8 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  NODE_EXTRA_CA_CERTS=$ca SSL_CERT_FILE=$ca npm_config_cafile=$ca "$@" &
wait $!
