#!/bin/bash
# Boots a systemd of its own inside namespaces, on an overlay of this machine's root: nothing it does stays.
#
#   box.sh DIRECTORY VISIBLE...     as root; DIRECTORY is empty, VISIBLE are paths that must be seen inside
#
# systemd empties /tmp and changes what it is booted on. So before it is started, this script looks twice, from
# outside and from inside, whether every place it could reach is private, and refuses otherwise.
set -euo pipefail

refuse() { echo "box.sh refuses: $1" >&2; exit 99; }

if [ "${BOX_STAGE:-}" != inside ]; then
  box=$1
  [ "$(id -u)" -eq 0 ] || refuse "not root"
  groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
  [ -n "$groups" ] || refuse "no cgroup2 is mounted"
  own="$groups$(sed -n 's/^0:://p' /proc/self/cgroup)/cutoutd-box-$$"
  mkdir "$own" || refuse "no cgroup can be made"
  echo "$own" > "$box/cgroup"
  echo $$ > "$own/cgroup.procs"
  # What lies in the real /tmp must not be seen inside.
  sentinel=$(mktemp /tmp/cutoutd-box-sentinel.XXXXXX)
  echo "$sentinel" > "$box/sentinel"
  # Killed with whoever started it, and all inside with it.
  BOX_STAGE=inside exec setpriv --pdeathsig KILL unshare --cgroup --mount --propagation private --pid --uts --ipc --net --fork --kill-child \
    "$0" "$@"
fi

box=$1; shift
sentinel=$(cat "$box/sentinel")
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$box"
mkdir "$box/upper" "$box/work" "$box/root"
mount -t overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" overlay "$box/root"
root=$box/root
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -o bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
for place in tmp run var/tmp dev; do
  mkdir -p "$root/$place"
  mount -t tmpfs -o mode=1777 tmpfs "$root/$place"
done
chmod 755 "$root/run" "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
while read -r name major minor; do
  mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done <<< $'null 1 3\nzero 1 5\nfull 1 7\nrandom 1 8\nurandom 1 9\ntty 5 0\nfuse 10 229'
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

for path in "$@"; do
  if [ ! -e "$root$path" ]; then
    mkdir -p "$root$path"
    mount --rbind "$path" "$root$path"
    mount -o remount,bind,ro "$root$path"
  fi
  # The service runs as an ordinary user, who must be able to come to the program.
  while [ "$path" != / ]; do chmod o+x "$root$path" 2>/dev/null || true; path=$(dirname "$path"); done
done

units=$root/etc/systemd/system
rm -rf "$units"
mkdir -p "$units"
for unit in systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-tmpfiles-clean.timer \
  systemd-tmpfiles-clean.service systemd-sysctl.service systemd-udevd.service systemd-udevd-control.socket \
  systemd-udevd-kernel.socket systemd-udev-trigger.service systemd-udev-settle.service \
  systemd-remount-fs.service systemd-modules-load.service systemd-random-seed.service \
  systemd-update-utmp.service systemd-sysusers.service systemd-hwdb-update.service \
  systemd-machine-id-commit.service systemd-journal-flush.service systemd-timesyncd.service \
  dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  sys-kernel-config.mount sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount \
  proc-sys-fs-binfmt_misc.mount systemd-binfmt.service systemd-pstore.service systemd-boot-system-token.service \
  systemd-firstboot.service ldconfig.service modprobe@.service systemd-logind.service; do
  ln -s /dev/null "$units/$unit"
done
: > "$root/etc/fstab"
printf '[Unit]\nDescription=The box\nRequires=basic.target\nAfter=basic.target\n' > "$units/box.target"
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' > "$root/etc/systemd/journald.conf.d/box.conf"
echo 0123456789abcdef0123456789abcdef > "$root/etc/machine-id"
printf 'ann:x:4711:4711::/home/ann:/bin/sh\n' >> "$root/etc/passwd"
printf 'ann:x:4711:\n' >> "$root/etc/group"
install -d -o 4711 -g 4711 "$root/home/ann"

verify() {  # of the tree at $1
  local at=$1 place
  ! grep -qE '(shared|master):' <(awk '{ $1=$1; print }' /proc/self/mountinfo | sed 's/ - .*//') \
    || refuse "a mount is not private"
  for place in "" tmp run var/tmp dev; do
    local want=tmpfs; [ -n "$place" ] || want=overlay
    local is; is=$(awk -v at="$(readlink -m "$at/$place")" '$5 == at { sub(/.* - /, ""); print $1 }' /proc/self/mountinfo | tail -1)
    [ "$is" = "$want" ] || refuse "/$place is '$is' and not a $want of its own"
  done
  [ ! -e "$at$sentinel" ] || refuse "the machine's /tmp is seen inside"
  [ ! -w "$at/proc/sys/kernel/hostname" ] || ! (echo x > "$at/proc/sys/kernel/hostname") 2>/dev/null \
    || refuse "/proc/sys can be written"
  [ "$(readlink "$units_at/systemd-tmpfiles-setup.service")" = /dev/null ] || refuse "tmpfiles is not masked"
}

units_at=$units; verify "$root"                         # the first look
mkdir "$root/old"
cd "$root"
pivot_root . old
cd /
umount -l /old
rmdir /old
units_at=/etc/systemd/system; verify ""                 # and the second
[ "$$" -eq 1 ] || refuse "not process 1 of a namespace of its own"

hostname box
exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
  /lib/systemd/systemd --unit=box.target --log-target=journal-or-kmsg --show-status=no < /dev/null
