#!/bin/sh
# Builds the warm root file system: the bare one with all packages installed and nothing of them enabled.
# Arguments: the directory to fill, the bare root, the repository's directory, the suite, then the packages.
set -eu
root=$1 bare=$2 repository=$3 suite=$4
shift 4

cp -a --reflink=auto "$bare" "$root"
mount -t proc proc "$root/proc"
mkdir "$root/mnt/repository"
mount --bind -o ro "$repository" "$root/mnt/repository"
echo "deb [trusted=yes] file:/mnt/repository $suite main" > "$root/etc/apt/sources.list"

# Nothing is started while the image is built.
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"

in_root() {
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"
}
install() {
    in_root apt-get install --yes --no-install-recommends \
        -o Dpkg::Options::=--force-unsafe-io -o APT::Sandbox::User=root "$@"
}
enabled_units() {
    in_root systemctl list-unit-files --state=enabled --no-legend --plain | cut -d ' ' -f 1 | sort
}

enabled_units > "$root/mnt/enabled-before"
in_root apt-get update -o APT::Sandbox::User=root

# Without this file, installing PostgreSQL makes a cluster named main.
install postgresql-common
mkdir -p "$root/etc/postgresql-common/createcluster.d"
echo 'create_main_cluster = false' > "$root/etc/postgresql-common/createcluster.d/image.conf"
install "$@"
rm "$root/etc/postgresql-common/createcluster.d/image.conf"

# Packages enable what they bring; on a node, what runs is the inventory's decision.
enabled_units > "$root/mnt/enabled-after"
for unit in $(comm -13 "$root/mnt/enabled-before" "$root/mnt/enabled-after"); do
    echo "disabling $unit"
    in_root systemctl disable "$unit"
done

umount "$root/mnt/repository"
umount "$root/proc"
rm -rf "$root/mnt/repository" "$root/mnt/enabled-before" "$root/mnt/enabled-after" \
    "$root/usr/sbin/policy-rc.d" "$root/etc/apt/sources.list" \
    "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin
