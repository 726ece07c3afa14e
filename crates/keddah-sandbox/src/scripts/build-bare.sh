#!/bin/sh
# Builds the bare root file system of a node: a minimal Debian with systemd and sshd.
# Arguments: the directory to fill, the suite, the mirror, the keyring, the packages (comma-separated).
set -eu
root=$1 suite=$2 mirror=$3 keyring=$4 packages=$5

debootstrap --variant=minbase --keyring="$keyring" --include="$packages" "$suite" "$root" "$mirror"

# What makes one machine itself is made anew for each node.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/hostname "$root"/etc/machine-id \
    "$root"/var/lib/dbus/machine-id "$root"/etc/resolv.conf
: > "$root/etc/machine-id"

# A node is served by its sandbox's repository alone; `up` names it.
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d
mkdir "$root/etc/apt/sources.list.d"

# A container has no terminal to log in on, and a timer that takes the package lock at a random
# moment, or trims a disk that is not the node's, belongs in no experiment.
for unit in getty.target console-getty.service systemd-pstore.service systemd-modules-load.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount sshd-keygen.service \
    systemd-firstboot.service apt-daily.timer apt-daily-upgrade.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb \
    "$root"/var/cache/apt/*.bin "$root"/var/log/bootstrap.log
