#!/bin/sh
# Boots one node; runs in a mount namespace and a control group of the node's own.
# Arguments: name, network namespace, lower, upper, work and root directory; then of each disk the image,
# a directory to mount it on, and its path in the node.
set -eu
name=$1 network=$2 lower=$3 upper=$4 work=$5 root=$6
shift 6

# Where the machine's own control groups are of version 1, the container still sees one tree of version 2.
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi

# nspawn's locks and sockets vanish with this mount namespace, whatever ends it.
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=755 tmpfs /run/systemd/nspawn

mount -t overlay "keddah-$name" -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$root"

# Mounted here and nowhere else, a disk is given back with the node's last process. nspawn binds it, since it
# alone follows the node's links as the node would.
count=$#
while [ "$count" -gt 0 ]; do
    mount -o loop "$1" "$2"
    set -- "$@" "--bind=$2:$3"
    shift 3
    count=$((count - 3))
done

# As many open files as the kernel lets us hand on.
ulimit -n 1048576 2>/dev/null || ulimit -n "$(ulimit -H -n)"

# Settings of the node's own network stack stay writable; those of the machine's kernel do not.
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
exec systemd-nspawn --register=no --keep-unit --quiet --machine="$name" \
    --network-namespace-path="$network" --capability=all --resolv-conf=off --timezone=off \
    --link-journal=no --console=pipe --rlimit=NOFILE="$(ulimit -H -n)" --directory="$root" "$@" --boot
